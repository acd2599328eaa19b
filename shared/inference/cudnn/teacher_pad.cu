/* Padding around height and width that cannot be that of a convolution; negative padding crops.
 *
 * One thread per vector of 16 bytes of the output. Bytes: x and y once, which is the minimum. */
#include "shared/inference/cudnn/teacher_number.cuh"

/* Where position i of an axis of `size` is, or -1: the constant. */
static __device__ int padded(enum pad_mode mode, int i, int size)
{
    if (i >= 0 && i < size)
        return i;
    if (mode == PAD_CONSTANT)
        return -1;
    if (mode == PAD_EDGE)
        return i < 0 ? 0 : size - 1;
    return i < 0 ? -i : 2 * (size - 1) - i;
}

template <typename T>
__global__ static void pad(const T *x, T *y, size_t vectors, struct shape in, struct shape out, struct padding padding)
{
    const int count = vector<T>::count;
    size_t i = thread_index(), position = i, per_position = (size_t)(in.c / count);
    float value[count];
    if (i >= vectors)
        return;
    size_t c = position % per_position * count;
    position /= per_position;
    int column = padded(padding.mode, (int)(position % (size_t)out.w) - padding.left, in.w);
    position /= (size_t)out.w;
    int row = padded(padding.mode, (int)(position % (size_t)out.h) - padding.top, in.h);
    size_t sample = position / (size_t)out.h;
    for (int k = 0; k < count; k++)
        value[k] = padding.constant;
    if (row >= 0 && column >= 0)
        load_vector(value,
                    x + ((sample * (size_t)in.h + (size_t)row) * (size_t)in.w + (size_t)column) * (size_t)in.c + c);
    store_vector(y + i * count, value);
}

cudaError_t teacher_pad(enum dtype type, const void *x, void *y, int n, struct shape in, struct shape out,
                        struct padding padding, cudaStream_t stream)
{
    FOR_DTYPE(type, {
        size_t vectors = (size_t)n * (size_t)out.h * (size_t)out.w * (size_t)(in.c / vector<T>::count);
        LAUNCH((pad<T>), blocks_for(vectors), BLOCK_THREADS, 0, stream, (const T *)x, (T *)y, vectors, in, out,
               padding);
    })
    return cudaGetLastError();
}
