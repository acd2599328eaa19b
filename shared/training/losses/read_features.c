/* Reads the features that terms compare: the teacher's from their store, the student's from the plan's tensors, both
 * averaged over the windows of adaptive_avg_pool2d; and gives gradients back to the student's tensors. One task per
 * sample. */
#include "shared/training/losses/read_features.h"

#include "shared/training/cpu/cpu_training.h"

#include "shared/graph/activation.h"
#include "shared/tensor/bf16.h"
#include "shared/tensor/half.h"

#include <math.h>
#include <string.h>

static size_t pooled_values(const struct pooling *p)
{
    return (size_t)p->to_h * (size_t)p->to_w * (size_t)p->channels;
}
static size_t full_values(const struct pooling *p)
{
    return (size_t)p->h * (size_t)p->w * (size_t)p->channels;
}

/* out[to_h, to_w, channels] = the averages over windows. add(source, element, channels, sum) adds a pixel, which begins
 * at `element` of the source, to sum[channels]. */
static void average(const struct pooling *p, void (*add)(const void *source, size_t element, int channels, float *sum),
                    const void *source, float *out)
{
    const size_t channels = (size_t)p->channels;
    memset(out, 0, pooled_values(p) * sizeof *out);
    for (int i = 0; i < p->to_h; i++)
        for (int j = 0; j < p->to_w; j++, out += channels) {
            const int top = window_start(i, p->h, p->to_h), bottom = window_end(i, p->h, p->to_h);
            const int left = window_start(j, p->w, p->to_w), right = window_end(j, p->w, p->to_w);
            const float area = (float)((bottom - top) * (right - left));
            for (int y = top; y < bottom; y++)
                for (int x = left; x < right; x++)
                    add(source, ((size_t)y * (size_t)p->w + (size_t)x) * channels, p->channels, out);
            for (size_t c = 0; area > 1 && c < channels; c++)
                out[c] /= area;
        }
}

/* sum[count] += what from[to_h, to_w, channels], the gradient of the averages, gives channels first, ... of a pixel */
static void add_windows(const struct pooling *p, const float *from, int y, int x, size_t first, size_t count,
                        float *sum)
{
    for (int i = first_window(y, p->h, p->to_h); i <= last_window(y, p->h, p->to_h); i++)
        for (int j = first_window(x, p->w, p->to_w); j <= last_window(x, p->w, p->to_w); j++) {
            const int height = window_end(i, p->h, p->to_h) - window_start(i, p->h, p->to_h);
            const int width = window_end(j, p->w, p->to_w) - window_start(j, p->w, p->to_w);
            const float area = (float)(height * width);
            const float *g = from + ((size_t)i * (size_t)p->to_w + (size_t)j) * (size_t)p->channels + first;
            for (size_t c = 0; c < count; c++)
                sum[c] += g[c] / area;
        }
}

static void load_floats(float *to, enum dtype dtype, const void *values, size_t first, size_t count)
{
    if (dtype == DTYPE_FP32)
        memcpy(to, (const float *)values + first, count * sizeof *to);
    for (size_t i = 0; dtype == DTYPE_BF16 && i < count; i++)
        to[i] = bf16_to_float(((const uint16_t *)values)[first + i]);
}

static void store_floats(void *values, enum dtype dtype, size_t first, const float *from, size_t count)
{
    if (dtype == DTYPE_FP32)
        memcpy((float *)values + first, from, count * sizeof *from);
    for (size_t i = 0; dtype == DTYPE_BF16 && i < count; i++)
        ((uint16_t *)values)[first + i] = bf16_from_float(from[i]);
}

/* gradient[h, w, channels] of dtype += what the gradient of the averages gives it */
static void spread(const struct pooling *p, const float *from, enum dtype dtype, void *gradient)
{
    enum { PIECE = 256 };
    const size_t channels = (size_t)p->channels;
    float sum[PIECE];
    for (size_t pixel = 0; pixel < (size_t)p->h * (size_t)p->w; pixel++)
        for (size_t first = 0, count; first < channels; first += count) {
            count = channels - first < PIECE ? channels - first : PIECE;
            load_floats(sum, dtype, gradient, pixel * channels + first, count);
            add_windows(p, from, (int)(pixel / (size_t)p->w), (int)(pixel % (size_t)p->w), first, count, sum);
            store_floats(gradient, dtype, pixel * channels + first, sum, count);
        }
}

/* ---- the teacher's features ---- */
struct teacher_tasks {
    const struct feature_store *store; /* NULL: the epoch inputs' logits */
    const struct epoch_inputs *inputs;
    struct pooling pooling;
    float *out;
};

static void add_half(const void *values, size_t element, int channels, float *sum)
{
    enum { PIECE = 256 };
    const uint16_t *half = (const uint16_t *)values + element;
    float piece[PIECE];
    for (int from = 0, count; from < channels; from += count) {
        count = channels - from < PIECE ? channels - from : PIECE;
        half_to_floats(piece, half + from, (size_t)count);
        for (int c = 0; c < count; c++)
            sum[from + c] += piece[c];
    }
}
static void add_int8(const void *values, size_t element, int channels, float *sum)
{
    const int8_t *byte = (const int8_t *)values + element;
    for (int c = 0; c < channels; c++)
        sum[c] += byte[c];
}

static void read_teacher_row(void *context, int row, int worker)
{
    const struct teacher_tasks *tasks = context;
    const struct feature_store *store = tasks->store;
    const struct epoch_inputs *inputs = tasks->inputs;
    const struct pooling *p = &tasks->pooling;
    const size_t slot = (size_t)*inputs->cursor * (size_t)inputs->batch + (size_t)row, size = full_values(p);
    float *out = tasks->out + (size_t)row * pooled_values(p);
    (void)worker;
    if (!store) {
        memcpy(out, inputs->teacher + slot * size, size * sizeof *out);
        return;
    }
    const size_t item = (size_t)inputs->samples[slot] * (size_t)store->views + inputs->numbers[slot];
    if (store->dtype == DTYPE_FP16) {
        average(p, add_half, (const uint16_t *)store->values + item * size, out);
        return;
    }
    const float *scales = store->scales + item * (size_t)p->channels;
    average(p, add_int8, (const int8_t *)store->values + item * size, out);
    for (size_t i = 0; i < pooled_values(p); i++)
        out[i] *= scales[i % (size_t)p->channels];
}

static enum status read_teacher(struct device *device, const struct feature_store *store,
                                const struct epoch_inputs *inputs, int index, int h, int w, float *teacher,
                                struct error *err)
{
    struct teacher_tasks tasks = {store, inputs, {inputs->classes, 1, 1, 1, 1}, teacher};
    (void)err;
    if (store)
        tasks.pooling = (struct pooling){store->channels, store->h, store->w, h, w};
    thread_pool_run(device->pool, rows_of_term(inputs, 0, index, inputs->batch), read_teacher_row, &tasks);
    return STATUS_OK;
}

/* ---- the student's features ---- */
struct student_tasks {
    const struct plan *plan;
    const struct network_memory *memory;
    const struct pass *pass;
    const struct plan_tensor *tensor;
    enum dtype dtype; /* of its values and gradients */
    struct pooling pooling;
    int index;
    float *out;            /* reading: [students][rows, to_h, to_w, channels] */
    const float *gradient; /* giving gradients back: the same shape */
    size_t stride;         /* floats, of out or gradient, from one student to the next */
    bool first;
};

static struct student_tasks student_tasks_of(const struct plan *plan, const struct network_memory *memory,
                                             const struct pass *pass, int index, const struct student_feature *feature)
{
    const struct plan_tensor *tensor = &plan->tensors[feature->tensor];
    const struct shape shape = tensor->shape;
    return (struct student_tasks){
        .plan = plan,
        .memory = memory,
        .pass = pass,
        .tensor = tensor,
        .dtype = feature->tensor == plan->output ? DTYPE_FP32 : plan->dtype,
        .pooling = {shape.c, shape.h, shape.w, feature->h, feature->w},
        .index = index,
    };
}

/* A sample's raw values and the epilogue that completes them. */
struct raw_source {
    const void *values; /* [h, w, channels] of dtype */
    enum dtype dtype;
    const float *scale, *shift; /* [channels], or NULL */
    const struct plan_tensor *tensor;
};

/* Most activations only bound their values: these need no call per value. */
static bool bounds_of(const struct plan_tensor *t, float *low, float *high)
{
    *low = t->activation == ACTIVATION_RELU ? 0 : t->activation == ACTIVATION_CLIP ? t->alpha : -INFINITY;
    *high = t->activation == ACTIVATION_CLIP ? t->beta : INFINITY;
    return t->activation == ACTIVATION_NONE || t->activation == ACTIVATION_RELU || t->activation == ACTIVATION_CLIP;
}

static void add_with_epilogue(const void *source, size_t element, int channels, float *sum)
{
    const struct raw_source *from = source;
    const struct plan_tensor *t = from->tensor;
    const float *floats = (const float *)from->values + element;
    const uint16_t *halves = (const uint16_t *)from->values + element;
    float low, high;
    const bool bounded = bounds_of(t, &low, &high);
    for (int c = 0; c < channels; c++) {
        const float raw = from->dtype == DTYPE_FP32 ? floats[c] : bf16_to_float(halves[c]);
        float x = from->scale ? raw * from->scale[c] + from->shift[c] : raw;
        if (!bounded)
            x = activation_apply(t->activation, t->alpha, t->beta, x);
        x = x < low ? low : x;
        sum[c] += x > high ? high : x;
    }
}

/* Task = student * count + sample. */
static void read_student_row(void *context, int task, int worker)
{
    const struct student_tasks *tasks = context;
    const struct plan *plan = tasks->plan;
    const struct pooling *p = &tasks->pooling;
    const int student = task / tasks->pass->count, sample = task % tasks->pass->count;
    const size_t k = (size_t)student, n = (size_t)sample;
    const size_t first = k * plan->value_count + tasks->tensor->value, at = n * full_values(p);
    struct raw_source source = {.dtype = tasks->dtype, .tensor = tasks->tensor};
    (void)worker;
    if (sample >= rows_of_term(tasks->pass->inputs, student, tasks->index, tasks->pass->count))
        return;
    if (tasks->tensor->batch_norm >= 0) {
        const struct plan_batch_norm *norm = &plan->batch_norms[tasks->tensor->batch_norm];
        const float *rows = tasks->memory->statistics + k * plan->statistics_count + norm->statistics;
        source.scale = rows + (size_t)PLAN_SCALE * (size_t)norm->channels;
        source.shift = rows + (size_t)PLAN_SHIFT * (size_t)norm->channels;
    }
    source.values =
        (const char *)tasks->memory->values + first * dtype_size(plan->dtype) + at * dtype_size(source.dtype);
    average(p, add_with_epilogue, &source, tasks->out + k * tasks->stride + n * pooled_values(p));
}

static enum status read_student(struct device *device, const struct plan *plan, const struct network_memory *memory,
                                const struct pass *pass, int index, const struct student_feature *feature, float *out,
                                size_t stride, struct error *err)
{
    struct student_tasks tasks = student_tasks_of(plan, memory, pass, index, feature);
    (void)err;
    tasks.out = out;
    tasks.stride = stride;
    thread_pool_run(device->pool, memory->students * pass->count, read_student_row, &tasks);
    return STATUS_OK;
}

static void add_gradient_row(void *context, int task, int worker)
{
    const struct student_tasks *tasks = context;
    const struct pooling *p = &tasks->pooling;
    const int student = task / tasks->pass->count, sample = task % tasks->pass->count;
    const size_t k = (size_t)student, n = (size_t)sample;
    const struct plan *plan = tasks->plan;
    char *gradients = (char *)tasks->memory->gradients +
                      (k * plan->gradient_count + tasks->tensor->gradient) * dtype_size(plan->dtype);
    char *gradient = gradients + n * full_values(p) * dtype_size(tasks->dtype);
    (void)worker;
    if (tasks->first)
        memset(gradient, 0, full_values(p) * dtype_size(tasks->dtype));
    if (sample < rows_of_term(tasks->pass->inputs, student, tasks->index, tasks->pass->count))
        spread(p, tasks->gradient + k * tasks->stride + n * pooled_values(p), tasks->dtype, gradient);
}

static enum status add_gradient(struct device *device, const struct plan *plan, const struct network_memory *memory,
                                const struct pass *pass, int index, const struct student_feature *feature,
                                const float *gradient, size_t stride, bool first, struct error *err)
{
    struct student_tasks tasks = student_tasks_of(plan, memory, pass, index, feature);
    (void)err;
    if (tasks.tensor->gradient == PLAN_NONE)
        return STATUS_OK;
    tasks.gradient = gradient;
    tasks.stride = stride;
    tasks.first = first;
    thread_pool_run(device->pool, memory->students * pass->count, add_gradient_row, &tasks);
    return STATUS_OK;
}

const struct feature_ops cpu_feature_ops = {
    .read_teacher = read_teacher,
    .read_student = read_student,
    .add_gradient = add_gradient,
};
