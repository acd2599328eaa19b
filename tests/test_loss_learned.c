/* Terms with trained embeddings, on every backend: against PyTorch, derivatives, extremes, several students. What only
 * crd has is in test_loss_contrast.c. */
#include "tests/helper_learned.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void cc_equals_pytorch(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    struct learned_inputs f;
    struct learned_result o;
    learned_inputs_init(&f);
    const struct loss_case c = learned_case(&f, &learned_cc);
    learned_run(&t, &c, &o);
    learned_check_gradients(&f.golden, &o, "cc");
    learned_inputs_release(&f);
    test_device_close(&t);
}

static void gradients_are_derivatives(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    struct learned_inputs f;
    learned_inputs_init(&f);
    struct loss_case c = learned_case(&f, &learned_cc);
    c.rows = 3;
    loss_case_derivatives(&t, &c, 1.0f / 1024, 1e-4);
    c = learned_case(&f, &learned_crd);
    c.rows = 3;
    loss_case_derivatives(&t, &c, 1.0f / 64, 1e-3);
    learned_inputs_release(&f);
    test_device_close(&t);
}

/* ---- extremes ---- */
static void check_finite(const struct learned_result *o)
{
    assert_true(isfinite(o->value));
    for (int i = 0; i < VALUES; i++)
        assert_true(isfinite(o->student[i]));
    for (int i = 0; i < PARAMETERS; i++)
        assert_true(isfinite(o->parameters[i]));
}

static void extremes_stay_finite(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    const struct loss_term terms[] = {learned_cc, learned_crd};
    for (int i = 0; i < 2; i++)
        for (int what = 0; what < 5; what++) {
            struct loss_term term = terms[i];
            struct learned_inputs f;
            struct learned_result o;
            learned_inputs_init(&f);
            struct loss_case c = learned_case(&f, &term);
            if (what == 0) /* zeros, and a memory of zeros */
                memset(f.student, 0, VALUES * sizeof *f.student), memset(f.parameters, 0, sizeof f.parameters),
                    memset(f.state, 0, MEMORY * sizeof *f.state);
            for (int k = 0; what == 1 && k < ROWS; k++) /* equal rows */
                memcpy(f.student + k * SIZE, f.student, SIZE * sizeof *f.student),
                    memcpy(f.teacher + k * TEACHER, f.teacher, TEACHER * sizeof *f.teacher);
            if (what == 2)
                c.rows = 1;
            for (int k = 0; what == 3 && k < VALUES; k++)
                f.student[k] *= 1e15f;
            if (what == 4) { /* exponents of a thousand, and normalisers that are not set yet */
                term.temperature = 1e-3f;
                memcpy(f.state + MEMORY, f.student, VALUES * sizeof *f.student);
                f.state[2 * MEMORY] = f.state[2 * MEMORY + 1] = 0;
            }
            learned_run(&t, &c, &o);
            check_finite(&o);
            if (c.rows == 1 && i == 0)
                assert_true(o.value == 0);
            for (int k = 0; i == 1 && k < STATE; k++)
                assert_true(isfinite(f.state[k]));
            learned_inputs_release(&f);
        }
    test_device_close(&t);
}

static void without_rows_gradients_are_zero(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    for (int i = 0; i < 2; i++) {
        struct learned_inputs f;
        struct learned_result o;
        float before[STATE];
        learned_inputs_init(&f);
        memcpy(before, f.state, sizeof before);
        struct loss_case c = learned_case(&f, i ? &learned_crd : &learned_cc);
        c.rows = -1;
        learned_run(&t, &c, &o);
        for (int k = 0; k < PARAMETERS; k++)
            assert_true(o.parameters[k] == 0);
        for (int k = 0; k < VALUES; k++)
            assert_true(o.student[k] == 0);
        assert_memory_equal(before, f.state, sizeof before);
        learned_inputs_release(&f);
    }
    test_device_close(&t);
}

/* ---- several students ---- */
static void students_side_by_side_are_as_alone(void **state)
{
    enum { STUDENTS = 2, USED = 5 };
    struct test_device t = test_device_open(*state, 3);
    static float student[STUDENTS * VALUES], parameters[STUDENTS * PARAMETERS], memory[STUDENTS * STATE];
    static float student_gradient[STUDENTS * VALUES], parameter_gradient[STUDENTS * PARAMETERS];
    for (int i = 0; i < 2; i++) {
        struct loss_term terms[STUDENTS] = {i ? learned_crd : learned_cc, i ? learned_crd : learned_cc};
        struct learned_inputs f;
        double values[STUDENTS];
        learned_inputs_init(&f);
        terms[1].weight = 3;
        terms[1].temperature = 0.1f;
        for (int k = 0; k < STUDENTS; k++) {
            for (int j = 0; j < VALUES; j++)
                student[k * VALUES + j] = f.student[k == 0 ? j : VALUES - 1 - j];
            for (int j = 0; j < PARAMETERS; j++)
                parameters[k * PARAMETERS + j] = f.parameters[k == 0 ? j : PARAMETERS - 1 - j];
            memcpy(memory + k * STATE, f.state, sizeof f.state);
        }
        struct loss_case c = learned_case(&f, terms);
        c.students = STUDENTS;
        c.rows = USED;
        c.student = student;
        c.parameters = parameters;
        c.state = i ? memory : NULL;
        loss_case_run(&t, &c, &(struct loss_result){values, NULL, student_gradient, parameter_gradient});
        for (int k = 0; k < STUDENTS; k++) {
            struct learned_result alone;
            float own[STATE];
            memcpy(own, f.state, sizeof own);
            c.students = 1;
            c.terms = &terms[k];
            c.student = student + k * VALUES;
            c.parameters = parameters + k * PARAMETERS;
            c.state = i ? own : NULL;
            learned_run(&t, &c, &alone);
            assert_true(alone.value == values[k]);
            assert_memory_equal(alone.student, student_gradient + k * VALUES, sizeof alone.student);
            assert_memory_equal(alone.parameters, parameter_gradient + k * PARAMETERS, sizeof alone.parameters);
            if (i)
                assert_memory_equal(own, memory + k * STATE, sizeof own);
        }
        learned_inputs_release(&f);
    }
    test_device_close(&t);
}

static void threads_make_no_difference(void **state)
{
    struct test_device one = test_device_open("cpu", 1), three = test_device_open("cpu", 3);
    const struct loss_term terms[] = {learned_cc, learned_crd};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct learned_inputs f, g;
        static struct learned_result a, b;
        learned_inputs_init(&f);
        learned_inputs_init(&g);
        const struct loss_case c = learned_case(&f, &terms[i]), d = learned_case(&g, &terms[i]);
        memset(&a, 0, sizeof a);
        memset(&b, 0, sizeof b);
        learned_run(&one, &c, &a);
        learned_run(&three, &d, &b);
        assert_memory_equal(&a, &b, sizeof a);
        assert_memory_equal(f.state, g.state, sizeof f.state);
        learned_inputs_release(&f);
        learned_inputs_release(&g);
    }
    test_device_close(&one);
    test_device_close(&three);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(cc_equals_pytorch),
        ON_EVERY_BACKEND(gradients_are_derivatives),
        ON_EVERY_BACKEND(extremes_stay_finite),
        ON_EVERY_BACKEND(without_rows_gradients_are_zero),
        ON_EVERY_BACKEND(students_side_by_side_are_as_alone),
        cmocka_unit_test(threads_make_no_difference),
    };
    return cmocka_run_group_tests_name("loss_learned", tests, NULL, NULL);
}
