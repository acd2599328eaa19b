/* Softmax, or its logarithm, over the channels of every position.
 *
 * One warp per position, lanes stride over the channels; three passes (maximum, sum, result), the second and third from
 * the caches. Sums have one order: lanes first, then the shuffle tree. Bytes: x and y once, which is the minimum. */
#include "shared/inference/cudnn/teacher_number.cuh"

static __device__ float warp_maximum(float value)
{
    for (int step = WARP / 2; step > 0; step /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, step));
    return value;
}

template <typename T>
__global__ static void softmax(bool logarithm, const T *x, T *y, size_t positions, int used, int channels)
{
    size_t position = thread_index() / WARP;
    int lane = (int)(threadIdx.x % WARP);
    if (position >= positions)
        return; /* whole warps */
    const T *from = x + position * (size_t)channels;
    T *to = y + position * (size_t)channels;
    float maximum = -INFINITY, sum = 0;
    for (int c = lane; c < used; c += WARP)
        maximum = fmaxf(maximum, load(&from[c]));
    maximum = warp_maximum(maximum);
    for (int c = lane; c < used; c += WARP)
        sum += expf(load(&from[c]) - maximum);
    sum = warp_sum(sum);
    const float log_sum = logf(sum);
    for (int c = lane; c < channels; c += WARP) {
        const float z = c < used ? load(&from[c]) - maximum : 0;
        store(&to[c], c >= used ? 0 : logarithm ? z - log_sum : expf(z) / sum);
    }
}

cudaError_t teacher_softmax(enum dtype type, bool logarithm, const void *x, void *y, size_t positions, int used,
                            int channels, cudaStream_t stream)
{
    FOR_DTYPE(type, LAUNCH((softmax<T>), blocks_for(positions * WARP), BLOCK_THREADS, 0, stream, logarithm,
                           (const T *)x, (T *)y, positions, used, channels))
    return cudaGetLastError();
}
