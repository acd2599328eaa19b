/* y = activation(x * scale + shift): batch norm in inference that cannot be part of the layer before it (DenseNet), and
 * scales of channels or of single values.
 *
 * One thread per vector of 16 bytes; scale and shift come from the caches. Bytes: x and y once, which is the minimum.
 * */
#include "shared/inference/cudnn/teacher_number.cuh"

template <typename T>
__global__ static void affine(const T *x, const float *scale, const float *shift, T *y, size_t vectors, size_t period,
                              struct pointwise pointwise)
{
    const int count = vector<T>::count;
    size_t i = thread_index();
    float value[count];
    if (i >= vectors)
        return;
    size_t c = i % period * count;
    load_vector(value, x + i * count);
    for (int k = 0; k < count; k++)
        value[k] = apply(pointwise, value[k] * scale[c + k] + shift[c + k]);
    store_vector(y + i * count, value);
}

cudaError_t teacher_affine(enum dtype type, const void *x, const float *scale, const float *shift, void *y,
                           size_t positions, size_t scale_positions, int channels, struct pointwise pointwise,
                           cudaStream_t stream)
{
    FOR_DTYPE(type, {
        size_t per_position = (size_t)(channels / vector<T>::count), vectors = positions * per_position;
        LAUNCH((affine<T>), blocks_for(vectors), BLOCK_THREADS, 0, stream, (const T *)x, scale, shift, (T *)y, vectors,
               scale_positions * per_position, pointwise);
    })
    return cudaGetLastError();
}
