/* Windows that slide over images, as kernels see them: of depthwise convolutions and pools. */
#ifndef SHARED_TRAINING_CUDA_CUDA_WINDOW_CUH
#define SHARED_TRAINING_CUDA_CUDA_WINDOW_CUH

#include "shared/training/cuda/cuda_channel_sums.cuh"

/* One axis: output position o reads inputs o * stride - pad + k * dilation, 0 <= k < kernel. */
struct axis {
    int in, out; /* extents */
    int kernel, stride, dilation;
    int pad;       /* before the first input */
    int pad_after; /* after the last input; for average pools */
};

struct window {
    struct axis y, x;
    int channels;
    int samples;
};

/* The window of the step that is run; `channels` are those of the input and of the output. */
static inline struct window window_of(const struct cuda_run *run)
{
    const struct shape in = cuda_input_of(run)->shape, out = cuda_output_of(run)->shape;
    const struct node *n = run->node;
    const struct window w = {
        {in.h, out.h, n->kernel_h, n->stride_h, n->dilation_h, run->step->pad_top, n->pad_bottom},
        {in.w, out.w, n->kernel_w, n->stride_w, n->dilation_w, run->step->pad_left, n->pad_right},
        in.c,
        run->pass->count,
    };
    return w;
}

/* A walk over the pixels of a batch without divisions: pixel number n * h * w + y * w + x, then every pixel `step`
 * further on. */
struct walk {
    int n, y, x;
    int h, w;
    int step_n, step_y, step_x;
};

static __device__ __forceinline__ struct walk walk_of(int h, int w, size_t first, size_t step)
{
    const size_t image = (size_t)h * w;
    struct walk k;
    k.h = h;
    k.w = w;
    k.n = (int)(first / image);
    k.y = (int)(first % image) / w;
    k.x = (int)(first % image) % w;
    k.step_n = (int)(step / image);
    k.step_y = (int)(step % image) / w;
    k.step_x = (int)(step % image) % w;
    return k;
}

static __device__ __forceinline__ void walk_on(struct walk *k)
{
    k->x += k->step_x;
    k->y += k->step_y;
    k->n += k->step_n;
    if (k->x >= k->w) {
        k->x -= k->w;
        k->y++;
    }
    if (k->y >= k->h) {
        k->y -= k->h;
        k->n++;
    }
}

static __device__ __forceinline__ size_t walk_pixel(const struct walk *k)
{
    return ((size_t)k->n * k->h + k->y) * k->w + k->x;
}

#endif
