/* Copies the channels of one map into a range of another map's channels: concatenation, one launch per input.
 *
 * One thread per element, neighbouring channels in neighbouring threads; ranges need no alignment. Bytes: the range
 * read and written once, which is the minimum. */
#include "shared/inference/cudnn/teacher_number.cuh"

template <typename T>
__global__ static void copy_channels(const T *x, int x_channels, int used, T *y, int y_channels, int to, int count,
                                     size_t elements)
{
    size_t i = thread_index();
    if (i >= elements)
        return;
    size_t position = i / (size_t)count;
    int c = (int)(i % (size_t)count);
    T value;
    store(&value, 0);
    if (c < used)
        value = x[position * (size_t)x_channels + (size_t)c];
    y[position * (size_t)y_channels + (size_t)(to + c)] = value;
}

cudaError_t teacher_copy_channels(enum dtype type, const void *x, int x_channels, int used, void *y, int y_channels,
                                  int to, int count, size_t positions, cudaStream_t stream)
{
    size_t elements = positions * (size_t)count;
    FOR_DTYPE(type, LAUNCH((copy_channels<T>), blocks_for(elements), BLOCK_THREADS, 0, stream, (const T *)x, x_channels,
                           used, (T *)y, y_channels, to, count, elements))
    return cudaGetLastError();
}
