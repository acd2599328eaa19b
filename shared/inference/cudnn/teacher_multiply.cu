/* y = x * gate: products of two maps, squeeze-and-excitation, where the gate is one factor per sample and channel, and
 * spatial attention, where it is one per position.
 *
 * One thread per vector of 16 bytes. Bytes: x and y once, a map as gate once, factors from the caches: the minimum. */
#include "shared/inference/cudnn/teacher_number.cuh"

template <typename T>
__global__ static void multiply(const T *x, const T *gate, T *y, size_t vectors, size_t sample_vectors,
                                size_t gate_vectors)
{
    const int count = vector<T>::count;
    size_t i = thread_index();
    float value[count], factor[count];
    if (i >= vectors)
        return;
    size_t sample = i / sample_vectors, within = i % sample_vectors % gate_vectors;
    load_vector(value, x + i * count);
    load_vector(factor, gate + (sample * gate_vectors + within) * count);
    for (int k = 0; k < count; k++)
        value[k] *= factor[k];
    store_vector(y + i * count, value);
}

/* gate [vectors / per_position, gate_channels], of which the first channel counts. */
template <typename T>
__global__ static void multiply_position(const T *x, const T *gate, T *y, size_t vectors, size_t per_position,
                                         int gate_channels)
{
    const int count = vector<T>::count;
    size_t i = thread_index();
    float value[count];
    if (i >= vectors)
        return;
    const float factor = load(&gate[i / per_position * (size_t)gate_channels]);
    load_vector(value, x + i * count);
    for (int k = 0; k < count; k++)
        value[k] *= factor;
    store_vector(y + i * count, value);
}

cudaError_t teacher_multiply_position(enum dtype type, const void *x, const void *gate, int gate_channels, void *y,
                                      size_t positions, int channels, cudaStream_t stream)
{
    FOR_DTYPE(type, {
        size_t per_position = (size_t)(channels / vector<T>::count), vectors = positions * per_position;
        LAUNCH((multiply_position<T>), blocks_for(vectors), BLOCK_THREADS, 0, stream, (const T *)x, (const T *)gate,
               (T *)y, vectors, per_position, gate_channels);
    })
    return cudaGetLastError();
}

cudaError_t teacher_multiply(enum dtype type, const void *x, const void *gate, void *y, int n, int positions,
                             int gate_positions, int channels, cudaStream_t stream)
{
    FOR_DTYPE(type, {
        size_t position = (size_t)(channels / vector<T>::count), sample = position * (size_t)positions;
        size_t vectors = sample * (size_t)n;
        LAUNCH((multiply<T>), blocks_for(vectors), BLOCK_THREADS, 0, stream, (const T *)x, (const T *)gate, (T *)y,
               vectors, sample, position * (size_t)gate_positions);
    })
    return cudaGetLastError();
}
