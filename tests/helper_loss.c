#include "tests/helper_loss.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The current step is the second of three, and the term is the fourth of its loss. A batch of the epoch inputs has one
 * more sample. */
enum { STEP = 1, STEPS = 3, INDEX = 3 };
enum { GAP = 8, SCRATCH_GAP = 32, MAX_COMPONENTS = 100 };

/* Device memory with `each` values per student, of which `used` are in use and the rest poison, and GAP floats between
 * the students. */
struct copies {
    float *memory;
    size_t each, used, stride; /* floats */
    int students;
};

static struct copies copies_new(const struct test_device *t, size_t each, size_t used, int students)
{
    struct copies c = {.each = each, .used = used, .stride = each + GAP, .students = students};
    c.memory = test_device_buffer(t, NULL, (size_t)students * c.stride * sizeof(float));
    return c;
}

/* from [students][each]; NULL: zeros */
static void copies_write(const struct test_device *t, const struct copies *c, const float *from)
{
    float *values = calloc(c->used + 1, sizeof *values);
    assert_non_null(values);
    for (int k = 0; k < c->students; k++) {
        if (from && c->used)
            memcpy(values, from + (size_t)k * c->each, c->used * sizeof *values);
        test_device_upload(t, c->memory + (size_t)k * c->stride, values, c->used * sizeof *values);
    }
    free(values);
}

/* to [students][each], zeros behind the used ones. Fails the test unless everything else is still poison. NULL: checks
 * only. */
static void copies_read(const struct test_device *t, const struct copies *c, float *to)
{
    float *values = malloc(c->stride * sizeof *values);
    assert_non_null(values);
    for (int k = 0; k < c->students; k++) {
        test_device_download(t, values, c->memory + (size_t)k * c->stride, c->stride * sizeof *values);
        for (size_t i = c->used; i < c->stride; i++)
            if (!isnan(values[i]))
                fail_msg("the term wrote float %zu behind its rows", i - c->used);
        memset(values + c->used, 0, (c->stride - c->used) * sizeof *values);
        if (to)
            memcpy(to + (size_t)k * c->each, values, c->each * sizeof *values);
    }
    free(values);
}

/* A case on a device. */
struct setting {
    const struct test_device *t;
    struct loss_case c;
    struct test_inputs f;
    struct copies logits, gradient, student, student_gradient, teacher, parameters, parameter_gradients, state;
    size_t scratch, scratch_stride;
    struct loss_batch batch;
};

static struct loss_case with_defaults(struct loss_case c)
{
    c.students = c.students ? c.students : 1;
    c.rows = c.student && c.rows ? c.rows : c.shape.batch;
    c.rows = c.rows < 0 ? 0 : c.rows;
    return c;
}

static void make_inputs(struct setting *s)
{
    const struct loss_case *c = &s->c;
    const unsigned parts = (c->teacher_logits ? EPOCH_TEACHER : 0) | (c->mixes ? EPOCH_MIXES : 0);
    const int batch = c->shape.batch + 1;
    const size_t count = (size_t)c->shape.batch, classes = (size_t)c->shape.classes, capacity = STEPS * (size_t)batch;
    struct epoch_content *content = &s->f.content;
    struct error err = {0};
    test_must(epoch_content_init(content, capacity, batch, c->students, c->shape.classes, parts, &err), &err);
    test_must(epoch_inputs_init(&s->f.inputs, s->t->backend->device, s->t->device, content, &err), &err);
    memset(content->samples, 0xff, capacity * sizeof *content->samples);
    memset(content->labels, 0xff, capacity * sizeof *content->labels);
    memset(content->scalars, 0xff, STEPS * (size_t)c->students * sizeof *content->scalars);
    for (size_t i = 0, at = STEP * (size_t)batch; i < count; i++, at++) {
        content->samples[at] = c->samples ? c->samples[i] : (uint32_t)i;
        content->labels[at] = c->labels ? c->labels[i] : 0;
    }
    if (c->teacher_logits) {
        memset(content->teacher, 0xff, capacity * classes * sizeof *content->teacher);
        memcpy(content->teacher + STEP * (size_t)batch * classes, c->teacher_logits,
               count * classes * sizeof *content->teacher);
    }
    if (c->mixes) {
        memset(content->mixes, 0xff, capacity * sizeof *content->mixes);
        memset(content->partner_labels, 0xff, capacity * sizeof *content->partner_labels);
        memcpy(content->mixes + STEP * (size_t)batch, c->mixes, count * sizeof *content->mixes);
        memcpy(content->partner_labels + STEP * (size_t)batch, c->partner_labels,
               count * sizeof *content->partner_labels);
    }
    for (int k = 0; k < c->students; k++) {
        struct step_scalars *scalars = &content->scalars[STEP * c->students + k];
        scalars->seed = c->seed;
        scalars->step = c->step;
        scalars->weights[INDEX] = c->terms[k].weight;
        scalars->rows[INDEX] = (uint32_t)c->rows;
    }
    test_inputs_upload(&s->f, s->t, STEP);
}

static void setting_init(struct setting *s, const struct test_device *t, const struct loss_case *given)
{
    *s = (struct setting){.t = t, .c = with_defaults(*given)};
    const struct loss_case *c = &s->c;
    const struct loss_shape *shape = &c->shape;
    const size_t batch = (size_t)shape->batch, rows = (size_t)c->rows, logits = batch * (size_t)shape->classes;
    const size_t value = c->student ? (size_t)shape->pixels * (size_t)shape->channels : 0;
    const size_t teacher = c->teacher ? (size_t)shape->teacher_pixels * (size_t)shape->teacher_channels : 0;
    make_inputs(s);
    s->logits = copies_new(t, logits, logits, c->students);
    s->gradient = copies_new(t, logits, logits, c->students);
    s->student = copies_new(t, batch * value, rows * value, c->students);
    s->student_gradient = copies_new(t, batch * value, rows * value, c->students);
    s->teacher = copies_new(t, batch * teacher, rows * teacher, 1);
    s->parameters = copies_new(t, c->parameter_count, c->parameter_count, c->students);
    s->parameter_gradients = copies_new(t, c->parameter_count, c->parameter_count, c->students);
    s->state = copies_new(t, c->state_count, c->state_count, c->students);
    s->scratch = t->backend->training->losses->scratch(c->terms, shape);
    s->scratch_stride = (s->scratch + SCRATCH_GAP + 15) / 16 * 16;
    s->batch = (struct loss_batch){
        .count = shape->batch,
        .students = c->students,
        .logits = s->logits.memory,
        .logit_stride = s->logits.stride,
        .gradient_stride = s->gradient.stride,
        .inputs = &s->f.inputs,
        .metrics = test_device_buffer(t, NULL, (size_t)c->students * METRIC_COUNT * sizeof(double)),
        .shape = *shape,
        .student = c->student ? s->student.memory : NULL,
        .student_stride = s->student.stride,
        .teacher = c->teacher ? s->teacher.memory : NULL,
        .parameters = c->parameter_count ? s->parameters.memory : NULL,
        .parameter_stride = s->parameters.stride,
        .state = c->state_count ? s->state.memory : NULL,
        .state_stride = s->state.stride,
        .scratch = test_device_buffer(t, NULL, (size_t)c->students * s->scratch_stride),
        .scratch_stride = s->scratch_stride,
    };
    memcpy(s->batch.learned, c->learned, sizeof c->learned);
}

static void setting_release(struct setting *s)
{
    struct copies *const all[] = {&s->logits,
                                  &s->gradient,
                                  &s->student,
                                  &s->student_gradient,
                                  &s->teacher,
                                  &s->parameters,
                                  &s->parameter_gradients,
                                  &s->state};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        test_device_free(s->t, all[i]->memory);
    test_device_free(s->t, s->batch.metrics);
    test_device_free(s->t, s->batch.scratch);
    test_inputs_release(&s->f, s->t);
}

static void clear_gradients(struct setting *s)
{
    copies_write(s->t, &s->gradient, NULL);
    copies_write(s->t, &s->student_gradient, NULL);
    test_device_poison(s->t, s->parameter_gradients.memory,
                       (size_t)s->c.students * s->parameter_gradients.stride * sizeof(float));
}

static void check_metrics(const struct setting *s, const struct loss_term *term, const double *metrics)
{
    const double mean = metrics[METRIC_TERMS + INDEX] / s->c.rows;
    for (int i = 0; i < METRIC_COUNT; i++)
        if (i != METRIC_LOSS && i != METRIC_TERMS + INDEX && i != METRIC_ROWS + INDEX && metrics[i] != 0)
            fail_msg("the term wrote metric %d, which is not its own", i);
    assert_float_equal(metrics[METRIC_ROWS + INDEX], s->c.rows, 0);
    if (s->c.rows == 0)
        assert_true(metrics[METRIC_LOSS] == 0 && metrics[METRIC_TERMS + INDEX] == 0);
    if (isfinite(mean))
        assert_float_equal(metrics[METRIC_LOSS], term->weight * mean * s->c.shape.batch,
                           1e-9 * fabs(metrics[METRIC_LOSS]));
}

static void check_scratch(const struct setting *s)
{
    unsigned char *bytes = malloc(s->scratch_stride);
    assert_non_null(bytes);
    for (int k = 0; k < s->c.students; k++) {
        test_device_download(s->t, bytes, (char *)s->batch.scratch + (size_t)k * s->scratch_stride, s->scratch_stride);
        for (size_t i = s->scratch; i < s->scratch_stride; i++)
            if (bytes[i] != 0xff)
                fail_msg("the term wrote byte %zu behind its scratch memory", i - s->scratch);
    }
    free(bytes);
}

/* Runs the term on the case's present inputs; gradients are added to what is there. values: [students] */
static void run(struct setting *s, bool gradients, double *values)
{
    const struct loss_case *c = &s->c;
    const size_t bytes = (size_t)c->students * METRIC_COUNT * sizeof(double);
    struct loss_batch batch = s->batch;
    struct error err = {0};
    double *metrics = calloc(1, bytes);
    assert_non_null(metrics);
    copies_write(s->t, &s->logits, c->logits);
    copies_write(s->t, &s->student, c->student);
    copies_write(s->t, &s->teacher, c->teacher);
    copies_write(s->t, &s->parameters, c->parameters);
    copies_write(s->t, &s->state, c->state);
    test_device_upload(s->t, batch.metrics, metrics, bytes);
    test_device_poison(s->t, batch.scratch, (size_t)c->students * s->scratch_stride);
    if (gradients) {
        batch.gradient = s->gradient.memory;
        batch.student_gradient = c->student ? s->student_gradient.memory : NULL;
        batch.parameter_gradients = c->parameter_count ? s->parameter_gradients.memory : NULL;
    }
    test_must(s->t->backend->training->losses->add(s->t->device, c->terms, INDEX, &batch, &err), &err);
    test_device_download(s->t, metrics, batch.metrics, bytes);
    for (int k = 0; k < c->students; k++) {
        check_metrics(s, &c->terms[k], metrics + (size_t)k * METRIC_COUNT);
        values[k] = metrics[(size_t)k * METRIC_COUNT + METRIC_TERMS + INDEX] / c->rows;
    }
    check_scratch(s);
    copies_read(s->t, &s->state, NULL);
    free(metrics);
}

void loss_case_run(const struct test_device *t, const struct loss_case *c, const struct loss_result *result)
{
    struct setting s;
    double values[TRAINING_MAX_STUDENTS];
    setting_init(&s, t, c);
    clear_gradients(&s);
    run(&s, result->gradient || result->student_gradient || result->parameter_gradient, values);
    if (result->values)
        memcpy(result->values, values, (size_t)s.c.students * sizeof *values);
    copies_read(t, &s.gradient, result->gradient);
    copies_read(t, &s.student_gradient, result->student_gradient);
    copies_read(t, &s.parameter_gradients, result->parameter_gradient);
    copies_read(t, &s.state, c->state);
    setting_release(&s);
}

/* ---- derivatives ---- */
/* One of the case's inputs, [used], and the gradient that the term computed for it. */
struct derivative_input {
    const char *name;
    const float **place; /* the case's pointer */
    size_t used;
    const float *gradient;
};

static double value_with(struct setting *s, float *x, float value)
{
    const float before = *x;
    double loss;
    *x = value;
    run(s, false, &loss);
    *x = before;
    return loss;
}

static void check_derivatives(struct setting *s, const struct derivative_input *input, float step, double tolerance)
{
    const size_t stride = input->used / MAX_COMPONENTS + 1;
    const float *given = *input->place;
    const float weight = s->c.terms->weight;
    float *values = malloc(input->used * sizeof *values);
    double largest = 1e-3;
    assert_non_null(values);
    memcpy(values, given, input->used * sizeof *values);
    *input->place = values;
    for (size_t i = 0; i < input->used; i++)
        largest = fmax(largest, fabs(input->gradient[i]));
    for (size_t i = 0; i < input->used; i += stride) {
        const float up = values[i] + step, down = values[i] - step;
        const double rise = value_with(s, &values[i], up) - value_with(s, &values[i], down);
        const double derivative = weight * rise / ((double)up - (double)down);
        if (!(fabs(input->gradient[i] - derivative) <= tolerance * largest))
            fail_msg("the gradient of %s %zu is %.9g, central differences give %.9g (largest gradient: %.3g)",
                     input->name, i, (double)input->gradient[i], derivative, largest);
    }
    *input->place = given;
    free(values);
}

/* After a second run without clearing: gradients of logits and features are added to, those of parameters are not. */
static void check_adding(struct setting *s, const struct copies *copies, const float *once, float times)
{
    float *twice = malloc((copies->each + 1) * sizeof *twice);
    assert_non_null(twice);
    copies_read(s->t, copies, twice);
    for (size_t i = 0; i < copies->used; i++)
        if (!(fabsf(twice[i] - times * once[i]) <= 1e-5f * fabsf(once[i]) + 1e-12f))
            fail_msg("gradient %zu is %.9g after a second run, was %.9g", i, (double)twice[i], (double)once[i]);
    free(twice);
}

void loss_case_derivatives(const struct test_device *t, const struct loss_case *c, float step, double tolerance)
{
    struct setting s;
    double value;
    setting_init(&s, t, c);
    assert_int_equal(s.c.students, 1);
    const struct copies *const gradients[] = {&s.gradient, &s.student_gradient, &s.parameter_gradients};
    const float **const places[] = {&s.c.logits, &s.c.student, &s.c.parameters};
    const char *const names[] = {"logit", "student value", "parameter"};
    float *once[3];
    clear_gradients(&s);
    run(&s, true, &value);
    for (int i = 0; i < 3; i++) {
        once[i] = malloc((gradients[i]->each + 1) * sizeof **once);
        assert_non_null(once[i]);
        copies_read(t, gradients[i], once[i]);
    }
    run(&s, true, &value);
    for (int i = 0; i < 3; i++) {
        const struct derivative_input input = {names[i], places[i], gradients[i]->used, once[i]};
        check_adding(&s, gradients[i], once[i], i < 2 ? 2 : 1);
        if (*places[i])
            check_derivatives(&s, &input, step, tolerance);
        free(once[i]);
    }
    setting_release(&s);
}
