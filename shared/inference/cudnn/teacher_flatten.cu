/* A map as a vector in PyTorch's order (channel, row, column), which the weights of linear layers and recorded features
 * use.
 *
 * One thread per element of the output: writes are contiguous, reads stride by the channels of a position, and a
 * sample's map (VGG's 7x7x512: 50 kB) stays in the caches. Bytes: x and y once, which is the minimum. */
#include "shared/inference/cudnn/teacher_number.cuh"

template <typename T>
__global__ static void flatten(const T *x, int x_channels, T *y, int y_channels, size_t elements, int positions,
                               int used)
{
    size_t i = thread_index();
    if (i >= elements)
        return;
    size_t sample = i / (size_t)y_channels;
    int to = (int)(i % (size_t)y_channels), c = to / positions, position = to % positions;
    T value;
    store(&value, 0);
    if (c < used)
        value = x[(sample * (size_t)positions + (size_t)position) * (size_t)x_channels + (size_t)c];
    y[i] = value;
}

cudaError_t teacher_flatten(enum dtype type, const void *x, int x_channels, void *y, int y_channels, int n,
                            struct shape in, cudaStream_t stream)
{
    size_t elements = (size_t)n * (size_t)y_channels;
    FOR_DTYPE(type, LAUNCH((flatten<T>), blocks_for(elements), BLOCK_THREADS, 0, stream, (const T *)x, x_channels,
                           (T *)y, y_channels, elements, in.h * in.w, in.c))
    return cudaGetLastError();
}
