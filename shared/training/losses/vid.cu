/* Variational information distillation: the mean over all elements of ((f_s - f_t)^2 / v + log v) / 2 with a trained
 * variance v for each channel.
 *
 * Idea: sums over a channel are needed, so a lane owns a channel, and a second kernel of one block per student adds the
 * blocks' sums and makes the gradient of the variances. Bytes moved: student and teacher once, the gradient in and out:
 * the floor. */
#include "shared/training/losses/feature_rows.cuh"

static __device__ __forceinline__ const float *log_scales(const struct cuda_loss_args &args)
{
    return args.batch.parameters + blockIdx.y * args.batch.parameter_stride + args.batch.learned[LEARNED_SCALE];
}

/* The student's gradient; scratch [blocks][channels] gets the blocks' sums of (f_s - f_t)^2. One warp per pixel. */
static __global__ void __launch_bounds__(FEATURE_THREADS) vid_pixels(struct cuda_loss_args args)
{
    __shared__ number warps[SUM_WARPS][WARP];
    const struct feature_rows f = feature_rows_of(args);
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const double factor = loss_weight(args) * share_of(f.rows, f.size);
    const size_t pixels = (size_t)f.rows * f.pixels;
    for (int first = 0; first < f.channels; first += WARP) {
        const int c = first + lane;
        number sum = 0, inverse = 0;
        if (c < f.channels)
            inverse = factor / vid_variance(log_scales(args)[c]);
        for (size_t pixel = (size_t)blockIdx.x * SUM_WARPS + warp; pixel < pixels && c < f.channels;
             pixel += (size_t)gridDim.x * SUM_WARPS) {
            const size_t i = pixel * f.channels + c;
            const number d = (number)f.student[i] - f.teacher[i];
            sum += d * d;
            if (f.gradient)
                f.gradient[i] += (float)(inverse * d);
        }
        warps[warp][lane] = sum;
        __syncthreads();
        for (int i = 1; warp == 0 && i < SUM_WARPS; i++)
            sum += warps[i][lane];
        if (warp == 0 && c < f.channels)
            loss_scratch(args, blockIdx.y)[(size_t)blockIdx.x * f.channels + c] = sum;
        __syncthreads();
    }
}

/* One block per student: the value, and the gradient of log_scale. */
static __global__ void __launch_bounds__(FEATURE_THREADS) vid_channels(struct cuda_loss_args args, int blocks)
{
    const struct feature_rows f = feature_rows_of(args);
    const struct loss_batch *batch = &args.batch;
    const double count = (double)f.rows * f.pixels; /* elements of a channel */
    const double share = share_of(count, f.channels), factor = loss_weight(args) * share;
    float *const gradient =
        batch->parameter_gradients
            ? batch->parameter_gradients + blockIdx.y * batch->parameter_stride + batch->learned[LEARNED_SCALE]
            : NULL;
    double value = 0;
    for (int c = threadIdx.x; c < f.channels; c += FEATURE_THREADS) {
        const double log_scale = log_scales(args)[c], inverse = 1 / vid_variance(log_scale);
        number sum = 0;
        for (int block = 0; block < blocks; block++)
            sum += loss_scratch(args, blockIdx.y)[(size_t)block * f.channels + c];
        const double squares = (double)sum;
        value += vid_value(count, squares, inverse);
        if (gradient)
            gradient[c] = (float)vid_scale_derivative(factor, log_scale, count, squares, inverse);
    }
    loss_finish(args, value, share);
}

static int vid_blocks(int count, int pixels)
{
    return feature_blocks(((size_t)count * pixels + SUM_WARPS - 1) / SUM_WARPS);
}

static size_t vid_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return (size_t)vid_blocks(shape->batch, shape->pixels) * shape->channels * sizeof(number);
}

static void launch_vid(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    const struct loss_batch *batch = &args->batch;
    const int blocks = vid_blocks(batch->count, batch->shape.pixels);
    (void)terms;
    LAUNCH(vid_pixels, dim3(blocks, batch->students, 1), FEATURE_THREADS, 0, stream, *args);
    LAUNCH(vid_channels, dim3(1, batch->students, 1), FEATURE_THREADS, 0, stream, *args, blocks);
}

extern "C" const struct cuda_loss cuda_vid = {LOSS_VID, launch_vid, vid_scratch};
