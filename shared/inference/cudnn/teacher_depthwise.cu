/* Depthwise convolution: every channel by itself, with bias, addend and activation.
 *
 * It is bound by memory: two operations a byte at 3x3. One thread makes STRIP outputs of a row for a vector of 16 bytes
 * of channels, so that a weight vector is loaded once for STRIP outputs; the inputs that neighbouring windows share
 * come from the L1 cache. Bytes: x, addend and y once, which is the floor; from the caches (1 + 1 / STRIP) vectors a
 * tap and output. */
#include "shared/inference/cudnn/teacher_number.cuh"

enum { STRIP = 4 };

struct strip {
    size_t sample;
    int row, column, c; /* of the first output */
};

/* Thread i's strip: channels run fastest, then strips of a row. False beyond the end. */
static __device__ bool find_strip(const struct conv_shape *shape, int vector_channels, size_t i, struct strip *strip)
{
    size_t vectors = (size_t)(shape->out.c / vector_channels), strips = (size_t)((shape->out.w + STRIP - 1) / STRIP);
    strip->c = (int)(i % vectors) * vector_channels;
    i /= vectors;
    strip->column = (int)(i % strips) * STRIP;
    i /= strips;
    strip->row = (int)(i % (size_t)shape->out.h);
    strip->sample = i / (size_t)shape->out.h;
    return strip->sample < (size_t)shape->batch;
}

/* Adds the taps of a strip's windows. */
template <typename T>
static __device__ void add_taps(float sum[STRIP][vector<T>::count], const struct conv_shape *shape, const T *x,
                                const T *w, const struct strip *strip)
{
    const int count = vector<T>::count;
    const struct window *window = &shape->window;
    float weight[count], item[count];
    for (int ky = 0; ky < window->kernel_h; ky++) {
        int sy = strip->row * window->stride_h + ky * window->dilation_h - window->pad_top;
        if (sy < 0 || sy >= shape->in.h)
            continue;
        const T *line =
            x + (strip->sample * (size_t)shape->in.h + (size_t)sy) * (size_t)shape->in.w * (size_t)shape->in.c;
        for (int kx = 0; kx < window->kernel_w; kx++) {
            load_vector(weight, w + (size_t)(ky * window->kernel_w + kx) * (size_t)shape->out.c + (size_t)strip->c);
#pragma unroll
            for (int s = 0; s < STRIP; s++) {
                int sx = (strip->column + s) * window->stride_w + kx * window->dilation_w - window->pad_left;
                if (sx < 0 || sx >= shape->in.w)
                    continue;
                load_vector(item, line + (size_t)sx * (size_t)shape->in.c + (size_t)strip->c);
                for (int k = 0; k < count; k++)
                    sum[s][k] += weight[k] * item[k];
            }
        }
    }
}

template <typename T>
__global__ static void depthwise(const T *x, const T *w, const T *bias, const T *addend, T *y, struct conv_shape shape)
{
    const int count = vector<T>::count;
    const struct pointwise pointwise = {shape.activation, shape.alpha, shape.beta};
    struct strip strip;
    float sum[STRIP][count] = {{0}}, other[count] = {0};
    if (!find_strip(&shape, count, thread_index(), &strip))
        return;
    if (bias)
        load_vector(other, bias + strip.c);
    for (int s = 0; s < STRIP; s++)
        for (int k = 0; k < count; k++)
            sum[s][k] = other[k];
    add_taps<T>(sum, &shape, x, w, &strip);
#pragma unroll
    for (int s = 0; s < STRIP; s++) {
        if (strip.column + s >= shape.out.w)
            break;
        size_t at = ((strip.sample * (size_t)shape.out.h + (size_t)strip.row) * (size_t)shape.out.w +
                     (size_t)(strip.column + s)) *
                        (size_t)shape.out.c +
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

cudaError_t teacher_depthwise(enum dtype type, const struct conv_shape *shape, const struct conv_operands *operands,
                              cudaStream_t stream)
{
    size_t strips = (size_t)shape->batch * (size_t)shape->out.h * (size_t)((shape->out.w + STRIP - 1) / STRIP);
    FOR_DTYPE(type, LAUNCH((depthwise<T>), blocks_for(strips * (size_t)(shape->out.c / vector<T>::count)),
                           BLOCK_THREADS, 0, stream, (const T *)operands->x, (const T *)operands->w,
                           (const T *)operands->bias, (const T *)operands->addend, (T *)operands->y, *shape))
    return cudaGetLastError();
}
