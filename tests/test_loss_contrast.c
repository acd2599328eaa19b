/* Contrastive representation distillation, on every backend: against PyTorch, its memory, its negatives, CUDA against
 * the CPU. */
#include "tests/helper_learned.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* The batch's rows are PyTorch's, the others unchanged. */
static void check_memory(const struct learned_inputs *f, const float *before, const char *entry)
{
    static const char *const names[] = {"memory_student", "memory_teacher"};
    for (int k = 0; k < 2; k++) {
        float rows[VALUES];
        bool changed[SAMPLES] = {false};
        for (int i = 0; i < ROWS; i++) {
            changed[f->samples[i]] = true;
            memcpy(rows + i * SIZE, f->state + k * MEMORY + f->samples[i] * SIZE, SIZE * sizeof *rows);
        }
        golden_check(&f->golden, rows, VALUES, LEARNED_TOLERANCE, "%s/f64/state/%s", entry, names[k]);
        for (int i = 0; i < SAMPLES; i++)
            if (!changed[i])
                assert_memory_equal(f->state + k * MEMORY + i * SIZE, before + k * MEMORY + i * SIZE,
                                    SIZE * sizeof *before);
    }
    golden_check(&f->golden, f->state + 2 * MEMORY, 2, LEARNED_TOLERANCE, "%s/f64/state/normaliser", entry);
}

static void crd_equals_pytorch(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    const char *const entries[] = {"crd", "crd_first"};
    for (int i = 0; i < 2; i++) {
        struct learned_inputs f;
        struct learned_result o;
        float before[STATE];
        learned_inputs_init(&f);
        if (i == 1) /* the first step: no normalisers yet */
            f.state[2 * MEMORY] = f.state[2 * MEMORY + 1] = 0;
        memcpy(before, f.state, sizeof before);
        const struct loss_case c = learned_case(&f, &learned_crd);
        learned_run(&t, &c, &o);
        learned_check_gradients(&f.golden, &o, entries[i]);
        check_memory(&f, before, entries[i]);
        learned_inputs_release(&f);
    }
    test_device_close(&t);
}

static void values_alone_change_no_memory(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    struct learned_inputs f;
    float before[STATE];
    double value;
    learned_inputs_init(&f);
    f.state[2 * MEMORY] = f.state[2 * MEMORY + 1] = 0;
    memcpy(before, f.state, sizeof before);
    const struct loss_case c = learned_case(&f, &learned_crd);
    loss_case_run(&t, &c, &(struct loss_result){.values = &value});
    learned_check_value(value, golden_value(&f.golden, "crd_first/f64/value"), 1e-6);
    assert_memory_equal(before, f.state, sizeof before);
    learned_inputs_release(&f);
    test_device_close(&t);
}

/* Draws change with seed and step. A sample is never its own negative: its P would count twice. */
static void negatives_change_from_step_to_step(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    struct learned_inputs f;
    double values[4];
    learned_inputs_init(&f);
    for (int i = 0; i < 4; i++) {
        struct loss_case c = learned_case(&f, &learned_crd);
        c.seed += i == 1 ? (uint64_t)1 << 32 : 0;
        c.step += i == 2 ? (uint64_t)1 << 32 : i == 3;
        loss_case_run(&t, &c, &(struct loss_result){.values = &values[i]});
        for (int k = 0; k < i; k++)
            assert_true(values[k] != values[i]);
    }
    learned_inputs_release(&f);
    test_device_close(&t);
}

/* Of two samples each is the other's only negative: the value is known. */
static void a_sample_is_not_its_own_negative(void **state)
{
    enum { DRAWS = 9 };
    struct test_device t = test_device_open(*state, 2);
    const struct loss_term term = {
        .kind = LOSS_CRD, .weight = 1, .temperature = 0.5f, .negatives = DRAWS, .momentum = 0.5f};
    struct learned_inputs f;
    double value, expected = 0;
    learned_inputs_init(&f);
    struct loss_case c = learned_case(&f, &term);
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
    learned_check_value(value, expected, 1e-6);
    learned_inputs_release(&f);
    test_device_close(&t);
}

static void check_near(const float *got, const float *expected, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < count; i++)
        assert_float_equal(got[i], expected[i], LEARNED_TOLERANCE * largest);
}

static void cuda_equals_the_cpu(void **state)
{
    enum { MANY = 300 }; /* negatives: more than a block works on at a time */
    struct test_device cpu = test_device_open("cpu", 2), cuda = test_device_open("cuda", 0);
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct loss_term term = learned_crd;
        struct learned_inputs f, g;
        struct learned_result expected, got;
        learned_inputs_init(&f);
        learned_inputs_init(&g);
        term.negatives = MANY;
        f.state[2 * MEMORY] = g.state[2 * MEMORY] = first ? 0 : 50;
        f.state[2 * MEMORY + 1] = g.state[2 * MEMORY + 1] = first ? 0 : 60;
        const struct loss_case c = learned_case(&f, &term), d = learned_case(&g, &term);
        learned_run(&cpu, &c, &expected);
        learned_run(&cuda, &d, &got);
        learned_check_value(got.value, expected.value, 1e-6);
        check_near(got.student, expected.student, VALUES);
        check_near(got.parameters, expected.parameters, PARAMETERS);
        check_near(g.state, f.state, 2 * MEMORY);
        check_near(g.state + 2 * MEMORY, f.state + 2 * MEMORY, 2);
        learned_inputs_release(&f);
        learned_inputs_release(&g);
    }
    test_device_close(&cpu);
    test_device_close(&cuda);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(crd_equals_pytorch),
        ON_EVERY_BACKEND(values_alone_change_no_memory),
        ON_EVERY_BACKEND(negatives_change_from_step_to_step),
        ON_EVERY_BACKEND(a_sample_is_not_its_own_negative),
        cmocka_unit_test(cuda_equals_the_cpu),
    };
    return cmocka_run_group_tests_name("loss_contrast", tests, NULL, NULL);
}
