/* Converts a teacher's values from channels-last in its dtype to PyTorch's order in float, and inputs that are not
 * rendered here the other way.
 *
 * To planes: a block transposes a tile of 32 pixels x 32 channels in shared memory (33 columns: no bank conflicts), so
 * that reads and writes are both in runs of 32. Each value is read once in its own type and written once as a float:
 * the minimum. From rows: neighbouring threads write neighbouring elements. */
#include "shared/device/cuda/cuda_device.h"
#include "shared/device/cuda/cuda_number.cuh"
#include "shared/inference/cuda/value_layout.h"

enum { TILE = 32, TILE_ROWS = 8, THREADS = 256 };

/* gridDim.x: tiles of channels, then of pixels; gridDim.y: samples */
template <typename T>
static __global__ void __launch_bounds__(TILE *TILE_ROWS)
    to_planes(const T *values, float *planes, int pixels, int channels, int stored)
{
    __shared__ float tile[TILE][TILE + 1]; /* [pixel][channel] */
    const int across = (channels + TILE - 1) / TILE;
    const int channel0 = (int)(blockIdx.x % (unsigned)across) * TILE;
    const int pixel0 = (int)(blockIdx.x / (unsigned)across) * TILE;
    const int x = (int)threadIdx.x, y = (int)threadIdx.y;
    const T *from = values + (size_t)blockIdx.y * (size_t)pixels * (size_t)stored;
    float *to = planes + (size_t)blockIdx.y * (size_t)pixels * (size_t)channels;
    for (int row = y; row < TILE; row += TILE_ROWS)
        if (pixel0 + row < pixels && channel0 + x < channels)
            tile[row][x] = load(from + (size_t)(pixel0 + row) * (size_t)stored + (size_t)(channel0 + x));
    __syncthreads();
    for (int row = y; row < TILE; row += TILE_ROWS)
        if (channel0 + row < channels && pixel0 + x < pixels)
            to[(size_t)(channel0 + row) * (size_t)pixels + (size_t)(pixel0 + x)] = tile[x][row];
}

template <typename T>
static enum status launch_to_planes(cudaStream_t stream, const struct value_layout *layout, const void *values,
                                    int count, float *planes, struct error *err)
{
    const size_t across = (size_t)(layout->channels + TILE - 1) / TILE,
                 down = (size_t)(layout->pixels + TILE - 1) / TILE;
    LAUNCH(to_planes<T>, dim3((unsigned)(across * down), (unsigned)count), dim3(TILE, TILE_ROWS), 0, stream,
           (const T *)values, planes, layout->pixels, layout->channels, layout->stored);
    return cuda_launched("converting a teacher's values to the host's order", err);
}

extern "C" enum status values_to_planes(void *stream, const struct value_layout *layout, const void *values, int count,
                                        float *planes, struct error *err)
{
    cudaStream_t s = (cudaStream_t)stream;
    if (count == 0)
        return STATUS_OK;
    if (layout->dtype == DTYPE_FP16)
        return launch_to_planes<__half>(s, layout, values, count, planes, err);
    if (layout->dtype == DTYPE_BF16)
        return launch_to_planes<bf16>(s, layout, values, count, planes, err);
    return launch_to_planes<float>(s, layout, values, count, planes, err);
}

/* One thread per element of values[pixels, stored]; pixels of all samples. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    from_rows(const float *rows, T *values, size_t elements, int channels, int stored)
{
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= elements)
        return;
    const size_t pixel = i / (size_t)stored;
    const int channel = (int)(i - pixel * (size_t)stored);
    store(values + i, channel < channels ? rows[pixel * (size_t)channels + (size_t)channel] : 0.0f);
}

template <typename T>
static enum status launch_from_rows(cudaStream_t stream, const struct value_layout *layout, const float *rows,
                                    int count, void *values, struct error *err)
{
    const size_t elements = (size_t)count * (size_t)layout->pixels * (size_t)layout->stored;
    LAUNCH(from_rows<T>, (unsigned)((elements + THREADS - 1) / THREADS), THREADS, 0, stream, rows, (T *)values,
           elements, layout->channels, layout->stored);
    return cuda_launched("a teacher's input", err);
}

extern "C" enum status values_from_rows(void *stream, const struct value_layout *layout, const float *rows, int count,
                                        void *values, struct error *err)
{
    cudaStream_t s = (cudaStream_t)stream;
    if (count == 0)
        return STATUS_OK;
    if (layout->dtype == DTYPE_FP16)
        return launch_from_rows<__half>(s, layout, rows, count, values, err);
    if (layout->dtype == DTYPE_BF16)
        return launch_from_rows<bf16>(s, layout, rows, count, values, err);
    return launch_from_rows<float>(s, layout, rows, count, values, err);
}
