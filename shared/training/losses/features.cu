/* Terms that compare a student's value with a teacher's, element by element, for all students at once.
 *
 * Idea: hint walks over all elements at once; at and cosine need sums over a row before its gradient, so a block has a
 * row in hand and reads it a second time out of the cache; vid needs sums over a channel, so a lane owns a channel, and
 * a second kernel of one block a student adds the blocks' sums and makes the gradient of the trained variances.
 * Neighbouring threads read neighbouring elements. Sums are in double, in a fixed order.
 * Bytes moved: student and teacher once, the gradient in and out: the floor. At 128 rows of 14 x 14 x 96 that is 39 MB
 * a student. */
#include "shared/training/cuda/cuda_channels.cuh"
#include "shared/training/cuda/cuda_loss.cuh"

enum { THREADS = SUM_WARPS * WARP };

#define NORM_SHORTEST 1e-12  /* F.normalize's */
#define COSINE_EPSILON 1e-12 /* F.cosine_embedding_loss's, on squared norms */
#define VID_EPSILON 1e-5     /* on variances */

/* The student's values, the teacher's and the gradient, NULL if only the value is wanted; of blockIdx.y. */
struct values {
    const float *student, *teacher;
    float *gradient;
    size_t size, total; /* floats of a row and of all rows */
    int rows, pixels, channels;
};
static __device__ __forceinline__ struct values values_here(const struct loss_rows &rows)
{
    const struct loss_batch *batch = &rows.batch;
    const size_t at = blockIdx.y * batch->student_stride;
    struct values v;
    v.student = batch->student + at;
    v.teacher = batch->teacher;
    v.gradient = batch->student_gradient ? batch->student_gradient + at : NULL;
    v.rows = loss_row_count(rows, blockIdx.y);
    v.pixels = batch->shape.pixels;
    v.channels = batch->shape.channels;
    v.size = (size_t)v.pixels * v.channels;
    v.total = v.rows * v.size;
    return v;
}
/* 1 / (a * b), of what there is. */
static __device__ __forceinline__ double share_of(double a, double b)
{
    return a * b > 0 ? 1 / (a * b) : 0;
}

/* The sums over the block, for every thread of it. */
template <int VALUES> static __device__ __forceinline__ void sum_for_block(double *values)
{
    __shared__ double sums[VALUES];
    sum_over_block<VALUES>(values);
    for (int i = 0; threadIdx.x == 0 && i < VALUES; i++)
        sums[i] = values[i];
    __syncthreads();
    for (int i = 0; i < VALUES; i++)
        values[i] = sums[i];
    __syncthreads();
}

/* ---- hint ---- */
template <int V> static __global__ void __launch_bounds__(THREADS) hint_values(struct loss_rows rows, uint64_t hubers)
{
    const struct values values = values_here(rows);
    const bool huber = hubers >> blockIdx.y & 1;
    const double share = share_of(values.rows, values.size), derivative = loss_weight(rows) * share;
    double sum = 0;
    for (size_t i = ((size_t)blockIdx.x * THREADS + threadIdx.x) * V; i < values.total;
         i += (size_t)gridDim.x * THREADS * V) {
        float student[V], teacher[V], gradient[V];
        clear<V>(gradient);
        load_vector<V>(values.student + i, student);
        load_vector<V>(values.teacher + i, teacher);
        if (values.gradient)
            load_vector<V>(values.gradient + i, gradient);
#pragma unroll
        for (int v = 0; v < V; v++) {
            const double d = (double)student[v] - (double)teacher[v];
            if (huber) {
                sum += fabs(d) < 1 ? d * d / 2 : fabs(d) - 0.5;
                gradient[v] += (float)(derivative * (d > 1 ? 1 : d < -1 ? -1 : d));
            } else {
                sum += d * d;
                gradient[v] += (float)(derivative * 2 * d);
            }
        }
        if (values.gradient)
            store_vector<V>(values.gradient + i, gradient);
    }
    loss_finish(rows, sum, share);
}

/* ---- attention transfer ---- */
/* map[pixels] = mean over channels of value^2, a warp a pixel; the sum of its squares, for every thread. */
static __device__ __forceinline__ double attention_map(const float *value, int pixels, int channels, double *map)
{
    double squares = 0;
    for (int pixel = threadIdx.x / WARP; pixel < pixels; pixel += SUM_WARPS) {
        double sum = 0;
        for (int c = threadIdx.x % WARP; c < channels; c += WARP) {
            const double f = value[(size_t)pixel * channels + c];
            sum += f * f;
        }
        const double q = warp_sum(sum) / channels;
        if (threadIdx.x % WARP == 0) {
            map[pixel] = q;
            squares += q * q;
        }
    }
    sum_for_block<1>(&squares);
    return squares;
}

/* scratch [blocks][2][pixels]: of the row in hand the maps, of which the second becomes their difference. dL/dq = (g -
 * Q <g, Q>) / norm, where g = dL/dQ; a clamped norm is a constant. */
static __global__ void __launch_bounds__(THREADS) attention_rows(struct loss_rows rows)
{
    const struct values values = values_here(rows);
    const int pixels = values.pixels, teacher_channels = rows.batch.shape.teacher_channels;
    const double share = share_of(values.rows, pixels), derivative = loss_weight(rows) * share;
    double *const map = loss_scratch(rows, blockIdx.y) + (size_t)blockIdx.x * 2 * pixels, *const target = map + pixels;
    double value = 0; /* of the rows, in the first thread */
    for (int row = blockIdx.x; row < values.rows; row += gridDim.x) {
        const float *student = values.student + row * values.size;
        const float *teacher = values.teacher + (size_t)row * pixels * teacher_channels;
        const bool ready = teacher_channels == 1;
        const double norm = sqrt(attention_map(student, pixels, values.channels, map));
        const double inverse = 1 / fmax(norm, NORM_SHORTEST);
        const double target_norm = ready ? 1 : sqrt(attention_map(teacher, pixels, teacher_channels, target));
        const double target_inverse = 1 / fmax(target_norm, NORM_SHORTEST);
        double sums[2] = {0, 0}; /* of the squared differences, and of the differences along Q */
        for (int i = threadIdx.x; i < pixels; i += THREADS) {
            map[i] *= inverse;
            target[i] = map[i] - (ready ? teacher[i] : target[i] * target_inverse);
            sums[0] += target[i] * target[i];
            sums[1] += target[i] * map[i];
        }
        sum_for_block<2>(sums);
        value += threadIdx.x == 0 ? sums[0] : 0;
        const double along = norm > NORM_SHORTEST ? sums[1] : 0, factor = derivative * 4 * inverse / values.channels;
        for (size_t i = threadIdx.x; values.gradient && i < values.size; i += THREADS) {
            const size_t pixel = i / values.channels;
            const double across = target[pixel] - along * map[pixel];
            values.gradient[row * values.size + i] += (float)(factor * across * student[i]);
        }
        __syncthreads(); /* before the maps of the next row */
    }
    loss_finish(rows, value, share);
}

/* ---- cosine ---- */
static __global__ void __launch_bounds__(THREADS) cosine_rows(struct loss_rows rows)
{
    const struct values values = values_here(rows);
    const double share = share_of(values.rows, 1), derivative = loss_weight(rows) * share;
    double value = 0; /* of the rows, in the first thread */
    for (int row = blockIdx.x; row < values.rows; row += gridDim.x) {
        const float *student = values.student + row * values.size, *teacher = values.teacher + row * values.size;
        double sums[3] = {0, 0, 0};
        for (size_t i = threadIdx.x; i < values.size; i += THREADS) {
            const double s = student[i], t = teacher[i];
            sums[0] += s * s;
            sums[1] += t * t;
            sums[2] += s * t;
        }
        sum_for_block<3>(sums);
        const double squares = sums[0] + COSINE_EPSILON, length = sqrt(squares * (sums[1] + COSINE_EPSILON));
        const double cosine = sums[2] / length, along = derivative * cosine / squares, across = derivative / length;
        value += threadIdx.x == 0 ? 1 - cosine : 0;
        for (size_t i = threadIdx.x; values.gradient && i < values.size; i += THREADS)
            values.gradient[row * values.size + i] += (float)(along * student[i] - across * teacher[i]);
    }
    loss_finish(rows, value, share);
}

/* ---- variational information distillation ---- */
static __device__ __forceinline__ const float *log_scales_here(const struct loss_rows &rows)
{
    return rows.batch.parameters + blockIdx.y * rows.batch.parameter_stride + rows.batch.learned[LEARNED_SCALE];
}
static __device__ __forceinline__ double variance_of(double log_scale)
{
    return fmax(log_scale, 0.0) + log1p(exp(-fabs(log_scale))) + VID_EPSILON;
}

/* The student's gradient; scratch [blocks][channels] gets the blocks' sums of (f_s - f_t)^2. A warp a pixel. */
static __global__ void __launch_bounds__(THREADS) variational_pixels(struct loss_rows rows)
{
    __shared__ double warps[SUM_WARPS][WARP];
    const struct values values = values_here(rows);
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const double derivative = loss_weight(rows) * share_of(values.rows, values.size);
    const size_t pixels = (size_t)values.rows * values.pixels;
    for (int first = 0; first < values.channels; first += WARP) {
        const int c = first + lane;
        double sum = 0, inverse = 0;
        if (c < values.channels)
            inverse = derivative / variance_of(log_scales_here(rows)[c]);
        for (size_t pixel = (size_t)blockIdx.x * SUM_WARPS + warp; pixel < pixels && c < values.channels;
             pixel += (size_t)gridDim.x * SUM_WARPS) {
            const size_t i = pixel * values.channels + c;
            const double d = (double)values.student[i] - (double)values.teacher[i];
            sum += d * d;
            if (values.gradient)
                values.gradient[i] += (float)(inverse * d);
        }
        warps[warp][lane] = sum;
        __syncthreads();
        for (int i = 1; warp == 0 && i < SUM_WARPS; i++)
            sum += warps[i][lane];
        if (warp == 0 && c < values.channels)
            loss_scratch(rows, blockIdx.y)[(size_t)blockIdx.x * values.channels + c] = sum;
        __syncthreads();
    }
}

/* One block a student: the value, and the gradient of log_scale. */
static __global__ void __launch_bounds__(THREADS) variational_channels(struct loss_rows rows, int blocks)
{
    const struct values values = values_here(rows);
    const struct loss_batch *batch = &rows.batch;
    const double count = (double)values.rows * values.pixels; /* of a channel */
    const double share = share_of(count, values.channels), derivative = loss_weight(rows) * share;
    float *const gradient =
        batch->parameter_gradients
            ? batch->parameter_gradients + blockIdx.y * batch->parameter_stride + batch->learned[LEARNED_SCALE]
            : NULL;
    double value = 0;
    for (int c = threadIdx.x; c < values.channels; c += THREADS) {
        const double log_scale = log_scales_here(rows)[c], inverse = 1 / variance_of(log_scale);
        const double bend = 1 / (1 + exp(-log_scale)); /* dv/dlog_scale */
        double squares = 0;
        for (int block = 0; block < blocks; block++)
            squares += loss_scratch(rows, blockIdx.y)[(size_t)block * values.channels + c];
        value += (squares * inverse - count * log(inverse)) / 2;
        if (gradient)
            gradient[c] = (float)(derivative * bend * (count - squares * inverse) * inverse / 2);
    }
    loss_finish(rows, value, share);
}

/* ---- host ---- */
static int blocks_for(size_t most)
{
    return most < CUDA_SUM_BLOCKS ? (int)most : CUDA_SUM_BLOCKS;
}

/* Whether rows, and so all of a student's values, can be read four floats at a time. */
static bool fours(const struct loss_batch *batch)
{
    const uintptr_t places = (uintptr_t)batch->student | (uintptr_t)batch->student_gradient | (uintptr_t)batch->teacher;
    return batch->shape.pixels * batch->shape.channels % 4 == 0 && batch->student_stride % 4 == 0 && places % 16 == 0;
}

static void launch_hint(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    const struct loss_batch *batch = &rows->batch;
    const size_t floats = (size_t)batch->count * batch->shape.pixels * batch->shape.channels;
    const int width = fours(batch) ? 4 : 1;
    const dim3 grid(blocks_for((floats + THREADS * width - 1) / (THREADS * width)), batch->students, 1);
    uint64_t hubers = 0; /* a bit a student */
    for (int student = 0; student < batch->students; student++)
        hubers |= (uint64_t)(terms[student].distance == DISTANCE_HUBER) << student;
    DISPATCH_WIDTH(width, LAUNCH(hint_values<V>, grid, THREADS, 0, stream, *rows, hubers));
}

static dim3 row_grid(const struct loss_batch *batch)
{
    return dim3(blocks_for(batch->count), batch->students, 1);
}

static size_t attention_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return (size_t)blocks_for(shape->batch) * 2 * shape->pixels * sizeof(double);
}

static void launch_attention(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    (void)terms;
    LAUNCH(attention_rows, row_grid(&rows->batch), THREADS, 0, stream, *rows);
}

static void launch_cosine(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    (void)terms;
    LAUNCH(cosine_rows, row_grid(&rows->batch), THREADS, 0, stream, *rows);
}

static int variational_blocks(int count, int pixels)
{
    return blocks_for(((size_t)count * pixels + SUM_WARPS - 1) / SUM_WARPS);
}

static size_t variational_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return (size_t)variational_blocks(shape->batch, shape->pixels) * shape->channels * sizeof(double);
}

static void launch_variational(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    const struct loss_batch *batch = &rows->batch;
    const int blocks = variational_blocks(batch->count, batch->shape.pixels);
    (void)terms;
    LAUNCH(variational_pixels, dim3(blocks, batch->students, 1), THREADS, 0, stream, *rows);
    LAUNCH(variational_channels, dim3(1, batch->students, 1), THREADS, 0, stream, *rows, blocks);
}

extern "C" const struct cuda_term_kind cuda_feature_terms[LOSS_KIND_COUNT] = {
    {},
    {},
    {},
    {},
    {},
    {},                                        /* terms on logits */
    {launch_hint, NULL},                       /* LOSS_HINT */
    {launch_attention, attention_scratch},     /* LOSS_AT */
    {launch_cosine, NULL},                     /* LOSS_COSINE */
    {launch_variational, variational_scratch}, /* LOSS_VID */
};
