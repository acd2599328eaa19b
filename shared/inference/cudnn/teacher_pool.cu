/* Maximum and average over windows.
 *
 * One thread per vector of 16 bytes of the output: the windows of neighbours overlap in the caches. Bytes: x and y once
 * from memory, which is the minimum; kernel_h * kernel_w / (stride_h * stride_w) loads of each x from the caches. */
#include "shared/inference/cudnn/teacher_number.cuh"

struct pool {
    enum pool_kind kind;
    struct shape in, out;
    struct teacher_window window;
    size_t vectors; /* of y */
};

/* Values that an average divides by: PyTorch's rule, see graph_reference.c. */
static __device__ int divisor(const struct pool *pool, int top, int left, int valid)
{
    const struct teacher_window *window = &pool->window;
    if (pool->kind != POOL_AVERAGE_WITH_PADDING)
        return valid;
    int bottom = min(top + window->kernel_h, pool->in.h + window->pad_bottom);
    int right = min(left + window->kernel_w, pool->in.w + window->pad_right);
    return (bottom - top) * (right - left);
}

template <typename T> __global__ static void pool_windows(const T *x, T *y, struct pool pool)
{
    const int count = vector<T>::count;
    const struct teacher_window *window = &pool.window;
    size_t i = thread_index(), position = i;
    float value[count], item[count];
    if (i >= pool.vectors)
        return;
    int c = (int)(position % (size_t)(pool.in.c / count)) * count;
    position /= (size_t)(pool.in.c / count);
    int column = (int)(position % (size_t)pool.out.w);
    position /= (size_t)pool.out.w;
    int row = (int)(position % (size_t)pool.out.h);
    size_t sample = position / (size_t)pool.out.h;
    int top = row * window->stride_h - window->pad_top, left = column * window->stride_w - window->pad_left, valid = 0;
    for (int k = 0; k < count; k++)
        value[k] = pool.kind == POOL_MAX ? -INFINITY : 0;
    for (int ky = 0; ky < window->kernel_h; ky++)
        for (int kx = 0; kx < window->kernel_w; kx++) {
            int sy = top + ky * window->dilation_h, sx = left + kx * window->dilation_w;
            if (sy < 0 || sy >= pool.in.h || sx < 0 || sx >= pool.in.w)
                continue;
            load_vector(item, x +
                                  ((sample * (size_t)pool.in.h + (size_t)sy) * (size_t)pool.in.w + (size_t)sx) *
                                      (size_t)pool.in.c +
                                  (size_t)c);
            for (int k = 0; k < count; k++)
                value[k] = pool.kind == POOL_MAX ? fmaxf(value[k], item[k]) : value[k] + item[k];
            valid++;
        }
    if (pool.kind != POOL_MAX)
        for (int k = 0; k < count; k++)
            value[k] = valid ? value[k] / (float)divisor(&pool, top, left, valid) : 0;
    store_vector(y + i * count, value);
}

cudaError_t teacher_pool(enum dtype type, enum pool_kind kind, const void *x, void *y, int n, struct shape in,
                         struct shape out, struct teacher_window window, cudaStream_t stream)
{
    struct pool pool = {kind, in, out, window, (size_t)n * (size_t)out.h * (size_t)out.w};
    FOR_DTYPE(type, {
        pool.vectors *= (size_t)(in.c / vector<T>::count);
        LAUNCH((pool_windows<T>), blocks_for(pool.vectors), BLOCK_THREADS, 0, stream, (const T *)x, (T *)y, pool);
    })
    return cudaGetLastError();
}
