/* Between the four neighbours of every output position; nearest modes have one (shared/graph/resize.h makes the taps).
 *
 * One thread per vector of 16 bytes of the output. Bytes: y once; x once if the caches hold two rows of it. */
#include "shared/inference/cudnn/teacher_number.cuh"

template <typename T> static __device__ void load_between(float *to, const T *row, struct resize_tap tap, int channels)
{
    const int count = vector<T>::count;
    float high[count];
    load_vector(to, row + (size_t)tap.low * (size_t)channels);
    load_vector(high, row + (size_t)tap.high * (size_t)channels);
    for (int k = 0; k < count; k++)
        to[k] = to[k] * (1 - tap.fraction) + high[k] * tap.fraction;
}

template <typename T>
__global__ static void resize_map(const T *x, const struct resize_tap *rows, const struct resize_tap *columns, T *y,
                                  size_t vectors, struct shape in, struct shape out)
{
    const int count = vector<T>::count;
    size_t i = thread_index(), position = i, per_position = (size_t)(in.c / count);
    float low[count], high[count];
    if (i >= vectors)
        return;
    size_t c = position % per_position * count;
    position /= per_position;
    const struct resize_tap column = columns[position % (size_t)out.w];
    position /= (size_t)out.w;
    const struct resize_tap row = rows[position % (size_t)out.h];
    const size_t row_size = (size_t)in.w * (size_t)in.c;
    const T *sample = x + position / (size_t)out.h * (size_t)in.h * row_size + c;
    load_between(low, sample + (size_t)row.low * row_size, column, in.c);
    load_between(high, sample + (size_t)row.high * row_size, column, in.c);
    for (int k = 0; k < count; k++)
        low[k] = low[k] * (1 - row.fraction) + high[k] * row.fraction;
    store_vector(y + i * count, low);
}

cudaError_t teacher_resize(enum dtype type, const void *x, const struct resize_tap *rows,
                           const struct resize_tap *columns, void *y, int n, struct shape in, struct shape out,
                           cudaStream_t stream)
{
    FOR_DTYPE(type, {
        size_t vectors = (size_t)n * (size_t)out.h * (size_t)out.w * (size_t)(in.c / vector<T>::count);
        LAUNCH((resize_map<T>), blocks_for(vectors), BLOCK_THREADS, 0, stream, (const T *)x, rows, columns, (T *)y,
               vectors, in, out);
    })
    return cudaGetLastError();
}
