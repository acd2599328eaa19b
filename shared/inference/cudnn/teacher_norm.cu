/* Norms over the channels of every position: layer norm and Lp norm.
 *
 * One warp per position, lanes stride over the channels; the mean, then the squared deviations from it, then the
 * result: the second and third pass from the caches. x minus the position's first value is what is summed, so a large
 * mean costs no digits. Sums have one order: lanes first, then the shuffle tree. Bytes: x and y once: the minimum. */
#include "shared/inference/cudnn/teacher_number.cuh"

template <typename T>
__global__ static void layer_norm(const T *x, const float *weight, const float *bias, T *y, size_t positions, int used,
                                  int channels, float epsilon)
{
    size_t position = thread_index() / WARP;
    int lane = (int)(threadIdx.x % WARP);
    if (position >= positions)
        return; /* whole warps */
    const T *from = x + position * (size_t)channels;
    T *to = y + position * (size_t)channels;
    const float pivot = load(&from[0]);
    float mean = 0, squares = 0;
    for (int c = lane; c < used; c += WARP)
        mean += load(&from[c]) - pivot;
    mean = warp_sum(mean) / (float)used;
    for (int c = lane; c < used; c += WARP) {
        const float d = load(&from[c]) - pivot - mean;
        squares += d * d;
    }
    const float scale = 1 / sqrtf(warp_sum(squares) / (float)used + epsilon);
    for (int c = lane; c < channels; c += WARP)
        store(&to[c], c < used ? (load(&from[c]) - pivot - mean) * scale * weight[c] + bias[c] : 0);
}

template <typename T>
__global__ static void lp_norm(const T *x, T *y, size_t positions, int used, int channels, int p, float epsilon)
{
    size_t position = thread_index() / WARP;
    int lane = (int)(threadIdx.x % WARP);
    if (position >= positions)
        return;
    const T *from = x + position * (size_t)channels;
    T *to = y + position * (size_t)channels;
    float norm = 0;
    for (int c = lane; c < used; c += WARP) {
        const float value = load(&from[c]);
        norm += p == 1 ? fabsf(value) : value * value;
    }
    norm = warp_sum(norm);
    norm = fmaxf(p == 1 ? norm : sqrtf(norm), epsilon);
    for (int c = lane; c < channels; c += WARP)
        store(&to[c], c < used ? load(&from[c]) / norm : 0);
}

cudaError_t teacher_layer_norm(enum dtype type, const void *x, const float *weight, const float *bias, void *y,
                               size_t positions, int used, int channels, float epsilon, cudaStream_t stream)
{
    FOR_DTYPE(type, LAUNCH((layer_norm<T>), blocks_for(positions * WARP), BLOCK_THREADS, 0, stream, (const T *)x,
                           weight, bias, (T *)y, positions, used, channels, epsilon))
    return cudaGetLastError();
}

cudaError_t teacher_lp_norm(enum dtype type, const void *x, void *y, size_t positions, int used, int channels, int p,
                            float epsilon, cudaStream_t stream)
{
    FOR_DTYPE(type, LAUNCH((lp_norm<T>), blocks_for(positions * WARP), BLOCK_THREADS, 0, stream, (const T *)x, (T *)y,
                           positions, used, channels, p, epsilon))
    return cudaGetLastError();
}
