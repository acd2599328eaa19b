/* Attention transfer: the mean over rows and pixels of (Q_s - Q_t)^2, Q = F.normalize(mean over channels of f^2).
 *
 * Idea: sums over a row come before its gradient, so a block works on one row and reads it a second time out of the
 * cache. Bytes moved: student and teacher once, the gradient in and out: the floor. */
#include "shared/training/losses/feature_rows.cuh"

/* map[pixels] = mean over channels of value^2, one warp per pixel. Every thread gets the sum of its squares. */
static __device__ __forceinline__ double attention_map(const float *value, int pixels, int channels, number *map)
{
    double squares = 0;
    for (int pixel = threadIdx.x / WARP; pixel < pixels; pixel += SUM_WARPS) {
        number sum = 0;
        for (int c = threadIdx.x % WARP; c < channels; c += WARP) {
            const float f = value[(size_t)pixel * channels + c];
            add_product(&sum, f, f);
        }
        const double q = (double)warp_sum(rounded(sum)) / channels;
        if (threadIdx.x % WARP == 0) {
            map[pixel] = q;
            squares += q * q;
        }
    }
    sum_for_block<1>(&squares);
    return squares;
}

/* With q the map before it is normalised, g = dL/dQ: dL/dq = (g - Q <g, Q>) / norm; a clamped norm is a constant.
 * scratch [blocks][2][pixels]: the maps of a block's current row; the second becomes their difference, then dL/df / f.
 * What is computed once a pixel is in double: squares of a map are beyond the range of floats. */
static __global__ void __launch_bounds__(FEATURE_THREADS) at(struct cuda_loss_args args)
{
    const struct feature_rows f = feature_rows_of(args);
    const int pixels = f.pixels, teacher_channels = args.batch.shape.teacher_channels;
    const double share = share_of(f.rows, pixels), derivative = loss_weight(args) * share;
    number *const map = loss_scratch(args, blockIdx.y) + (size_t)blockIdx.x * 2 * pixels;
    number *const difference = map + pixels; /* first the teacher's map */
    double value = 0;                        /* sum over the rows, in the first thread */
    for (int row = blockIdx.x; row < f.rows; row += gridDim.x) {
        const float *student = f.student + row * f.size;
        const float *teacher = f.teacher + (size_t)row * pixels * teacher_channels;
        const bool ready = teacher_channels == 1;
        const double norm = sqrt(attention_map(student, pixels, f.channels, map));
        const double inverse = 1 / fmax(norm, NORM_SHORTEST);
        const double teacher_norm = ready ? 1 : sqrt(attention_map(teacher, pixels, teacher_channels, difference));
        const double teacher_inverse = 1 / fmax(teacher_norm, NORM_SHORTEST);
        double sums[2] = {0, 0}; /* of the squared differences, and of the differences along Q */
        for (int i = threadIdx.x; i < pixels; i += FEATURE_THREADS) {
            const double q = (double)map[i] * inverse;
            const double d = q - (ready ? teacher[i] : (double)difference[i] * teacher_inverse);
            map[i] = q;
            difference[i] = d;
            sums[0] += d * d;
            sums[1] += d * q;
        }
        sum_for_block<2>(sums);
        value += threadIdx.x == 0 ? sums[0] : 0;
        const double along = norm > NORM_SHORTEST ? sums[1] : 0, factor = derivative * 4 * inverse / f.channels;
        for (int i = threadIdx.x; i < pixels; i += FEATURE_THREADS)
            difference[i] = factor * ((double)difference[i] - along * (double)map[i]);
        __syncthreads();
        for (int pixel = threadIdx.x / WARP; f.gradient && pixel < pixels; pixel += SUM_WARPS)
            for (int c = threadIdx.x % WARP; c < f.channels; c += WARP) {
                const size_t i = (size_t)pixel * f.channels + c;
                f.gradient[row * f.size + i] += (float)(difference[pixel] * student[i]);
            }
        __syncthreads(); /* before the maps of the next row */
    }
    loss_finish(args, value, share);
}

static size_t at_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return (size_t)feature_blocks(shape->batch) * 2 * shape->pixels * sizeof(number);
}

static void launch_at(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    (void)terms;
    LAUNCH(at, feature_row_grid(&args->batch), FEATURE_THREADS, 0, stream, *args);
}

extern "C" const struct cuda_loss cuda_at = {LOSS_AT, launch_at, at_scratch};
