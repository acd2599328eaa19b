/* Loss expressions: what is understood, and what is said about what is not. */
#include "student_train/loss_expression.h"

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

static void refuses_expressions(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "a term is missing"},
        {"ce +", "a term is missing"},
        {"0.5 ce", "'*' is missing"},
        {"kb(T=4)", "unknown term 'kb', did you mean 'kd'?; known: ce, kd"},
        {"hint(student=a)", "unknown term 'hint'; known: ce, kd"},
        {"kd(t=4)", "unknown parameter 't'"},
        {"ce(label_smothing=0.1)", "did you mean 'label_smoothing'?"},
        {"kd(T=0)", "'T' wants a number from"},
        {"kd(T=-1)", "'T' wants a number from"},
        {"kd(T=nan)", "'T' wants a number from"},
        {"ce(label_smoothing=1)", "wants a number from 0 up to 1"},
        {"kd(reduction=sum)", "unknown reduction 'sum'"},
        {"kd(T=4", "')' is missing"},
        {"kd(T 4)", "'=' is missing"},
        {"kd T=4", "'+' is missing"},
        {"-1*ce", "a term is missing"},
        {"1e99*ce", "a term is missing"},
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
        cmocka_unit_test(parses_expressions),
        cmocka_unit_test(refuses_expressions),
    };
    return cmocka_run_group_tests_name("loss_expression", tests, NULL, NULL);
}
