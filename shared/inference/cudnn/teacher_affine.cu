/* y = activation(x * scale[c] + shift[c]): batch norm in inference that cannot be part of the layer before it
 * (DenseNet).
 *
 * One thread per vector of 16 bytes; scale and shift come from the caches. Bytes: x and y once, which is the minimum.
 * */
#include "shared/inference/cudnn/teacher_number.cuh"

template <typename T>
__global__ static void affine(const T *x, const float *scale, const float *shift, T *y, size_t vectors, int channels,
                              struct pointwise pointwise)
{
    const int count = vector<T>::count;
    size_t i = thread_index();
    float value[count];
    if (i >= vectors)
        return;
    int c = (int)(i % (size_t)(channels / count)) * count;
    load_vector(value, x + i * count);
    for (int k = 0; k < count; k++)
        value[k] = apply(pointwise, value[k] * scale[c + k] + shift[c + k]);
    store_vector(y + i * count, value);
}

cudaError_t teacher_affine(enum dtype type, const void *x, const float *scale, const float *shift, void *y,
                           size_t positions, int channels, struct pointwise pointwise, cudaStream_t stream)
{
    FOR_DTYPE(type, {
        size_t vectors = positions * (size_t)(channels / vector<T>::count);
        LAUNCH((affine<T>), blocks_for(vectors), BLOCK_THREADS, 0, stream, (const T *)x, scale, shift, (T *)y, vectors,
               channels, pointwise);
    })
    return cudaGetLastError();
}
