#include "tests/helper_learned.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

const struct loss_term learned_cc = {.kind = LOSS_CC, .weight = 1};
const struct loss_term learned_crd = {
    .kind = LOSS_CRD, .weight = 1, .temperature = 0.07f, .negatives = NEGATIVES, .momentum = 0.5f};

static void copy_floats(const struct golden *golden, float *to, size_t count, const char *name)
{
    float *values = golden_floats(golden, count, "inputs/%s", name);
    memcpy(to, values, count * sizeof *to);
    free(values);
}

void learned_inputs_init(struct learned_inputs *f)
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

void learned_inputs_release(struct learned_inputs *f)
{
    golden_close(&f->golden);
    free(f->student);
    free(f->teacher);
}

struct loss_case learned_case(struct learned_inputs *f, const struct loss_term *term)
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

void learned_run(const struct test_device *t, const struct loss_case *c, struct learned_result *o)
{
    loss_case_run(t, c, &(struct loss_result){&o->value, NULL, o->student, o->parameters});
}

void learned_check_value(double got, double expected, double tolerance)
{
    if (!(fabs(got - expected) <= tolerance * fabs(expected)))
        fail_msg("the value is %.12g, expected %.12g", got, expected);
}

void learned_check_gradients(const struct golden *g, const struct learned_result *o, const char *entry)
{
    learned_check_value(o->value, golden_value(g, "%s/f64/value", entry), 1e-6);
    golden_check(g, o->student, VALUES, LEARNED_TOLERANCE, "%s/f64/grad/student_embedding", entry);
    golden_check(g, o->parameters, WEIGHTS, LEARNED_TOLERANCE, "%s/f64/grad/weight", entry);
    golden_check(g, o->parameters + WEIGHTS, SIZE, LEARNED_TOLERANCE, "%s/f64/grad/bias", entry);
}
