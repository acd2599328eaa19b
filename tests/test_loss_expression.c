/* Loss expressions: what is accepted, and the messages about what is not. */
#include "student_train/loss/loss_terms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void parses_expressions(void **state)
{
    (void)state;
    struct loss_expression e;
    assert_int_equal(loss_expression_parse(&e, " 0.5*ce + .5 * kd( T = 2 , reduction=mean )", NULL), STATUS_OK);
    assert_int_equal(e.count, 2);
    assert_int_equal(e.terms[0].kind, LOSS_CE);
    assert_int_equal(e.terms[1].kind, LOSS_KD);
    assert_true(e.terms[1].weight == 0.5f && e.terms[1].temperature == 2);
    assert_int_equal(e.terms[1].reduction, REDUCTION_MEAN);
    assert_true(e.needs_teacher && e.needs_labels);
    assert_string_equal(e.text, "0.5*ce + 0.5*kd(T=2, reduction=mean)");
    assert_int_equal(loss_expression_parse(&e, "ce(label_smoothing=0.1)", NULL), STATUS_OK);
    assert_false(e.needs_teacher);
    assert_true(e.terms[0].weight == 1 && e.terms[0].label_smoothing == 0.1f);
    assert_string_equal(e.text, "ce(label_smoothing=0.1)");
    assert_int_equal(loss_expression_parse(&e, "kd + 2*kd(T=8)", NULL), STATUS_OK);
    assert_string_equal(e.names[0], "kd");
    assert_string_equal(e.names[1], "kd_2");
    assert_string_equal(e.text, "kd(T=4) + 2*kd(T=8)");
}

/* Terms with their parameters, and the canonical text. */
static void parses_values(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"lskd", "lskd(T=2)"},
        {"kd(T=2,standardise=yes,form=printed)", "kd(T=2, standardise=yes, form=printed)"},
        {"rld(T1=2, alpha=0.5) + wttm + abkd(beta=1)", "rld(T=4, T1=2, alpha=0.5) + wttm + abkd(T=4, beta=1)"},
        {"mlkd(gate=0.1) + dist(gated=ce, gate=.25)", "mlkd(T=4, gate=0.1) + dist(T=4, gate=0.25, gated=ce)"},
        {"logit_mse(gate=0.1, gated=label, soften=0.2)", "logit_mse(gate=0.1, soften=0.2)"},
        {"dkd(beta=2, warmup=20)", "dkd(T=4, beta=2, warmup=20)"},
        {"100*hint(student=b3, teacher=layer2, regressor=conv1x1)",
         "100*hint(student=b3, teacher=layer2, regressor=conv1x1)"},
        {"hint(student=[a,b.c], teacher=['x y', layer2/Relu:0], distance=smooth_l1)",
         "hint(student=[a, b.c], teacher=[\"x y\", layer2/Relu:0], distance=smooth_l1)"},
        {"25*rkd_distance + 50 * rkd_angle(distance=mse)", "25*rkd_distance + 50*rkd_angle(distance=mse)"},
        {"dm + vid(variance=5) + 0.02*cc", "dm + vid + 0.02*cc"},
        {"crd(negatives=100)", "crd(T=0.07, negatives=100)"},
        {"ce(student=embedding, ramp=0.1, ramp_epochs=30)", "ce(student=embedding, ramp=0.1, ramp_epochs=30)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct loss_expression e, again;
        struct error err = {0};
        if (loss_expression_parse(&e, cases[i][0], &err) != STATUS_OK)
            fail_msg("'%s': %s", cases[i][0], err.message);
        assert_string_equal(e.text, cases[i][1]);
        assert_int_equal(loss_expression_parse(&again, e.text, NULL), STATUS_OK);
        assert_memory_equal(e.terms, again.terms, sizeof e.terms);
        assert_true(loss_expression_alike(&e, &again));
    }
}

/* The expressions that the table of terms recommends can be read. */
static void usual_expressions_parse(void **state)
{
    (void)state;
    for (int i = 0; i < loss_entry_count; i++) {
        struct loss_expression e;
        assert_int_equal(loss_expression_parse(&e, loss_entries[i].usual, NULL), STATUS_OK);
        assert_non_null(strstr(loss_entries[i].usual, loss_entries[i].name));
    }
}

static void students_are_alike(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool alike;
    } cases[] = {
        {"ce + kd(T=4)", "0.1*ce + 0.9*kd(T=8)", true},
        {"ce + kd", "kd + ce", false},
        {"hint(student=a, teacher=b)", "2*hint(student=a, teacher=b)", true},
        {"hint(student=a, teacher=b)", "hint(student=a, teacher=c)", false},
        {"hint(student=a, teacher=b)", "hint(student=a, teacher=b, regressor=linear)", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct loss_expression a, b;
        assert_int_equal(loss_expression_parse(&a, cases[i].a, NULL), STATUS_OK);
        assert_int_equal(loss_expression_parse(&b, cases[i].b, NULL), STATUS_OK);
        assert_int_equal(loss_expression_alike(&a, &b), cases[i].alike);
    }
}

static void weights_follow_schedules(void **state)
{
    (void)state;
    static const struct {
        const char *loss;
        int epoch;
        float weight;
    } cases[] = {
        {"8*dkd", 0, 8},
        {"8*dkd(warmup=20)", 0, 0.4f},
        {"8*dkd(warmup=20)", 18, 7.6f},
        {"8*dkd(warmup=20)", 19, 8},
        {"8*dkd(warmup=20)", 500, 8},
        {"2*ce(ramp=0.5, ramp_epochs=10)", 0, 2},
        {"2*ce(ramp=0.5, ramp_epochs=10)", 5, 1.5f},
        {"2*ce(ramp=0.5, ramp_epochs=10)", 30, 1},
        {"2*ce(warmup=4, ramp=3, ramp_epochs=10)", 1, 1},
        {"2*ce(warmup=4, ramp=3, ramp_epochs=10)", 9, 4},
        {"2*ce(warmup=4, ramp=3, ramp_epochs=10)", 14, 6},
        {"2*ce(ramp_epochs=10)", 10, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct loss_expression e;
        assert_int_equal(loss_expression_parse(&e, cases[i].loss, NULL), STATUS_OK);
        assert_float_equal(loss_term_weight(&e.terms[0], cases[i].epoch), cases[i].weight, 1e-6);
    }
}

static void refuses_expressions(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "a term is missing"},
        {"ce +", "a term is missing"},
        {"0.5 ce", "'*' is missing"},
        {"kb(T=4)", "unknown term 'kb', did you mean 'kd'?; known: ce, kd, lskd"},
        {"hunt(student=a)", "unknown term 'hunt', did you mean 'hint'?"},
        {"kd(t=4)", "unknown parameter 't'"},
        {"ce(label_smothing=0.1)", "did you mean 'label_smoothing'?"},
        {"ce(gate=0.1)", "unknown parameter 'gate'"},
        {"hint(gate=0.1)", "unknown parameter 'gate'"},
        {"kd(gate=1)", "'gate' must be a number from 0 to below 1"},
        {"kd(gate=0.1, gated=kd)", "unknown gated 'kd'"},
        {"kd(gate=0.1, soften=0)", "'soften' must be a number from"},
        {"abkd(alpha=0)", "'alpha' must be a number from"},
        {"wttm(T=4)", "unknown parameter 'T'"},
        {"kd(T=0)", "'T' must be a number from"},
        {"kd(T=-1)", "'T' must be a number from"},
        {"kd(T=nan)", "'T' must be a number from"},
        {"ce(label_smoothing=1)", "must be a number from 0 to below 1"},
        {"kd(reduction=sum)", "unknown reduction 'sum'"},
        {"kd(T=4", "')' is missing"},
        {"kd(T 4)", "'=' is missing"},
        {"kd T=4", "'+' is missing"},
        {"-1*ce", "a term is missing"},
        {"1e99*ce", "a term is missing"},
        {"hint(student=a)", "hint has 1 features of the student and 0 of the teacher"},
        {"hint(student=[a,b], teacher=c)", "hint has 2 features of the student and 1"},
        {"hint(student=, teacher=c)", "the name of a feature is missing"},
        {"hint(student=[a, teacher=c)", "']' is missing"},
        {"ce(student=[a, b])", "ce takes one feature"},
        {"hint(regressor=conv5x5)", "unknown regressor 'conv5x5', did you mean 'conv1x1'?"},
        {"ce+ce+ce+ce+ce+ce+ce+ce+ce+ce+ce+ce+ce+ce+ce+ce+ce", "more than 16 terms"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct loss_expression e;
        struct error err = {0};
        if (loss_expression_parse(&e, cases[i][0], &err) != STATUS_USAGE || !strstr(err.message, cases[i][1]))
            fail_msg("'%s' gave %d: %s", cases[i][0], (int)err.code, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_expressions),       cmocka_unit_test(parses_values),
        cmocka_unit_test(usual_expressions_parse),  cmocka_unit_test(students_are_alike),
        cmocka_unit_test(weights_follow_schedules), cmocka_unit_test(refuses_expressions),
    };
    return cmocka_run_group_tests_name("loss_expression", tests, NULL, NULL);
}
