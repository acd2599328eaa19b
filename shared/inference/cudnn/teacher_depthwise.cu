/* Depthwise convolution: every channel by itself, with bias, addend and activation.
 *
 * It is limited by memory: two operations per byte at 3x3. One thread makes STRIP outputs of a row for a vector of 16
 * bytes of channels, so that a weight vector is loaded once for STRIP outputs; the inputs that neighbouring windows
 * share come from the L1 cache. Bytes: x, addend and y once, which is the minimum; from the caches (1 + 1 / STRIP)
 * vectors per tap and output. */
#include "shared/inference/cudnn/teacher_number.cuh"

enum { STRIP = 4 };

struct strip {
    size_t sample;
    int row, column, c; /* of the first output */
};

/* Thread i's strip: channels run fastest, then strips of a row. False beyond the end. */
static __device__ bool find_strip(const struct conv_problem *problem, int vector_channels, size_t i,
                                  struct strip *strip)
{
    size_t vectors = (size_t)(problem->out.c / vector_channels),
           strips = (size_t)((problem->out.w + STRIP - 1) / STRIP);
    strip->c = (int)(i % vectors) * vector_channels;
    i /= vectors;
    strip->column = (int)(i % strips) * STRIP;
    i /= strips;
    strip->row = (int)(i % (size_t)problem->out.h);
    strip->sample = i / (size_t)problem->out.h;
    return strip->sample < (size_t)problem->batch;
}

/* Adds the taps of a strip's windows. */
template <typename T>
static __device__ void add_taps(float sum[STRIP][vector<T>::count], const struct conv_problem *problem, const T *x,
                                const T *w, const struct strip *strip)
{
    const int count = vector<T>::count;
    const struct teacher_window *window = &problem->window;
    float weight[count], item[count];
    for (int ky = 0; ky < window->kernel_h; ky++) {
        int sy = strip->row * window->stride_h + ky * window->dilation_h - window->pad_top;
        if (sy < 0 || sy >= problem->in.h)
            continue;
        const T *line =
            x + (strip->sample * (size_t)problem->in.h + (size_t)sy) * (size_t)problem->in.w * (size_t)problem->in.c;
        for (int kx = 0; kx < window->kernel_w; kx++) {
            load_vector(weight, w + (size_t)(ky * window->kernel_w + kx) * (size_t)problem->out.c + (size_t)strip->c);
#pragma unroll
            for (int s = 0; s < STRIP; s++) {
                int sx = (strip->column + s) * window->stride_w + kx * window->dilation_w - window->pad_left;
                if (sx < 0 || sx >= problem->in.w)
                    continue;
                load_vector(item, line + (size_t)sx * (size_t)problem->in.c + (size_t)strip->c);
                for (int k = 0; k < count; k++)
                    sum[s][k] += weight[k] * item[k];
            }
        }
    }
}

template <typename T>
__global__ static void depthwise(const T *x, const T *w, const T *bias, const T *addend, T *y,
                                 struct conv_problem problem)
{
    const int count = vector<T>::count;
    const struct pointwise pointwise = {problem.activation, problem.alpha, problem.beta};
    struct strip strip;
    float sum[STRIP][count] = {{0}}, other[count] = {0};
    if (!find_strip(&problem, count, thread_index(), &strip))
        return;
    if (bias)
        load_vector(other, bias + strip.c);
    for (int s = 0; s < STRIP; s++)
        for (int k = 0; k < count; k++)
            sum[s][k] = other[k];
    add_taps<T>(sum, &problem, x, w, &strip);
#pragma unroll
    for (int s = 0; s < STRIP; s++) {
        if (strip.column + s >= problem.out.w)
            break;
        size_t at = ((strip.sample * (size_t)problem.out.h + (size_t)strip.row) * (size_t)problem.out.w +
                     (size_t)(strip.column + s)) *
                        (size_t)problem.out.c +
                    (size_t)strip.c;
        if (addend) {
            load_vector(other, addend + at);
            for (int k = 0; k < count; k++)
                sum[s][k] += other[k];
        }
        for (int k = 0; k < count; k++)
            sum[s][k] = apply(pointwise, sum[s][k]);
        store_vector(y + at, sum[s]);
    }
}

cudaError_t teacher_depthwise(enum dtype type, const struct conv_problem *problem, const struct conv_operands *operands,
                              cudaStream_t stream)
{
    size_t strips = (size_t)problem->batch * (size_t)problem->out.h * (size_t)((problem->out.w + STRIP - 1) / STRIP);
    FOR_DTYPE(type, LAUNCH((depthwise<T>), blocks_for(strips * (size_t)(problem->out.c / vector<T>::count)),
                           BLOCK_THREADS, 0, stream, (const T *)operands->x, (const T *)operands->w,
                           (const T *)operands->bias, (const T *)operands->addend, (T *)operands->y, *problem))
    return cudaGetLastError();
}
