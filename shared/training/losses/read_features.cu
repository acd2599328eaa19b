/* Reads the features that terms compare: the teacher's from their store, the student's from the plan's tensors, both
 * averaged over the windows of adaptive_avg_pool2d; and gives gradients back to the student's tensors.
 *
 * Idea: a thread owns V channels (see cuda_channels.cuh) and walks over pixels. When reading, these are pixels of the
 * averages: the thread adds up their windows. For the gradient they are the pixels of the tensor: the thread adds up
 * what the windows over a pixel give. So nothing is scattered, and sums have one order. Which rows there are is read
 * from the epoch inputs.
 * Bytes moved, if nothing is averaged: every value is read once in its stored form and written once as a float; a
 * gradient is read, added and written: the floor. Windows that overlap are read again from the cache. A store in the
 * host's memory is read once over the bus, in runs of 64 bytes and more, which neighbouring channels make. */
#include "shared/training/losses/read_features.h"

#include "shared/training/cuda/cuda_training.h"
#include "shared/training/cuda/cuda_channels.cuh"

/* A pixel of the averages of all rows, or of their tensors. */
struct pixel {
    int row, y, x;
};
static __device__ __forceinline__ struct pixel pixel_of(size_t number, int h, int w)
{
    struct pixel at;
    const size_t line = number / w;
    at.x = (int)(number - line * w);
    at.row = (int)(line / h);
    at.y = (int)(line - (size_t)at.row * h);
    return at;
}

/* mean[V] of the window of an average in values[h, w, channels], with the epilogue applied if one is given. */
template <typename T, int V>
static __device__ __forceinline__ void window_mean(const struct pooling *p, struct pixel at, const T *values,
                                                   const struct epilogue<V> *epilogue, float *mean)
{
    const int top = window_start(at.y, p->h, p->to_h), bottom = window_end(at.y, p->h, p->to_h);
    const int left = window_start(at.x, p->w, p->to_w), right = window_end(at.x, p->w, p->to_w);
    const float area = (bottom - top) * (right - left);
    clear<V>(mean);
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++) {
            float value[V];
            load_vector<V>(values + ((size_t)y * p->w + x) * p->channels, value);
            if (epilogue)
                apply_epilogue<V>(epilogue, value);
#pragma unroll
            for (int v = 0; v < V; v++)
                mean[v] += value[v];
        }
#pragma unroll
    for (int v = 0; v < V; v++)
        mean[v] /= area;
}

/* ---- the teacher's features ---- */
struct teacher_source {
    const void *values;  /* [samples, views, h, w, channels] of T; the epoch inputs' logits: [slots, channels] */
    const float *scales; /* [samples, views, channels], or NULL */
    int views;           /* 0: the epoch inputs' logits */
};

template <typename T, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS)
    teacher_averages(struct teacher_source from, struct epoch_inputs inputs, int index, struct pooling pooling,
                     int vectors, float *out)
{
    const struct place p = place_of<V>(pooling.channels, vectors);
    const size_t channels = pooling.channels, size = (size_t)pooling.h * pooling.w * channels;
    const size_t first = (size_t)*inputs.cursor * inputs.batch;
    const size_t pixels = (size_t)rows_of_term(&inputs, 0, index, inputs.batch) * pooling.to_h * pooling.to_w;
    if (!p.active)
        return;
    for (size_t i = (size_t)blockIdx.x * p.lanes + p.lane; i < pixels; i += (size_t)gridDim.x * p.lanes) {
        const struct pixel at = pixel_of(i, pooling.to_h, pooling.to_w);
        const size_t slot = first + at.row;
        const size_t item = from.views ? (size_t)inputs.samples[slot] * from.views + inputs.numbers[slot] : slot;
        float mean[V];
        window_mean<T, V>(&pooling, at, (const T *)from.values + item * size + p.channel, NULL, mean);
        if (from.scales) {
            float scale[V];
            load_row<V>(from.scales + item * channels + p.channel, 1, scale);
#pragma unroll
            for (int v = 0; v < V; v++)
                mean[v] *= scale[v];
        }
        store_vector<V>(out + i * channels + p.channel, mean);
    }
}

/* Vectors of 4 channels if the channels and the alignment of the floats allow them. */
static int width_of(int channels, const float *floats, size_t stride)
{
    return channels % 4 == 0 && stride % 4 == 0 && (uintptr_t)floats % 16 == 0 ? 4 : 1;
}

/* One thread per vector, up to CUDA_MAX_BLOCKS blocks. */
static struct channel_grid grid_of(int channels, int width, size_t pixels)
{
    return channel_grid_of(channels, width, pixels, 1, MAX_VECTORS);
}

static enum status read_teacher(struct device *device, const struct feature_store *store,
                                const struct epoch_inputs *inputs, int index, int h, int w, float *teacher,
                                struct error *err)
{
    struct pooling pooling = {inputs->classes, 1, 1, 1, 1};
    struct teacher_source from = {inputs->teacher, NULL, 0};
    if (store) {
        const struct pooling stored = {store->channels, store->h, store->w, h, w};
        const struct teacher_source values = {store->values, store->dtype == DTYPE_INT8 ? store->scales : NULL,
                                              store->views};
        pooling = stored;
        from = values;
    }
    const size_t pixels = (size_t)inputs->batch * pooling.to_h * pooling.to_w;
    const struct channel_grid grid = grid_of(pooling.channels, width_of(pooling.channels, teacher, 0), pixels);
    const dim3 blocks = channel_dim(&grid, 1);
    DISPATCH_WIDTH(grid.width, if (!store) LAUNCH((teacher_averages<float, V>), blocks, CHANNEL_THREADS, 0,
                                                  device->stream, from, *inputs, index, pooling, grid.vectors, teacher);
                   else if (store->dtype == DTYPE_FP16)
                       LAUNCH((teacher_averages<__half, V>), blocks, CHANNEL_THREADS, 0, device->stream, from, *inputs,
                              index, pooling, grid.vectors, teacher);
                   else LAUNCH((teacher_averages<int8_t, V>), blocks, CHANNEL_THREADS, 0, device->stream, from, *inputs,
                               index, pooling, grid.vectors, teacher));
    return cuda_launched("feature_teacher", err);
}

/* ---- the student's features ---- */
/* The rows that a kernel works on. */
struct student_rows {
    struct epoch_inputs inputs;
    struct pooling pooling;
    int vectors; /* of a chunk of channels */
    int index;   /* of the term in the step's rows */
    int count;   /* samples of the batch */
};

template <typename T, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS)
    student_averages(struct student_rows rows, struct cuda_read read, float *out, size_t stride)
{
    const struct pooling *pooling = &rows.pooling;
    const struct place p = place_of<V>(pooling->channels, rows.vectors);
    const struct epilogue<V> epilogue = epilogue_of<V>(&read, &p);
    const size_t channels = pooling->channels, size = (size_t)pooling->h * pooling->w * channels;
    const T *values = values_of<T>(&read, p.channel);
    const size_t pixels =
        (size_t)rows_of_term(&rows.inputs, blockIdx.z, rows.index, rows.count) * pooling->to_h * pooling->to_w;
    out += blockIdx.z * stride + p.channel;
    if (!p.active)
        return;
    for (size_t i = (size_t)blockIdx.x * p.lanes + p.lane; i < pixels; i += (size_t)gridDim.x * p.lanes) {
        const struct pixel at = pixel_of(i, pooling->to_h, pooling->to_w);
        float mean[V];
        window_mean<T, V>(pooling, at, values + at.row * size, &epilogue, mean);
        store_vector<V>(out + i * channels, mean);
    }
}

/* gradients [students][count, h, w, channels] of T, to_stride apart; from [students][rows, to_h, to_w, channels] */
template <typename T, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS)
    student_gradients(struct student_rows rows, const float *from, size_t stride, T *gradients, size_t to_stride,
                      bool first)
{
    const struct pooling *pooling = &rows.pooling;
    const struct place p = place_of<V>(pooling->channels, rows.vectors);
    const size_t channels = pooling->channels, windows = (size_t)pooling->to_h * pooling->to_w;
    const int used = rows_of_term(&rows.inputs, blockIdx.z, rows.index, rows.count);
    const size_t pixels = (size_t)(first ? rows.count : used) * pooling->h * pooling->w;
    from += blockIdx.z * stride + p.channel;
    gradients += blockIdx.z * to_stride + p.channel;
    if (!p.active)
        return;
    for (size_t n = (size_t)blockIdx.x * p.lanes + p.lane; n < pixels; n += (size_t)gridDim.x * p.lanes) {
        const struct pixel at = pixel_of(n, pooling->h, pooling->w);
        const int bottom = at.row < used ? last_window(at.y, pooling->h, pooling->to_h) : -1;
        const int left = first_window(at.x, pooling->w, pooling->to_w);
        const int right = last_window(at.x, pooling->w, pooling->to_w);
        float sum[V];
        clear<V>(sum);
        if (!first)
            load_vector<V>(gradients + n * channels, sum);
        for (int i = first_window(at.y, pooling->h, pooling->to_h); i <= bottom; i++)
            for (int j = left; j <= right; j++) {
                const int height =
                    window_end(i, pooling->h, pooling->to_h) - window_start(i, pooling->h, pooling->to_h);
                const int width = window_end(j, pooling->w, pooling->to_w) - window_start(j, pooling->w, pooling->to_w);
                float g[V];
                load_vector<V>(from + (at.row * windows + (size_t)i * pooling->to_w + j) * channels, g);
#pragma unroll
                for (int v = 0; v < V; v++)
                    sum[v] += g[v] / (float)(height * width);
            }
        store_vector<V>(gradients + n * channels, sum);
    }
}

/* A launch of the student's kernels. They see the tensor as the plan's steps see theirs. */
struct student_launch {
    struct cuda_run run;
    const struct plan_tensor *tensor;
    struct student_rows rows;
    struct channel_grid grid;
    dim3 blocks;
};

static struct student_launch student_launch_of(struct device *device, const struct plan *plan,
                                               const struct network_memory *memory, const struct pass *pass, int index,
                                               const struct student_feature *feature, const float *floats,
                                               size_t stride, bool pooled)
{
    struct student_launch t = {};
    t.run.device = device;
    t.run.plan = plan;
    t.run.memory = memory;
    t.run.pass = pass;
    t.run.students = memory->students;
    t.tensor = &plan->tensors[feature->tensor];
    const struct shape shape = t.tensor->shape;
    const struct pooling pooling = {shape.c, shape.h, shape.w, feature->h, feature->w};
    const size_t pixels = (size_t)pass->count * (pooled ? feature->h * feature->w : shape.h * shape.w);
    t.rows.inputs = *pass->inputs;
    t.rows.pooling = pooling;
    t.rows.index = index;
    t.rows.count = pass->count;
    t.grid = grid_of(shape.c, width_of(shape.c, floats, stride), pixels);
    t.rows.vectors = t.grid.vectors;
    t.blocks = channel_dim(&t.grid, memory->students);
    return t;
}

static enum status read_student(struct device *device, const struct plan *plan, const struct network_memory *memory,
                                const struct pass *pass, int index, const struct student_feature *feature, float *out,
                                size_t stride, struct error *err)
{
    const struct student_launch t = student_launch_of(device, plan, memory, pass, index, feature, out, stride, true);
    const struct cuda_read read = cuda_read_of(&t.run, t.tensor);
    DISPATCH_TYPE(cuda_dtype_of(&t.run, t.tensor), T,
                  DISPATCH_WIDTH(t.grid.width, LAUNCH((student_averages<T, V>), t.blocks, CHANNEL_THREADS, 0,
                                                      device->stream, t.rows, read, out, stride)));
    return cuda_launched("feature_read", err);
}

static enum status add_gradient(struct device *device, const struct plan *plan, const struct network_memory *memory,
                                const struct pass *pass, int index, const struct student_feature *feature,
                                const float *gradient, size_t stride, bool first, struct error *err)
{
    const struct student_launch t =
        student_launch_of(device, plan, memory, pass, index, feature, gradient, stride, false);
    const enum dtype dtype = cuda_dtype_of(&t.run, t.tensor);
    if (t.tensor->gradient == PLAN_NONE)
        return STATUS_OK;
    char *const to = (char *)memory->gradients + t.tensor->gradient * dtype_size(plan->dtype);
    const size_t to_stride = plan->gradient_count * dtype_size(plan->dtype) / dtype_size(dtype);
    DISPATCH_TYPE(
        dtype, T,
        DISPATCH_WIDTH(t.grid.width, LAUNCH((student_gradients<T, V>), t.blocks, CHANNEL_THREADS, 0, device->stream,
                                            t.rows, gradient, stride, (T *)to, to_stride, first)));
    return cuda_launched("feature_gradient", err);
}

const struct feature_ops cuda_feature_ops = {read_teacher, read_student, add_gradient};
