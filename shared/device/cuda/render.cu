/* Views: geometry, colours and erased rectangles of shared/augment/view.h in its integer arithmetic, then the
 * normalisation table.
 *
 * A thread makes four neighbouring pixels of one view at a time and holds them in registers from the four taps to the
 * normalised values, so that only the result is written. The two taps of a row are six neighbouring bytes, read as two
 * or three aligned words. A view is cut into blocks of 4096 pixels, which share the table (3 KB in shared memory).
 * Contrast needs the mean of the whole view first: one block per view adds it up in integers, whose order does not
 * matter, and leaves at once if there is no contrast. The first of them puts the table into device memory, too:
 * arguments lie in constant memory, which serves a warp one address at a time. Of a mixed view both pictures are made
 * pixel by pixel: one or the other for a cut box, both for a blend.
 *
 * Memory traffic is the minimum: the base pixels that the view covers, once (the taps of neighbours hit the cache), and
 * the result, once, in stores of 16 bytes (fp32) or 8 bytes. For 224x224x3 that is 0.15 MB read and 0.6 MB (bf16: 0.3
 * MB) written per view. */
#include "shared/device/cuda/cuda_device.h"
#include "shared/device/cuda/cuda_number.cuh"
#include "shared/device/cuda/cuda_render.h"
#include "shared/device/cuda/view_pixel.cuh"

enum { THREADS = 256, GROUP = 4, ROUNDS = 4, MEAN_THREADS = 512, WARP = 32, VALUES = 256 };

struct table {
    float values[3][VALUES]; /* [channels][256] */
};

static __device__ uint32_t step_of(const struct cuda_render_job *job)
{
    return job->cursor ? *job->cursor : 0;
}

/* Scene i of the batch; from job->count on, those of the partners. */
static __device__ void open_scene(struct scene *scene, const struct cuda_render_job *job, int i)
{
    const bool partner = i >= job->count;
    const uint32_t step = step_of(job);
    const size_t slot = (size_t)step * (size_t)job->batch + (size_t)(partner ? i - job->count : i);
    const uint32_t *images = partner ? job->partners : job->samples;
    const struct cuda_picture picture = job->pictures[images ? images[slot] : (size_t)i];
    const struct cuda_near *near = job->near;
    scene->view = partner ? job->partner_views[slot] : job->views[slot];
    scene->size = job->size;
    scene->h = picture.h;
    scene->w = picture.w;
    scene->pixels = picture.pixels;
    if (!picture.pixels)
        scene->pixels = near->pixels + ((size_t)(step % CUDA_NEAR_STEPS) * near->places + (size_t)i) * near->stride;
    for (int level = 0; level < scene->view.level; level++) {
        scene->pixels += cuda_level_bytes(scene->h, scene->w, job->channels);
        scene->h = (scene->h + 1) / 2;
        scene->w = (scene->w + 1) / 2;
    }
}

/* The sum of `value` over the block, returned to every thread. */
static __device__ uint32_t block_sum(uint32_t value)
{
    __shared__ uint32_t warps[MEAN_THREADS / WARP];
    for (int lane = WARP / 2; lane > 0; lane /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, lane);
    if (threadIdx.x % WARP == 0)
        warps[threadIdx.x / WARP] = value;
    __syncthreads();
    uint32_t sum = 0;
    for (int warp = 0; warp < MEAN_THREADS / WARP; warp++)
        sum += warps[warp];
    __syncthreads();
    return sum;
}

static __device__ struct view_mix mix_of(const struct cuda_render_job *job, int i)
{
    return job->mixes[(size_t)step_of(job) * (size_t)job->batch + (size_t)i];
}

/* The first block writes the table. One block per view, then one per partner: the mean of its gray before a contrast.
 * The sum fits: at most VIEW_MAX_SIZE^2 * 255 < 2^32. */
template <int CHANNELS>
static __global__ void __launch_bounds__(MEAN_THREADS)
    prepare(const struct cuda_render_job job, const struct table table)
{
    __shared__ struct scene scene;
    __shared__ int32_t means[VIEW_MAX_COLORS];
    const uint32_t pixels = (uint32_t)job.size * (uint32_t)job.size;
    for (int i = (int)threadIdx.x; blockIdx.x == 0 && i < CHANNELS * VALUES; i += MEAN_THREADS)
        job.scratch->table[i / VALUES][i % VALUES] = table.values[i / VALUES][i % VALUES];
    if ((int)blockIdx.x >= job.count && mix_of(&job, (int)blockIdx.x - job.count).kind == VIEW_MIX_NONE)
        return;
    if (threadIdx.x == 0)
        open_scene(&scene, &job, (int)blockIdx.x);
    __syncthreads();
    for (int k = 0; k < scene.view.color_count; k++) {
        uint32_t sum = 0;
        if (scene.view.color[k].kind != VIEW_CONTRAST)
            continue;
        for (uint32_t i = threadIdx.x; i < pixels; i += MEAN_THREADS) {
            int p[CHANNELS];
            colored<CHANNELS>(&scene, k, means, (int)(i % (uint32_t)job.size), (int)(i / (uint32_t)job.size), p);
            sum += (uint32_t)gray_of<CHANNELS>(p);
        }
        sum = block_sum(sum);
        if (threadIdx.x == 0) {
            means[k] = (int32_t)((2 * (uint64_t)sum + pixels) / (2 * (uint64_t)pixels));
            job.scratch->means[blockIdx.x][k] = means[k];
        }
        __syncthreads();
    }
}

/* Opens a scene with the means of its contrasts. Called by one thread, before the block's barrier. */
static __device__ void open_colored(struct scene *scene, int32_t *means, const struct cuda_render_job *job, int i)
{
    open_scene(scene, job, i);
    for (int k = 0; k < scene->view.color_count; k++)
        if (scene->view.color[k].kind == VIEW_CONTRAST)
            means[k] = job->scratch->means[i][k];
}

/* ---- output ---- */
/* Stores v [count pixels][CHANNELS] to out [count, out_channels]. whole: out is aligned to four values and count is
 * GROUP. */
template <typename T, int CHANNELS>
static __device__ __forceinline__ void store_pixels(const float v[GROUP][CHANNELS], int count, int out_channels,
                                                    bool whole, T *out)
{
    if (out_channels == CHANNELS && whole) {
        const float *flat = &v[0][0];
        for (int c = 0; c < CHANNELS; c++)
            store4(out + 4 * c, make_float4(flat[4 * c], flat[4 * c + 1], flat[4 * c + 2], flat[4 * c + 3]));
        return;
    }
#pragma unroll
    for (int i = 0; i < GROUP; i++) {
        T *pixel = out + (size_t)i * (size_t)out_channels;
        if (i >= count)
            continue;
        if (out_channels % 4 == 0) {
            store4(pixel, make_float4(v[i][0], CHANNELS == 3 ? v[i][CHANNELS / 2] : 0,
                                      CHANNELS == 3 ? v[i][CHANNELS - 1] : 0, 0));
            for (int c = 4; c < out_channels; c += 4)
                store4(pixel + c, make_float4(0, 0, 0, 0));
            continue;
        }
        for (int c = 0; c < CHANNELS; c++)
            store(pixel + c, v[i][c]);
        for (int c = CHANNELS; c < out_channels; c++)
            store(pixel + c, 0);
    }
}

/* Grid: `parts` blocks per view. MIXED: views have partners. */
template <int CHANNELS, bool MIXED>
static __global__ void __launch_bounds__(THREADS) render_views(const struct cuda_render_job job, unsigned parts)
{
    __shared__ struct scene scenes[1 + MIXED]; /* the view's, the partner's */
    __shared__ float values[CHANNELS][VALUES];
    __shared__ int32_t means[1 + MIXED][VIEW_MAX_COLORS];
    __shared__ struct view_mix mix;
    const int index = (int)(blockIdx.x / parts), part = (int)(blockIdx.x % parts), pixels = job.size * job.size;
    for (int i = (int)threadIdx.x; i < CHANNELS * VALUES; i += THREADS)
        values[i / VALUES][i % VALUES] = job.scratch->table[i / VALUES][i % VALUES];
    if (threadIdx.x == 0)
        open_colored(&scenes[0], means[0], &job, index);
    if (MIXED && threadIdx.x == WARP) {
        mix = mix_of(&job, index);
        if (mix.kind != VIEW_MIX_NONE)
            open_colored(&scenes[MIXED], means[MIXED], &job, job.count + index);
    }
    __syncthreads();
    for (int first = (part * THREADS + (int)threadIdx.x) * GROUP; first < pixels;
         first += (int)parts * THREADS * GROUP) {
        const int left = pixels - first, count = left < GROUP ? left : GROUP;
        int y = first / job.size, x = first - y * job.size;
        float v[GROUP][CHANNELS];
#pragma unroll
        for (int i = 0; i < GROUP; i++) {
            const int shown = job.mirrored ? job.size - 1 - x : x;
            int p[CHANNELS] = {0};
            if (i < count && MIXED)
                mixed<CHANNELS>(scenes, means, &mix, shown, y, p);
            else if (i < count)
                finished<CHANNELS>(&scenes[0], means[0], shown, y, p);
            for (int c = 0; c < CHANNELS; c++)
                v[i][c] = job.bgr ? values[CHANNELS - 1 - c][p[CHANNELS - 1 - c]] : values[c][p[c]];
            if (++x == job.size)
                x = 0, y++;
        }
        const size_t at = ((size_t)index * (size_t)pixels + (size_t)first) * (size_t)job.out_channels;
        if (job.dtype == DTYPE_FP32)
            store_pixels(v, count, job.out_channels, pixels % GROUP == 0, (float *)job.out + at);
        else if (job.dtype == DTYPE_BF16)
            store_pixels(v, count, job.out_channels, pixels % GROUP == 0, (bf16 *)job.out + at);
        else
            store_pixels(v, count, job.out_channels, pixels % GROUP == 0, (__half *)job.out + at);
    }
}

template <int CHANNELS>
static void launch_channels(cudaStream_t stream, const struct cuda_render_job *job, unsigned parts)
{
    const unsigned blocks = (unsigned)job->count * parts;
    if (job->mixes)
        LAUNCH((render_views<CHANNELS, true>), blocks, THREADS, 0, stream, *job, parts);
    else
        LAUNCH((render_views<CHANNELS, false>), blocks, THREADS, 0, stream, *job, parts);
}

static void launch_render(cudaStream_t stream, const struct cuda_render_job *job)
{
    const unsigned groups = ((unsigned)(job->size * job->size) + GROUP - 1) / GROUP;
    const unsigned parts = (groups + THREADS * ROUNDS - 1) / (THREADS * ROUNDS);
    if (job->channels == 3)
        launch_channels<3>(stream, job, parts);
    else
        launch_channels<1>(stream, job, parts);
}

extern "C" enum status cuda_render_views(void *on, const struct cuda_render_job *job, float (*table)[VALUES],
                                         struct error *err)
{
    const cudaStream_t stream = (cudaStream_t)on;
    const unsigned blocks = (unsigned)job->count * (job->mixes ? 2 : 1);
    struct table copy = {};
    enum status status = STATUS_OK;
    for (int c = 0; c < job->channels; c++)
        for (int i = 0; i < VALUES; i++)
            copy.values[c][i] = table[c][i];
    if (job->count == 0)
        return STATUS_OK;
    if (job->channels == 3)
        LAUNCH(prepare<3>, blocks, MEAN_THREADS, 0, stream, *job, copy);
    else
        LAUNCH(prepare<1>, blocks, MEAN_THREADS, 0, stream, *job, copy);
    TRY(cuda_launched("preparing views", err));
    launch_render(stream, job);
    TRY(cuda_launched("rendering views", err));
cleanup:
    return status;
}
