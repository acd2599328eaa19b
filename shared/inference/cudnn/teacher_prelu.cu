/* y = x > 0 ? x : x * weight[c].
 *
 * One thread per vector of 16 bytes; the weights come from the caches. Bytes: x and y once, which is the minimum. */
#include "shared/inference/cudnn/teacher_number.cuh"

template <typename T> __global__ static void prelu(const T *x, const float *weight, T *y, size_t vectors, int channels)
{
    const int count = vector<T>::count;
    size_t i = thread_index();
    float value[count];
    if (i >= vectors)
        return;
    int c = (int)(i % (size_t)(channels / count)) * count;
    load_vector(value, x + i * count);
    for (int k = 0; k < count; k++)
        value[k] = value[k] > 0 ? value[k] : value[k] * weight[c + k];
    store_vector(y + i * count, value);
}

cudaError_t teacher_prelu(enum dtype type, const void *x, const float *weight, void *y, size_t positions, int channels,
                          cudaStream_t stream)
{
    FOR_DTYPE(type, {
        size_t vectors = positions * (size_t)(channels / vector<T>::count);
        LAUNCH((prelu<T>), blocks_for(vectors), BLOCK_THREADS, 0, stream, (const T *)x, weight, (T *)y, vectors,
               channels);
    })
    return cudaGetLastError();
}
