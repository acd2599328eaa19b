/* Zeros around height and width that cannot be the padding of a convolution.
 *
 * One thread per vector of 16 bytes of the output. Bytes: x and y once, which is the minimum. */
#include "shared/inference/cudnn/teacher_number.cuh"

template <typename T>
__global__ static void pad(const T *x, T *y, size_t vectors, struct shape in, struct shape out, int top, int left)
{
    const int count = vector<T>::count;
    size_t i = thread_index(), position = i, per_position = (size_t)(in.c / count);
    float value[count] = {0};
    if (i >= vectors)
        return;
    size_t c = position % per_position * count;
    position /= per_position;
    int column = (int)(position % (size_t)out.w) - left;
    position /= (size_t)out.w;
    int row = (int)(position % (size_t)out.h) - top;
    size_t sample = position / (size_t)out.h;
    if (row >= 0 && row < in.h && column >= 0 && column < in.w)
        load_vector(value,
                    x + ((sample * (size_t)in.h + (size_t)row) * (size_t)in.w + (size_t)column) * (size_t)in.c + c);
    store_vector(y + i * count, value);
}

cudaError_t teacher_pad(enum dtype type, const void *x, void *y, int n, struct shape in, struct shape out, int top,
                        int left, cudaStream_t stream)
{
    FOR_DTYPE(type, {
        size_t vectors = (size_t)n * (size_t)out.h * (size_t)out.w * (size_t)(in.c / vector<T>::count);
        LAUNCH((pad<T>), blocks_for(vectors), BLOCK_THREADS, 0, stream, (const T *)x, (T *)y, vectors, in, out, top,
               left);
    })
    return cudaGetLastError();
}
