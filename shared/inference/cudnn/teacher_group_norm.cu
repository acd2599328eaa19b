/* Group norm: every group of neighbouring channels of a sample is normalised by its mean and variance.
 *
 * One block per sample and group; the mean, then the squared deviations from it, then the result. x minus the group's
 * first value is what is summed, so a large mean costs no digits. Sums have one order: threads stride over the group,
 * then the warps' shuffle trees, then the warps. Bytes: x is read three times, twice from the L2 cache where the group
 * fits; n * groups blocks fill a GPU at the usual 32 groups. */
#include "shared/inference/cudnn/teacher_number.cuh"

/* The sum over the block, in every thread. partial: [BLOCK_THREADS / WARP] */
static __device__ float block_sum(float *partial, float value)
{
    value = warp_sum(value);
    __syncthreads(); /* the last sum has been read */
    if (threadIdx.x % WARP == 0)
        partial[threadIdx.x / WARP] = value;
    __syncthreads();
    float sum = 0;
    for (int i = 0; i < BLOCK_THREADS / WARP; i++)
        sum += partial[i];
    return sum;
}

template <typename T>
__global__ static void group_norm(const T *x, const float *weight, const float *bias, T *y, int positions, int groups,
                                  int size, int channels, float epsilon)
{
    __shared__ float partial[BLOCK_THREADS / WARP];
    const size_t sample = blockIdx.x / (unsigned)groups * (size_t)positions * (size_t)channels;
    const int first = (int)(blockIdx.x % (unsigned)groups) * size;
    const size_t count = (size_t)positions * (size_t)size;
    const T *from = x + sample + first;
    T *to = y + sample + first;
    const float pivot = load(&from[0]);
    float mean = 0, squares = 0;
    for (size_t i = threadIdx.x; i < count; i += BLOCK_THREADS)
        mean += load(&from[i / (size_t)size * (size_t)channels + i % (size_t)size]) - pivot;
    mean = block_sum(partial, mean) / (float)count;
    for (size_t i = threadIdx.x; i < count; i += BLOCK_THREADS) {
        const float d = load(&from[i / (size_t)size * (size_t)channels + i % (size_t)size]) - pivot - mean;
        squares += d * d;
    }
    const float scale = 1 / sqrtf(block_sum(partial, squares) / (float)count + epsilon);
    for (size_t i = threadIdx.x; i < count; i += BLOCK_THREADS) {
        const int c = (int)(i % (size_t)size);
        const size_t at = i / (size_t)size * (size_t)channels + (size_t)c;
        store(&to[at], (load(&from[at]) - pivot - mean) * scale * weight[first + c] + bias[first + c]);
    }
}

/* Zeros in the channels beyond the groups. */
template <typename T> __global__ static void clear_rest(T *y, size_t elements, int used, int channels)
{
    size_t i = thread_index(), rest = (size_t)(channels - used);
    if (i < elements)
        store(&y[i / rest * (size_t)channels + (size_t)used + i % rest], 0);
}

cudaError_t teacher_group_norm(enum dtype type, const void *x, const float *weight, const float *bias, void *y, int n,
                               int positions, int groups, int used, int channels, float epsilon, cudaStream_t stream)
{
    const size_t rest = (size_t)n * (size_t)positions * (size_t)(channels - used);
    FOR_DTYPE(type, {
        LAUNCH((group_norm<T>), (unsigned)(n * groups), BLOCK_THREADS, 0, stream, (const T *)x, weight, bias, (T *)y,
               positions, groups, used / groups, channels, epsilon);
        if (rest)
            LAUNCH((clear_rest<T>), blocks_for(rest), BLOCK_THREADS, 0, stream, (T *)y, rest, used, channels);
    })
    return cudaGetLastError();
}
