/* Channels of a map in any order: split, slice, shuffle.
 *
 * One thread per element, neighbouring channels in neighbouring threads, so that runs of channels are read as runs.
 * Bytes: the chosen channels read once and y written once, which is the minimum. */
#include "shared/inference/cudnn/teacher_number.cuh"

template <typename T>
__global__ static void select_channels(const T *x, int x_channels, const int *channels, int used, T *y, int y_channels,
                                       size_t elements)
{
    size_t i = thread_index();
    if (i >= elements)
        return;
    size_t position = i / (size_t)y_channels;
    int c = (int)(i % (size_t)y_channels);
    T value;
    store(&value, 0);
    if (c < used)
        value = x[position * (size_t)x_channels + (size_t)channels[c]];
    y[i] = value;
}

cudaError_t teacher_select(enum dtype type, const void *x, int x_channels, const int *channels, int used, void *y,
                           int y_channels, size_t positions, cudaStream_t stream)
{
    size_t elements = positions * (size_t)y_channels;
    FOR_DTYPE(type, LAUNCH((select_channels<T>), blocks_for(elements), BLOCK_THREADS, 0, stream, (const T *)x,
                           x_channels, channels, used, (T *)y, y_channels, elements))
    return cudaGetLastError();
}
