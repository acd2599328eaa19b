/* Terms with trained embeddings and memory, on every backend: against PyTorch (tests/golden), slopes, memory, extremes,
 * several students, CUDA against the CPU. */
#include "tests/helper_golden.h"
#include "tests/helper_loss.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ROWS = 8, TEACHER = 24, SIZE = LOSS_EMBEDDING, SAMPLES = 40, NEGATIVES = 21 };
enum {
    WEIGHTS = SIZE * TEACHER,
    PARAMETERS = WEIGHTS + SIZE,
    MEMORY = SAMPLES * SIZE,
    STATE = 2 * MEMORY + 2,
    VALUES = ROWS * SIZE
};
/* Embeddings are compared in float by crd, whose exponents are 14 times as large. */
static const double TOLERANCE = 2e-6;

static const struct loss_term cc = {.kind = LOSS_CC, .weight = 1};
static const struct loss_term crd = {
    .kind = LOSS_CRD, .weight = 1, .temperature = 0.07f, .negatives = NEGATIVES, .momentum = 0.5f};

/* What golden/losses_relations.h5 has, as terms get it. */
struct fixture {
    struct golden golden;
    float *student, *teacher;
    float parameters[PARAMETERS], state[STATE];
    uint32_t samples[ROWS];
};

static void copy_floats(const struct golden *golden, float *to, size_t count, const char *name)
{
    float *values = golden_floats(golden, count, "inputs/%s", name);
    memcpy(to, values, count * sizeof *to);
    free(values);
}

static void fixture_init(struct fixture *f)
{
    f->golden = golden_open("tests/golden/losses_relations.h5");
    f->student = golden_floats(&f->golden, VALUES, "inputs/student_embedding");
    f->teacher = golden_floats(&f->golden, ROWS * TEACHER, "inputs/teacher_feature");
    copy_floats(&f->golden, f->parameters, WEIGHTS, "weight");
    copy_floats(&f->golden, f->parameters + WEIGHTS, SIZE, "bias");
    copy_floats(&f->golden, f->state, MEMORY, "memory_student");
    copy_floats(&f->golden, f->state + MEMORY, MEMORY, "memory_teacher");
    copy_floats(&f->golden, f->state + 2 * MEMORY, 2, "normaliser");
    double *samples = golden_doubles(&f->golden, ROWS, "inputs/samples");
    for (int i = 0; i < ROWS; i++)
        f->samples[i] = (uint32_t)samples[i];
    free(samples);
}

static void fixture_release(struct fixture *f)
{
    golden_close(&f->golden);
    free(f->student);
    free(f->teacher);
}

static struct loss_case case_of(struct fixture *f, const struct loss_term *term)
{
    return (struct loss_case){
        .terms = term,
        .shape = {.batch = ROWS,
                  .classes = 1,
                  .samples = SAMPLES,
                  .pixels = 1,
                  .channels = SIZE,
                  .teacher_pixels = 1,
                  .teacher_channels = TEACHER},
        .seed = 0x123456789abcdef0,
        .step = 7,
        .samples = f->samples,
        .student = f->student,
        .teacher = f->teacher,
        .parameters = f->parameters,
        .parameter_count = PARAMETERS,
        .state = term->kind == LOSS_CRD ? f->state : NULL,
        .state_count = term->kind == LOSS_CRD ? STATE : 0,
        .learned =
            {[LEARNED_BIAS] = WEIGHTS, [LEARNED_MEMORY_TEACHER] = MEMORY, [LEARNED_NORMALISER] = (size_t)2 * MEMORY},
    };
}

/* One student's. */
struct outcome {
    double value;
    float student[VALUES], parameters[PARAMETERS];
};

static void run(const struct test_device *t, const struct loss_case *c, struct outcome *o)
{
    loss_case_run(t, c, &(struct loss_result){&o->value, NULL, o->student, o->parameters});
}

static void must_equal(double got, double expected, double tolerance)
{
    if (!(fabs(got - expected) <= tolerance * fabs(expected)))
        fail_msg("%.12g, expected %.12g", got, expected);
}

/* ---- PyTorch ---- */
static void check_gradients(const struct golden *g, const struct outcome *o, const char *entry)
{
    must_equal(o->value, golden_value(g, "%s/f64/value", entry), 1e-6);
    golden_check(g, o->student, VALUES, TOLERANCE, "%s/f64/grad/student_embedding", entry);
    golden_check(g, o->parameters, WEIGHTS, TOLERANCE, "%s/f64/grad/weight", entry);
    golden_check(g, o->parameters + WEIGHTS, SIZE, TOLERANCE, "%s/f64/grad/bias", entry);
}

static void cc_equals_pytorch(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    struct fixture f;
    struct outcome o;
    fixture_init(&f);
    const struct loss_case c = case_of(&f, &cc);
    run(&t, &c, &o);
    check_gradients(&f.golden, &o, "cc");
    fixture_release(&f);
    test_device_close(&t);
}

/* The batch's rows are as PyTorch has them, the others as they were. */
static void check_memory(const struct fixture *f, const float *before, const char *entry)
{
    static const char *const names[] = {"memory_student", "memory_teacher"};
    for (int k = 0; k < 2; k++) {
        float rows[VALUES];
        bool changed[SAMPLES] = {false};
        for (int i = 0; i < ROWS; i++) {
            changed[f->samples[i]] = true;
            memcpy(rows + i * SIZE, f->state + k * MEMORY + f->samples[i] * SIZE, SIZE * sizeof *rows);
        }
        golden_check(&f->golden, rows, VALUES, TOLERANCE, "%s/f64/state/%s", entry, names[k]);
        for (int i = 0; i < SAMPLES; i++)
            if (!changed[i])
                assert_memory_equal(f->state + k * MEMORY + i * SIZE, before + k * MEMORY + i * SIZE,
                                    SIZE * sizeof *before);
    }
    golden_check(&f->golden, f->state + 2 * MEMORY, 2, TOLERANCE, "%s/f64/state/normaliser", entry);
}

static void crd_equals_pytorch(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    const char *const entries[] = {"crd", "crd_first"};
    for (int i = 0; i < 2; i++) {
        struct fixture f;
        struct outcome o;
        float before[STATE];
        fixture_init(&f);
        if (i == 1) /* the first step: no normalisers yet */
            f.state[2 * MEMORY] = f.state[2 * MEMORY + 1] = 0;
        memcpy(before, f.state, sizeof before);
        const struct loss_case c = case_of(&f, &crd);
        run(&t, &c, &o);
        check_gradients(&f.golden, &o, entries[i]);
        check_memory(&f, before, entries[i]);
        fixture_release(&f);
    }
    test_device_close(&t);
}

static void values_alone_change_no_memory(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    struct fixture f;
    float before[STATE];
    double value;
    fixture_init(&f);
    f.state[2 * MEMORY] = f.state[2 * MEMORY + 1] = 0;
    memcpy(before, f.state, sizeof before);
    const struct loss_case c = case_of(&f, &crd);
    loss_case_run(&t, &c, &(struct loss_result){.values = &value});
    must_equal(value, golden_value(&f.golden, "crd_first/f64/value"), 1e-6);
    assert_memory_equal(before, f.state, sizeof before);
    fixture_release(&f);
    test_device_close(&t);
}

static void gradients_are_slopes(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    struct fixture f;
    fixture_init(&f);
    struct loss_case c = case_of(&f, &cc);
    c.rows = 3;
    loss_case_slopes(&t, &c, 1.0f / 1024, 1e-4);
    c = case_of(&f, &crd);
    c.rows = 3;
    loss_case_slopes(&t, &c, 1.0f / 64, 1e-3);
    fixture_release(&f);
    test_device_close(&t);
}

/* Draws change with seed and step, and a sample is none of its own negatives: then its P would count twice. */
static void negatives_change_from_step_to_step(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    struct fixture f;
    double values[4];
    fixture_init(&f);
    for (int i = 0; i < 4; i++) {
        struct loss_case c = case_of(&f, &crd);
        c.seed += i == 1 ? (uint64_t)1 << 32 : 0;
        c.step += i == 2 ? (uint64_t)1 << 32 : i == 3;
        loss_case_run(&t, &c, &(struct loss_result){.values = &values[i]});
        for (int k = 0; k < i; k++)
            assert_true(values[k] != values[i]);
    }
    fixture_release(&f);
    test_device_close(&t);
}

/* Of two samples each is the other's only negative: the value is known. */
static void a_sample_is_not_its_own_negative(void **state)
{
    enum { DRAWS = 9 };
    struct test_device t = test_device_open(*state, 2);
    const struct loss_term term = {
        .kind = LOSS_CRD, .weight = 1, .temperature = 0.5f, .negatives = DRAWS, .momentum = 0.5f};
    struct fixture f;
    double value, expected = 0;
    fixture_init(&f);
    struct loss_case c = case_of(&f, &term);
    const uint32_t samples[ROWS] = {0};
    float zeros[PARAMETERS] = {0};
    c.shape.samples = 2;
    c.rows = 1;
    c.samples = samples;
    c.parameters = zeros; /* the teacher's embedding is 0, all of its exp 1 */
    loss_case_run(&t, &c, &(struct loss_result){.values = &value});
    const double noise = DRAWS / 2.0, bound = noise + 1e-7;
    for (int k = 0; k < 2; k++) {
        double p[2] = {0}, norm = 0;
        for (int d = 0; d < SIZE; d++) {
            norm += (double)f.student[d] * (double)f.student[d];
            for (int s = 0; s < 2; s++)
                p[s] += k == 0 ? (double)f.student[d] * (double)f.state[MEMORY + s * SIZE + d] : 0;
        }
        for (int s = 0; s < 2; s++)
            p[s] = exp(p[s] / sqrt(norm) / 0.5) / (double)f.state[2 * MEMORY + k];
        expected -= log(p[0] / (p[0] + bound)) + DRAWS * log(noise / (p[1] + bound));
    }
    must_equal(value, expected, 1e-6);
    fixture_release(&f);
    test_device_close(&t);
}

/* ---- extremes ---- */
static void check_finite(const struct outcome *o)
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
    const struct loss_term terms[] = {cc, crd};
    for (int i = 0; i < 2; i++)
        for (int what = 0; what < 5; what++) {
            struct loss_term term = terms[i];
            struct fixture f;
            struct outcome o;
            fixture_init(&f);
            struct loss_case c = case_of(&f, &term);
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
            if (what == 4) { /* exponents of a thousand, normalisers to be found */
                term.temperature = 1e-3f;
                memcpy(f.state + MEMORY, f.student, VALUES * sizeof *f.student);
                f.state[2 * MEMORY] = f.state[2 * MEMORY + 1] = 0;
            }
            run(&t, &c, &o);
            check_finite(&o);
            if (c.rows == 1 && i == 0)
                assert_true(o.value == 0);
            for (int k = 0; i == 1 && k < STATE; k++)
                assert_true(isfinite(f.state[k]));
            fixture_release(&f);
        }
    test_device_close(&t);
}

static void without_rows_gradients_are_zero(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    for (int i = 0; i < 2; i++) {
        struct fixture f;
        struct outcome o;
        float before[STATE];
        fixture_init(&f);
        memcpy(before, f.state, sizeof before);
        struct loss_case c = case_of(&f, i ? &crd : &cc);
        c.rows = -1;
        run(&t, &c, &o);
        for (int k = 0; k < PARAMETERS; k++)
            assert_true(o.parameters[k] == 0);
        for (int k = 0; k < VALUES; k++)
            assert_true(o.student[k] == 0);
        assert_memory_equal(before, f.state, sizeof before);
        fixture_release(&f);
    }
    test_device_close(&t);
}

/* ---- several ---- */
static void students_side_by_side_are_as_alone(void **state)
{
    enum { STUDENTS = 2, USED = 5 };
    struct test_device t = test_device_open(*state, 3);
    static float student[STUDENTS * VALUES], parameters[STUDENTS * PARAMETERS], memory[STUDENTS * STATE];
    static float student_gradient[STUDENTS * VALUES], parameter_gradient[STUDENTS * PARAMETERS];
    for (int i = 0; i < 2; i++) {
        struct loss_term terms[STUDENTS] = {i ? crd : cc, i ? crd : cc};
        struct fixture f;
        double values[STUDENTS];
        fixture_init(&f);
        terms[1].weight = 3;
        terms[1].temperature = 0.1f;
        for (int k = 0; k < STUDENTS; k++) {
            for (int j = 0; j < VALUES; j++)
                student[k * VALUES + j] = f.student[k == 0 ? j : VALUES - 1 - j];
            for (int j = 0; j < PARAMETERS; j++)
                parameters[k * PARAMETERS + j] = f.parameters[k == 0 ? j : PARAMETERS - 1 - j];
            memcpy(memory + k * STATE, f.state, sizeof f.state);
        }
        struct loss_case c = case_of(&f, terms);
        c.students = STUDENTS;
        c.rows = USED;
        c.student = student;
        c.parameters = parameters;
        c.state = i ? memory : NULL;
        loss_case_run(&t, &c, &(struct loss_result){values, NULL, student_gradient, parameter_gradient});
        for (int k = 0; k < STUDENTS; k++) {
            struct outcome alone;
            float own[STATE];
            memcpy(own, f.state, sizeof own);
            c.students = 1;
            c.terms = &terms[k];
            c.student = student + k * VALUES;
            c.parameters = parameters + k * PARAMETERS;
            c.state = i ? own : NULL;
            run(&t, &c, &alone);
            assert_true(alone.value == values[k]);
            assert_memory_equal(alone.student, student_gradient + k * VALUES, sizeof alone.student);
            assert_memory_equal(alone.parameters, parameter_gradient + k * PARAMETERS, sizeof alone.parameters);
            if (i)
                assert_memory_equal(own, memory + k * STATE, sizeof own);
        }
        fixture_release(&f);
    }
    test_device_close(&t);
}

static void threads_make_no_difference(void **state)
{
    struct test_device one = test_device_open("cpu", 1), three = test_device_open("cpu", 3);
    const struct loss_term terms[] = {cc, crd};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct fixture f, g;
        static struct outcome a, b;
        fixture_init(&f);
        fixture_init(&g);
        const struct loss_case c = case_of(&f, &terms[i]), d = case_of(&g, &terms[i]);
        memset(&a, 0, sizeof a);
        memset(&b, 0, sizeof b);
        run(&one, &c, &a);
        run(&three, &d, &b);
        assert_memory_equal(&a, &b, sizeof a);
        assert_memory_equal(f.state, g.state, sizeof f.state);
        fixture_release(&f);
        fixture_release(&g);
    }
    test_device_close(&one);
    test_device_close(&three);
}

static void check_near(const float *got, const float *expected, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < count; i++)
        assert_float_equal(got[i], expected[i], TOLERANCE * largest);
}

static void cuda_equals_the_cpu(void **state)
{
    enum { MANY = 300 }; /* negatives: more than any block has in hand */
    struct test_device cpu = test_device_open("cpu", 2), cuda = test_device_open("cuda", 0);
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct loss_term term = crd;
        struct fixture f, g;
        struct outcome expected, got;
        fixture_init(&f);
        fixture_init(&g);
        term.negatives = MANY;
        f.state[2 * MEMORY] = g.state[2 * MEMORY] = first ? 0 : 50;
        f.state[2 * MEMORY + 1] = g.state[2 * MEMORY + 1] = first ? 0 : 60;
        const struct loss_case c = case_of(&f, &term), d = case_of(&g, &term);
        run(&cpu, &c, &expected);
        run(&cuda, &d, &got);
        must_equal(got.value, expected.value, 1e-6);
        check_near(got.student, expected.student, VALUES);
        check_near(got.parameters, expected.parameters, PARAMETERS);
        check_near(g.state, f.state, 2 * MEMORY);
        check_near(g.state + 2 * MEMORY, f.state + 2 * MEMORY, 2);
        fixture_release(&f);
        fixture_release(&g);
    }
    test_device_close(&cpu);
    test_device_close(&cuda);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(cc_equals_pytorch),
        ON_EVERY_BACKEND(crd_equals_pytorch),
        ON_EVERY_BACKEND(values_alone_change_no_memory),
        ON_EVERY_BACKEND(gradients_are_slopes),
        ON_EVERY_BACKEND(negatives_change_from_step_to_step),
        ON_EVERY_BACKEND(a_sample_is_not_its_own_negative),
        ON_EVERY_BACKEND(extremes_stay_finite),
        ON_EVERY_BACKEND(without_rows_gradients_are_zero),
        ON_EVERY_BACKEND(students_side_by_side_are_as_alone),
        cmocka_unit_test(threads_make_no_difference),
        cmocka_unit_test(cuda_equals_the_cpu),
    };
    return cmocka_run_group_tests_name("loss_learned", tests, NULL, NULL);
}
