/* y = activation(a + b), element by element: sums and activations that cannot be part of a layer.
 *
 * One thread per vector of 16 bytes, neighbours in neighbouring threads. Bytes: each operand once, which is the
 * minimum. */
#include "shared/inference/cudnn/teacher_number.cuh"

template <typename T>
__global__ static void combine(const T *a, const T *b, T *y, size_t vectors, struct pointwise pointwise)
{
    const int count = vector<T>::count;
    size_t i = thread_index();
    float sum[count], other[count];
    if (i >= vectors)
        return;
    load_vector(sum, a + i * count);
    if (b) {
        load_vector(other, b + i * count);
        for (int k = 0; k < count; k++)
            sum[k] += other[k];
    }
    for (int k = 0; k < count; k++)
        sum[k] = apply(pointwise, sum[k]);
    store_vector(y + i * count, sum);
}

cudaError_t teacher_combine(enum dtype type, const void *a, const void *b, void *y, size_t count,
                            struct pointwise pointwise, cudaStream_t stream)
{
    FOR_DTYPE(type, {
        size_t vectors = count / vector<T>::count;
        LAUNCH((combine<T>), blocks_for(vectors), BLOCK_THREADS, 0, stream, (const T *)a, (const T *)b, (T *)y, vectors,
               pointwise);
    })
    return cudaGetLastError();
}
