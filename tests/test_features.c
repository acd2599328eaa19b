/* Reading features on every backend: the teacher's from a store, the student's from a network, and gradients back;
 * against plain loops over torch's windows and by finite differences. */
#include "shared/training/network.h"
#include "shared/tensor/half.h"
#include "tests/helper_device.h"
#include "tests/helper_nets.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BATCH = 6, COUNT = 5, ROWS = 4, STEP = 1, STEPS = 3, INDEX = 2, STUDENTS = 3, GAP = 8, MOST = 4096 };

/* ---- the specification ---- */
struct windows {
    int channels, h, w, to_h, to_w;
};

static int pooled_size(const struct windows *p)
{
    return p->to_h * p->to_w * p->channels;
}
static int full_size(const struct windows *p)
{
    return p->h * p->w * p->channels;
}

/* The weight of value (y, x) in average (i, j). */
static double share(const struct windows *p, int y, int x, int i, int j)
{
    const int top = (int)floor(i * (double)p->h / p->to_h), bottom = (int)ceil((i + 1) * (double)p->h / p->to_h);
    const int left = (int)floor(j * (double)p->w / p->to_w), right = (int)ceil((j + 1) * (double)p->w / p->to_w);
    return y >= top && y < bottom && x >= left && x < right ? 1.0 / ((bottom - top) * (right - left)) : 0;
}

/* One sample: pooled += the averages of full (forward), or full += the gradient that pooled gives it. */
static void walk_windows(const struct windows *p, double *full, double *pooled, bool forward)
{
    for (int at = 0; at < full_size(p) / p->channels; at++)
        for (int to = 0; to < p->to_h * p->to_w; to++) {
            const double weight = share(p, at / p->w, at % p->w, to / p->to_w, to % p->to_w);
            for (int c = 0; c < p->channels; c++) {
                double *value = &full[at * p->channels + c], *average = &pooled[to * p->channels + c];
                if (forward)
                    *average += weight * *value;
                else
                    *value += weight * *average;
            }
        }
}

static void close_to(const char *what, int i, double got, double expected, double tolerance)
{
    if (!(fabs(got - expected) <= tolerance * fmax(1, fabs(expected))))
        fail_msg("%s %d: %.9g, expected %.9g", what, i, got, expected);
}

static void all_poison(const char *what, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isnan(values[i]))
            fail_msg("%s: wrote %g to float %zu, which is not its own", what, (double)values[i], i);
}

/* ---- the teacher's features ---- */
/* Epoch inputs whose current step has ROWS rows with features at its front. All other samples and views that they name
 * do not exist. */
static void inputs_open(struct test_inputs *f, const struct test_device *t, int classes)
{
    const struct epoch_content sizes = {
        .batch = BATCH, .capacity = (size_t)STEPS * BATCH, .students = STUDENTS, .classes = classes};
    test_inputs_init(f, t, &sizes, EPOCH_TEACHER);
    struct epoch_content *content = &f->content;
    memset(content->samples, 0xff, content->capacity * sizeof *content->samples);
    memset(content->numbers, 0xff, content->capacity * sizeof *content->numbers);
    memset(content->scalars, 0xff, STEPS * STUDENTS * sizeof *content->scalars);
    for (int k = 0; k < STUDENTS; k++)
        content->scalars[STEP * STUDENTS + k].rows[INDEX] = (uint32_t)(ROWS - k);
    net_fill(content->teacher, content->capacity * (size_t)classes, 4);
}

static void check_teacher(const char *backend, enum dtype form, const struct windows *p)
{
    enum { SAMPLES = 5, VIEWS = 2, ITEMS = SAMPLES * VIEWS };
    static float values[ITEMS * MOST], out[BATCH * MOST], scales[ITEMS * 64];
    static uint16_t half[ITEMS * MOST];
    static int8_t bytes[ITEMS * MOST];
    struct test_device t = test_device_open(backend, 2);
    struct error err = {0};
    struct test_inputs f;
    void *stored, *stored_scales;
    const int size = full_size(p), pooled = pooled_size(p);
    inputs_open(&f, &t, 3);
    for (int row = 0; row < ROWS; row++) {
        f.content.samples[STEP * BATCH + row] = (uint32_t)(SAMPLES - 1 - row);
        f.content.numbers[STEP * BATCH + row] = (uint32_t)(row % VIEWS);
    }
    test_inputs_upload(&f, &t, STEP);
    net_fill(values, (size_t)(ITEMS * size), 1);
    net_fill(scales, (size_t)(ITEMS * p->channels), 2);
    half_from_floats(half, values, (size_t)(ITEMS * size));
    for (int i = 0; i < ITEMS * size; i++)
        bytes[i] = (int8_t)(i % 256 - 128);
    const size_t item = form == DTYPE_FP16 ? sizeof *half : sizeof *bytes, count = (size_t)(ITEMS * size);
    test_must(t.backend->device->store_new(t.device, count * item, "a test", &stored, &err), &err);
    test_must(t.backend->device->store_new(t.device, sizeof scales, "a test", &stored_scales, &err), &err);
    test_device_upload(&t, stored, form == DTYPE_FP16 ? (const void *)half : bytes, count * item);
    test_device_upload(&t, stored_scales, scales, sizeof scales);
    const struct feature_store store = {
        .dtype = form,
        .channels = p->channels,
        .h = p->h,
        .w = p->w,
        .views = VIEWS,
        .values = stored,
        .scales = form == DTYPE_INT8 ? stored_scales : NULL,
    };
    float *teacher = test_device_buffer(&t, NULL, sizeof out);
    test_must(t.backend->training->features->read_teacher(t.device, &store, &f.inputs, INDEX, p->to_h, p->to_w, teacher,
                                                          &err),
              &err);
    test_device_download(&t, out, teacher, sizeof out);
    for (int row = 0; row < ROWS; row++) {
        const int from = (SAMPLES - 1 - row) * VIEWS + row % VIEWS;
        double full[MOST], expected[MOST] = {0};
        for (int i = 0; i < size; i++)
            full[i] = form == DTYPE_FP16
                          ? half_to_float(half[from * size + i])
                          : bytes[from * size + i] * (double)scales[from * p->channels + i % p->channels];
        walk_windows(p, full, expected, true);
        for (int i = 0; i < pooled; i++)
            close_to("teacher", row * pooled + i, out[row * pooled + i], expected[i], form == DTYPE_FP16 ? 1e-6 : 1e-5);
    }
    all_poison("feature_teacher", out + ROWS * pooled, sizeof out / sizeof *out - (size_t)(ROWS * pooled));
    test_device_free(&t, teacher);
    test_device_free(&t, stored);
    test_device_free(&t, stored_scales);
    test_inputs_release(&f, &t);
    test_device_close(&t);
}

/* { channels, from h x w to h x w } */
static const struct windows all_windows[] = {{5, 7, 7, 4, 4},  {8, 5, 5, 3, 3}, {3, 8, 6, 3, 5},
                                             {12, 4, 4, 4, 4}, {7, 3, 3, 1, 1}, {16, 1, 1, 1, 1}};
enum { WINDOWS = sizeof all_windows / sizeof *all_windows };

static void teachers_come_from_the_store(void **state)
{
    for (int i = 0; i < WINDOWS; i++) {
        check_teacher(*state, DTYPE_FP16, &all_windows[i]);
        check_teacher(*state, DTYPE_INT8, &all_windows[i]);
    }
}

static void logits_serve_as_teachers(void **state)
{
    enum { CLASSES = 7 };
    float out[BATCH * CLASSES];
    struct test_device t = test_device_open(*state, 2);
    struct error err = {0};
    struct test_inputs f;
    inputs_open(&f, &t, CLASSES);
    test_inputs_upload(&f, &t, STEP);
    float *teacher = test_device_buffer(&t, NULL, sizeof out);
    test_must(t.backend->training->features->read_teacher(t.device, NULL, &f.inputs, INDEX, 1, 1, teacher, &err), &err);
    test_device_download(&t, out, teacher, sizeof out);
    assert_memory_equal(out, f.content.teacher + STEP * BATCH * CLASSES, ROWS * CLASSES * sizeof *out);
    all_poison("feature_teacher", out + ROWS * CLASSES, (BATCH - ROWS) * CLASSES);
    test_device_free(&t, teacher);
    test_inputs_release(&f, &t);
    test_device_close(&t);
}

/* ---- the student's features ---- */
enum { CLASSES = 3, INPUT = 3 * 8 * 6, TAPS = 4 };

/* A network with values of all kinds: batch norm and activation (two readers, odd channels), batch norm alone,
 * activation alone, the logits. */
struct student {
    struct test_device t;
    struct graph graph;
    struct network network;
    struct test_inputs f;
    struct pass pass;
    struct student_feature student_values[TAPS];
    struct windows windows[TAPS];
};

static void student_open(struct student *s, const char *backend, enum dtype dtype, bool training)
{
    struct error err = {0};
    float input[BATCH * INPUT];
    graph_init(&s->graph);
    const int stem = net_conv(&s->graph, net_input(&s->graph, 3, 8, 6), (struct net_window){5, .kernel = 3, .pad = 1});
    const int both = net_activation(&s->graph, net_batch_norm(&s->graph, stem), ACTIVATION_SIGMOID, 0, 0);
    const int norm =
        net_batch_norm(&s->graph, net_conv(&s->graph, both, (struct net_window){5, .kernel = 3, .pad = 1}));
    const int sum = net_add(&s->graph, both, net_activation(&s->graph, norm, ACTIVATION_HARD_SWISH, 0, 0));
    const int conv = net_conv(&s->graph, sum, (struct net_window){8, .kernel = 3, .stride = 2, .pad = 1, .bias = true});
    const int active = net_activation(&s->graph, conv, ACTIVATION_SIGMOID, 0, 0);
    const struct node pool = node_default(OP_GLOBAL_AVERAGE_POOL);
    const int output = net_linear(&s->graph, net_node(&s->graph, &pool, &active, 1), CLASSES, true);
    const int retained[] = {both, norm, active};
    const struct plan_options options = {.batch = BATCH, .dtype = dtype, .retained = retained, .retained_count = 3};
    net_weights(&s->graph, 7);
    s->t = test_device_open(backend, 2);
    test_must(network_init(&s->network, s->t.backend->training, s->t.device, &s->graph, &options, STUDENTS, &err),
              &err);
    for (int k = 1; k < STUDENTS; k++) {
        net_weights(&s->graph, (uint64_t)(7 + k));
        test_must(network_upload(&s->network, k, &s->graph, &err), &err);
    }
    const int nodes[TAPS] = {both, norm, active, output}, to[TAPS][2] = {{3, 5}, {8, 6}, {2, 1}, {1, 1}};
    for (int i = 0; i < TAPS; i++) {
        const struct plan *plan = &s->network.plan;
        s->student_values[i] = (struct student_feature){plan->node_tensor[nodes[i]], to[i][0], to[i][1]};
        const struct shape shape = plan->tensors[s->student_values[i].tensor].shape;
        s->windows[i] = (struct windows){shape.c, shape.h, shape.w, to[i][0], to[i][1]};
    }
    inputs_open(&s->f, &s->t, CLASSES);
    test_inputs_upload(&s->f, &s->t, STEP);
    net_fill(input, BATCH * INPUT, 3);
    test_device_write(&s->t, network_input(&s->network), dtype, input, BATCH * INPUT);
    s->pass = (struct pass){.count = COUNT, .training = training, .inputs = &s->f.inputs};
    test_must(network_forward(&s->network, &s->pass, &err), &err);
}

static void student_close(struct student *s)
{
    test_inputs_release(&s->f, &s->t);
    network_release(&s->network);
    test_device_close(&s->t);
    graph_release(&s->graph);
}

static enum dtype dtype_of(const struct student *s, int tensor)
{
    return tensor == s->network.plan.output ? DTYPE_FP32 : s->network.plan.dtype;
}

/* A student's elements of a tensor in one of the two buffers, as floats. */
static void take(const struct student *s, const void *buffer, size_t stride, size_t offset, int student, int tensor,
                 float *out, int count)
{
    const size_t at = ((size_t)student * stride + offset) * dtype_size(s->network.plan.dtype);
    test_device_read(&s->t, out, (const char *)buffer + at, dtype_of(s, tensor), (size_t)count);
}

/* The network's activations in a form of the test's own: kernels and reference share shared/graph/activation.h. */
static double activated(enum activation activation, double x)
{
    if (activation == ACTIVATION_RELU)
        return x > 0 ? x : 0;
    if (activation == ACTIVATION_SIGMOID)
        return 1 / (1 + exp(-x));
    if (activation == ACTIVATION_HARD_SWISH)
        return x < -3 ? 0 : x > 3 ? x : x * (x + 3) / 6;
    assert_int_equal(activation, ACTIVATION_NONE);
    return x;
}

/* A student feature: the raw values and the statistics, with the epilogue applied. */
static void expect_values(const struct student *s, int feature, int student, double *full)
{
    float raw[COUNT * MOST / 4], rows[PLAN_STATISTICS * 8];
    const struct plan *plan = &s->network.plan;
    const struct plan_tensor *tensor = &plan->tensors[s->student_values[feature].tensor];
    const int size = full_size(&s->windows[feature]), channels = s->windows[feature].channels;
    take(s, s->network.memory.values, plan->value_count, tensor->value, student, s->student_values[feature].tensor, raw,
         ROWS * size);
    if (tensor->batch_norm >= 0)
        test_device_download(&s->t, rows,
                             s->network.memory.statistics + (size_t)student * plan->statistics_count +
                                 plan->batch_norms[tensor->batch_norm].statistics,
                             (size_t)(PLAN_STATISTICS * channels) * sizeof *rows);
    for (int i = 0; i < ROWS * size; i++) {
        const int c = i % channels;
        const double x = tensor->batch_norm < 0 ? (double)raw[i]
                                                : (double)raw[i] * (double)rows[PLAN_SCALE * channels + c] +
                                                      (double)rows[PLAN_SHIFT * channels + c];
        full[i] = activated(tensor->activation, x);
    }
}

/* stride: 4 floats of alignment or none */
static void check_read(const char *backend, enum dtype dtype, bool training, int spare)
{
    static float out[STUDENTS * MOST];
    struct student s;
    struct error err = {0};
    student_open(&s, backend, dtype, training);
    for (int feature = 0; feature < TAPS; feature++) {
        const int pooled = pooled_size(&s.windows[feature]), size = full_size(&s.windows[feature]);
        const int stride = BATCH * pooled + spare;
        float *device = test_device_buffer(&s.t, NULL, sizeof out);
        test_must(s.t.backend->training->features->read_student(s.t.device, &s.network.plan, &s.network.memory, &s.pass,
                                                                INDEX, &s.student_values[feature], device,
                                                                (size_t)stride, &err),
                  &err);
        test_device_download(&s.t, out, device, sizeof out);
        for (int k = 0; k < STUDENTS; k++) {
            double full[ROWS * MOST / 4];
            const int rows = ROWS - k;
            expect_values(&s, feature, k, full);
            for (int row = 0; row < rows; row++) {
                double expected[MOST / 4] = {0};
                walk_windows(&s.windows[feature], full + row * size, expected, true);
                for (int i = 0; i < pooled; i++)
                    close_to("value", i, out[k * stride + row * pooled + i], expected[i], 3e-6);
            }
            all_poison("feature_read", out + k * stride + rows * pooled, (size_t)(stride - rows * pooled));
        }
        test_device_free(&s.t, device);
    }
    student_close(&s);
}

static void students_are_read_with_epilogue(void **state)
{
    check_read(*state, DTYPE_FP32, true, 3);
    check_read(*state, DTYPE_FP32, false, GAP);
    check_read(*state, DTYPE_BF16, true, GAP);
}

/* Two terms on one tensor: the second, with fewer rows, is added. Nothing else in the buffer changes. */
static void check_gradient(const char *backend, enum dtype dtype)
{
    static float coefficients[2][STUDENTS * MOST], got[COUNT * MOST / 4];
    struct student s;
    struct error err = {0};
    student_open(&s, backend, dtype, true);
    const struct plan *plan = &s.network.plan;
    const size_t bytes = STUDENTS * plan->gradient_count * dtype_size(dtype);
    unsigned char *before = malloc(bytes), *after = malloc(bytes);
    assert_true(before && after);
    for (int feature = 0; feature < TAPS; feature++) {
        const struct windows *p = &s.windows[feature];
        const int size = full_size(p), pooled = pooled_size(p), stride = BATCH * pooled + GAP;
        const struct plan_tensor *tensor = &plan->tensors[s.student_values[feature].tensor];
        test_device_poison(&s.t, s.network.memory.gradients, bytes);
        for (int term = 0; term < 2; term++) {
            struct step_scalars *scalars = s.f.content.scalars + STEP * STUDENTS;
            for (int k = 0; k < STUDENTS; k++)
                scalars[k].rows[INDEX] = (uint32_t)(ROWS - k - term);
            test_inputs_upload(&s.f, &s.t, STEP);
            net_fill(coefficients[term], STUDENTS * MOST, (uint64_t)(5 + term));
            for (int k = 0; k < STUDENTS; k++) /* everything behind the rows is poison */
                for (int i = (ROWS - k - term) * pooled; i < stride; i++)
                    coefficients[term][k * stride + i] = NAN;
            float *device = test_device_buffer(&s.t, coefficients[term], sizeof *coefficients);
            test_must(s.t.backend->training->features->add_gradient(s.t.device, plan, &s.network.memory, &s.pass, INDEX,
                                                                    &s.student_values[feature], device, (size_t)stride,
                                                                    term == 0, &err),
                      &err);
            test_device_free(&s.t, device);
        }
        test_device_download(&s.t, after, s.network.memory.gradients, bytes);
        memset(before, 0xff, bytes);
        for (int k = 0; k < STUDENTS; k++) {
            const size_t at = ((size_t)k * plan->gradient_count + tensor->gradient) * dtype_size(dtype);
            take(&s, s.network.memory.gradients, plan->gradient_count, tensor->gradient, k,
                 s.student_values[feature].tensor, got, COUNT * size);
            for (int row = 0; row < COUNT; row++) {
                double expected[MOST / 4] = {0}, given[MOST / 4];
                for (int term = 0; term < 2 && row < ROWS - k; term++) {
                    for (int i = 0; i < pooled; i++)
                        given[i] = row < ROWS - k - term ? coefficients[term][k * stride + row * pooled + i] : 0;
                    walk_windows(p, expected, given, false);
                }
                for (int i = 0; i < size; i++)
                    close_to("gradient", i, got[row * size + i], expected[i],
                             dtype_of(&s, s.student_values[feature].tensor) == DTYPE_BF16 ? 1e-2 : 1e-6);
            }
            const size_t own = (size_t)(COUNT * size) * dtype_size(dtype_of(&s, s.student_values[feature].tensor));
            memcpy(before + at, after + at, own);
        }
        assert_memory_equal(before, after, bytes);
    }
    free(before);
    free(after);
    student_close(&s);
}

static void gradients_go_back(void **state)
{
    check_gradient(*state, DTYPE_FP32);
    check_gradient(*state, DTYPE_BF16);
}

/* ---- through a whole network ---- */
/* Returns the loss of the first student: the sum of coefficients * features. With `backward`, runs it back, too. */
static double run_loss(struct student *s, const float *coefficients, bool backward)
{
    static float out[STUDENTS * MOST];
    struct error err = {0};
    double loss = 0;
    test_must(network_forward(&s->network, &s->pass, &err), &err);
    for (int feature = 0; feature < TAPS; feature++) {
        const int pooled = pooled_size(&s->windows[feature]);
        float *device = test_device_buffer(&s->t, NULL, sizeof out);
        test_must(s->t.backend->training->features->read_student(s->t.device, &s->network.plan, &s->network.memory,
                                                                 &s->pass, INDEX, &s->student_values[feature], device,
                                                                 (size_t)(BATCH * pooled), &err),
                  &err);
        test_device_download(&s->t, out, device, sizeof out);
        for (int i = 0; i < ROWS * pooled; i++)
            loss += (double)coefficients[feature * MOST + i] * (double)out[i];
        for (int k = 0; k < STUDENTS; k++)
            test_device_upload(&s->t, device + k * BATCH * pooled, coefficients + (size_t)feature * MOST,
                               (size_t)(BATCH * pooled) * sizeof *out);
        if (backward)
            test_must(s->t.backend->training->features->add_gradient(s->t.device, &s->network.plan, &s->network.memory,
                                                                     &s->pass, INDEX, &s->student_values[feature],
                                                                     device, (size_t)(BATCH * pooled), true, &err),
                      &err);
        test_device_free(&s->t, device);
    }
    if (backward)
        test_must(network_backward(&s->network, &s->pass, &err), &err);
    return loss;
}

static void gradients_are_derivatives(void **state)
{
    static float coefficients[TAPS * MOST];
    struct student s;
    student_open(&s, *state, DTYPE_FP32, true);
    const size_t count = s.network.plan.parameter_count;
    float *parameters = malloc(count * sizeof *parameters), *gradient = malloc(count * sizeof *gradient);
    assert_true(parameters && gradient);
    const int parts = 40;
    const float step = 1e-2f;
    double largest = 0, worst = 0;
    net_fill(coefficients, TAPS * MOST, 9);
    test_device_poison(&s.t, s.network.memory.gradients, STUDENTS * s.network.plan.gradient_count * sizeof(float));
    run_loss(&s, coefficients, true);
    test_device_download(&s.t, gradient, s.network.memory.parameter_gradients, count * sizeof *gradient);
    test_device_download(&s.t, parameters, s.network.memory.parameters, count * sizeof *parameters);
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)gradient[i]));
    for (int part = 0; part < parts; part++) {
        const size_t i = (size_t)part * (count - 1) / (size_t)(parts - 1);
        double loss[2];
        for (int side = 0; side < 2; side++) {
            const float moved = parameters[i] + (side ? -step : step);
            test_device_upload(&s.t, s.network.memory.parameters + i, &moved, sizeof moved);
            loss[side] = run_loss(&s, coefficients, false);
        }
        test_device_upload(&s.t, s.network.memory.parameters + i, &parameters[i], sizeof *parameters);
        worst = fmax(worst, fabs((loss[0] - loss[1]) / (2 * (double)step) - (double)gradient[i]));
    }
    if (!(worst <= 2e-3 * largest))
        fail_msg("a gradient differs from central differences by %g, the largest gradient is %g", worst, largest);
    free(parameters);
    free(gradient);
    student_close(&s);
}

/* ---- where stores lie ---- */
/* A store that does not fit twice on the GPU lies in the host's memory, and is read in the same way. */
static void large_stores_stay_on_the_host(void **state)
{
    enum { SMALL = 1 << 20, LARGE = 3 << 20, LIMIT = 4 << 20 };
    const struct device_options options = {.memory_limit = LIMIT};
    struct test_device first = test_device_open(*state, 1), t = {first.backend, NULL};
    struct error err = {0};
    void *small, *large, *rest;
    test_must(t.backend->device->open(&t.device, &options, &err), &err);
    test_must(t.backend->device->store_new(t.device, SMALL, "a small store", &small, &err), &err);
    test_must(t.backend->device->store_new(t.device, LARGE, "a large store", &large, &err), &err);
    test_must(t.backend->device->buffer_new(t.device, LIMIT - 2 * SMALL, "what is left beside both", &rest, &err),
              &err);
    t.backend->device->buffer_free(t.device, rest);
    t.backend->device->buffer_free(t.device, small);
    const uint16_t one = half_from_float(1);
    uint16_t *values = malloc(LARGE);
    assert_non_null(values);
    for (size_t i = 0; i < LARGE / sizeof *values; i++)
        values[i] = one;
    test_device_upload(&t, large, values, LARGE);
    struct test_inputs f;
    inputs_open(&f, &t, 2);
    for (int row = 0; row < ROWS; row++)
        f.content.samples[STEP * BATCH + row] = (uint32_t)row, f.content.numbers[STEP * BATCH + row] = 0;
    test_inputs_upload(&f, &t, STEP);
    float out[BATCH * 8], *teacher = test_device_buffer(&t, NULL, sizeof out);
    const struct feature_store store = {DTYPE_FP16, 8, 1, 1, 1, large, NULL};
    test_must(t.backend->training->features->read_teacher(t.device, &store, &f.inputs, INDEX, 1, 1, teacher, &err),
              &err);
    test_device_download(&t, out, teacher, sizeof out);
    for (int i = 0; i < ROWS * 8; i++)
        assert_true(out[i] == 1);
    free(values);
    test_device_free(&t, teacher);
    test_inputs_release(&f, &t);
    t.backend->device->buffer_free(t.device, large);
    test_device_close(&t);
    test_device_close(&first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(teachers_come_from_the_store),    ON_EVERY_BACKEND(logits_serve_as_teachers),
        ON_EVERY_BACKEND(students_are_read_with_epilogue), ON_EVERY_BACKEND(gradients_go_back),
        ON_EVERY_BACKEND(gradients_are_derivatives),       ON_EVERY_BACKEND(large_stores_stay_on_the_host),
    };
    return cmocka_run_group_tests_name("features", tests, NULL, NULL);
}
