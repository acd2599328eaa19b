/* The values that feature losses compare: the teacher's out of their store, the student's out of the plan's tensors,
 * both averaged over the windows of adaptive_avg_pool2d, and the way back for gradients. One task a sample. */
#include "shared/training/cpu/cpu_training.h"

#include "shared/graph/activation.h"
#include "shared/tensor/half.h"

#include <math.h>
#include <string.h>

/* torch's adaptive average pooling from h x w to to_h x to_w, channels last: windows may overlap. */
struct pooling {
    int channels, h, w, to_h, to_w;
};

/* Window i of `pooled` over `full` values is [start, end). */
static int window_start(int i, int full, int pooled)
{
    return i * full / pooled;
}
static int window_end(int i, int full, int pooled)
{
    return ((i + 1) * full + pooled - 1) / pooled;
}
/* The windows over value i are [first, last]. */
static int first_window(int i, int full, int pooled)
{
    return i * pooled / full;
}
static int last_window(int i, int full, int pooled)
{
    return ((i + 1) * pooled - 1) / full;
}

static size_t pooled_floats(const struct pooling *p)
{
    return (size_t)p->to_h * (size_t)p->to_w * (size_t)p->channels;
}
static size_t full_elements(const struct pooling *p)
{
    return (size_t)p->h * (size_t)p->w * (size_t)p->channels;
}

/* out[to_h, to_w, channels] = averages of what add(source, element, channels, sum) adds of the pixel that begins at an
 * element to sum[channels]. */
static void average(const struct pooling *p, void (*add)(const void *source, size_t element, int channels, float *sum),
                    const void *source, float *out)
{
    const size_t channels = (size_t)p->channels;
    memset(out, 0, pooled_floats(p) * sizeof *out);
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

/* gradient[h, w, channels] += what the gradient of the averages gives it. */
static void spread(const struct pooling *p, const float *from, float *gradient)
{
    const size_t channels = (size_t)p->channels;
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++, gradient += channels)
            for (int i = first_window(y, p->h, p->to_h); i <= last_window(y, p->h, p->to_h); i++)
                for (int j = first_window(x, p->w, p->to_w); j <= last_window(x, p->w, p->to_w); j++) {
                    const int height = window_end(i, p->h, p->to_h) - window_start(i, p->h, p->to_h);
                    const int width = window_end(j, p->w, p->to_w) - window_start(j, p->w, p->to_w);
                    const float area = (float)(height * width);
                    const float *g = from + ((size_t)i * (size_t)p->to_w + (size_t)j) * channels;
                    for (size_t c = 0; c < channels; c++)
                        gradient[c] += g[c] / area;
                }
}

/* ---- the teacher's ---- */
struct teacher_run {
    const struct feature_store *store; /* NULL: logits */
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

static void read_teacher(void *context, int row, int worker)
{
    const struct teacher_run *run = context;
    const struct feature_store *store = run->store;
    const struct epoch_inputs *inputs = run->inputs;
    const struct pooling *p = &run->pooling;
    const size_t slot = (size_t)*inputs->cursor * (size_t)inputs->batch + (size_t)row, size = full_elements(p);
    float *out = run->out + (size_t)row * pooled_floats(p);
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
    for (size_t i = 0; i < pooled_floats(p); i++)
        out[i] *= scales[i % (size_t)p->channels];
}

/* Of the step in hand: a student's scalars, and the rows that term `index` sees of `count`. */
static int rows_of(const struct epoch_inputs *inputs, int student, int index, int count)
{
    const size_t at = (size_t)*inputs->cursor * (size_t)inputs->students + (size_t)student;
    const uint32_t rows = inputs->scalars[at].rows[index];
    return rows < (uint32_t)count ? (int)rows : count;
}

static enum status teacher_values(struct device *device, const struct feature_store *store,
                                  const struct epoch_inputs *inputs, int index, int h, int w, float *teacher,
                                  struct error *err)
{
    struct teacher_run run = {store, inputs, {inputs->classes, 1, 1, 1, 1}, teacher};
    (void)err;
    if (store)
        run.pooling = (struct pooling){store->channels, store->h, store->w, h, w};
    thread_pool_run(device->pool, rows_of(inputs, 0, index, inputs->batch), read_teacher, &run);
    return STATUS_OK;
}

/* ---- the student's ---- */
struct feature_run {
    const struct plan *plan;
    const struct network_memory *memory;
    const struct pass *pass;
    const struct plan_tensor *tensor;
    struct pooling pooling;
    int index;
    float *out;            /* of feature_read */
    const float *gradient; /* of feature_gradient */
    size_t stride;
    bool first;
};

static struct feature_run feature_run_of(const struct plan *plan, const struct network_memory *memory,
                                         const struct pass *pass, int index, const struct student_feature *feature)
{
    const struct plan_tensor *tensor = &plan->tensors[feature->tensor];
    const struct shape shape = tensor->shape;
    return (struct feature_run){
        .plan = plan,
        .memory = memory,
        .pass = pass,
        .tensor = tensor,
        .pooling = {shape.c, shape.h, shape.w, feature->h, feature->w},
        .index = index,
    };
}

/* A sample's raw values and what completes them. */
struct feature_source {
    const float *values;        /* [h, w, channels] */
    const float *scale, *shift; /* [channels], or NULL */
    const struct plan_tensor *tensor;
};

/* Most activations only bound their values: those are spared a call for each. */
static bool bounds_of(const struct plan_tensor *t, float *low, float *high)
{
    *low = t->activation == ACTIVATION_RELU ? 0 : t->activation == ACTIVATION_CLIP ? t->alpha : -INFINITY;
    *high = t->activation == ACTIVATION_CLIP ? t->beta : INFINITY;
    return t->activation == ACTIVATION_NONE || t->activation == ACTIVATION_RELU || t->activation == ACTIVATION_CLIP;
}

static void add_with_epilogue(const void *source, size_t element, int channels, float *sum)
{
    const struct feature_source *from = source;
    const struct plan_tensor *t = from->tensor;
    const float *raw = from->values + element;
    float low, high;
    const bool bounded = bounds_of(t, &low, &high);
    for (int c = 0; c < channels; c++) {
        float x = from->scale ? raw[c] * from->scale[c] + from->shift[c] : raw[c];
        if (!bounded)
            x = activation_apply(t->activation, t->alpha, t->beta, x);
        x = x < low ? low : x;
        sum[c] += x > high ? high : x;
    }
}

/* Tasks are numbered by student, then by sample. */
static void read_feature(void *context, int task, int worker)
{
    const struct feature_run *run = context;
    const struct plan *plan = run->plan;
    const struct pooling *p = &run->pooling;
    const int student = task / run->pass->count, sample = task % run->pass->count;
    const size_t k = (size_t)student, n = (size_t)sample;
    const float *values = (const float *)run->memory->values + k * plan->value_count + run->tensor->value;
    struct feature_source source = {.values = values + n * full_elements(p), .tensor = run->tensor};
    (void)worker;
    if (sample >= rows_of(run->pass->inputs, student, run->index, run->pass->count))
        return;
    if (run->tensor->batch_norm >= 0) {
        const struct plan_batch_norm *norm = &plan->batch_norms[run->tensor->batch_norm];
        const float *rows = run->memory->statistics + k * plan->statistics_count + norm->statistics;
        source.scale = rows + (size_t)PLAN_SCALE * (size_t)norm->channels;
        source.shift = rows + (size_t)PLAN_SHIFT * (size_t)norm->channels;
    }
    average(p, add_with_epilogue, &source, run->out + k * run->stride + n * pooled_floats(p));
}

static enum status student_values(struct device *device, const struct plan *plan, const struct network_memory *memory,
                                  const struct pass *pass, int index, const struct student_feature *feature, float *out,
                                  size_t stride, struct error *err)
{
    struct feature_run run = feature_run_of(plan, memory, pass, index, feature);
    (void)err;
    run.out = out;
    run.stride = stride;
    thread_pool_run(device->pool, memory->students * pass->count, read_feature, &run);
    return STATUS_OK;
}

static void add_gradient(void *context, int task, int worker)
{
    const struct feature_run *run = context;
    const struct pooling *p = &run->pooling;
    const int student = task / run->pass->count, sample = task % run->pass->count;
    const size_t k = (size_t)student, n = (size_t)sample;
    float *gradients = (float *)run->memory->gradients + k * run->plan->gradient_count + run->tensor->gradient;
    float *gradient = gradients + n * full_elements(p);
    (void)worker;
    if (run->first)
        memset(gradient, 0, full_elements(p) * sizeof *gradient);
    if (sample < rows_of(run->pass->inputs, student, run->index, run->pass->count))
        spread(p, run->gradient + k * run->stride + n * pooled_floats(p), gradient);
}

static enum status hand_back_gradient(struct device *device, const struct plan *plan,
                                      const struct network_memory *memory, const struct pass *pass, int index,
                                      const struct student_feature *feature, const float *gradient, size_t stride,
                                      bool first, struct error *err)
{
    struct feature_run run = feature_run_of(plan, memory, pass, index, feature);
    (void)err;
    if (run.tensor->gradient == PLAN_NONE)
        return STATUS_OK;
    run.gradient = gradient;
    run.stride = stride;
    run.first = first;
    thread_pool_run(device->pool, memory->students * pass->count, add_gradient, &run);
    return STATUS_OK;
}

const struct feature_ops cpu_feature_ops = {
    .read_teacher = teacher_values,
    .read_student = student_values,
    .add_gradient = hand_back_gradient,
};
