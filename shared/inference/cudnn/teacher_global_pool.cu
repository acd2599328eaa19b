/* The mean of every channel of a map.
 *
 * One thread per sample and vector of channels walks the positions, so that neighbours read neighbouring vectors and
 * sums have one order. Bytes: x once, which is the minimum; a batch of 64 gives 4,096 threads at 512 channels, enough
 * for maps of 7x7, which stay in the L2 cache. */
#include "shared/inference/cudnn/teacher_number.cuh"

template <typename T> __global__ static void global_pool(const T *x, T *y, size_t vectors, int positions, int channels)
{
    const int count = vector<T>::count;
    size_t i = thread_index(), per_sample = (size_t)(channels / count);
    float sum[count] = {0}, item[count];
    if (i >= vectors)
        return;
    const T *from = x + (i / per_sample * (size_t)positions * per_sample + i % per_sample) * count;
    for (int p = 0; p < positions; p++) {
        load_vector(item, from + (size_t)p * (size_t)channels);
        for (int k = 0; k < count; k++)
            sum[k] += item[k];
    }
    for (int k = 0; k < count; k++)
        sum[k] /= (float)positions;
    store_vector(y + i * count, sum);
}

cudaError_t teacher_global_pool(enum dtype type, const void *x, void *y, int n, int positions, int channels,
                                cudaStream_t stream)
{
    FOR_DTYPE(type, {
        size_t vectors = (size_t)n * (size_t)(channels / vector<T>::count);
        LAUNCH((global_pool<T>), blocks_for(vectors), BLOCK_THREADS, 0, stream, (const T *)x, (T *)y, vectors,
               positions, channels);
    })
    return cudaGetLastError();
}
