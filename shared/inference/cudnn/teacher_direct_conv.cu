/* Any convolution, straight from its definition, for the few that cuDNN has no plan for (odd groups). It is correct
 * rather than fast.
 *
 * One thread per output element, neighbouring output channels in neighbouring threads: they read the same inputs, and
 * weights from the caches. */
#include "shared/inference/cudnn/teacher_number.cuh"

struct grouping {
    int in_group, out_group;
    size_t elements; /* of y */
};

/* One window: the sum over the group's input channels and the kernel. */
template <typename T>
static __device__ float window_sum(const struct conv_problem *problem, int in_group, const T *x, const T *w,
                                   size_t sample, int row, int column, int first)
{
    const struct teacher_window *window = &problem->window;
    float sum = 0;
    for (int ky = 0; ky < window->kernel_h; ky++)
        for (int kx = 0; kx < window->kernel_w; kx++) {
            int sy = row * window->stride_h + ky * window->dilation_h - window->pad_top;
            int sx = column * window->stride_w + kx * window->dilation_w - window->pad_left;
            if (sy < 0 || sy >= problem->in.h || sx < 0 || sx >= problem->in.w)
                continue;
            const T *item = x +
                            ((sample * (size_t)problem->in.h + (size_t)sy) * (size_t)problem->in.w + (size_t)sx) *
                                (size_t)problem->in.c +
                            (size_t)first;
            const T *weight = w + (size_t)(ky * window->kernel_w + kx) * (size_t)in_group;
            for (int i = 0; i < in_group; i++)
                sum += load(&item[i]) * load(&weight[i]);
        }
    return sum;
}

template <typename T>
__global__ static void direct_conv(const T *x, const T *w, const T *bias, const T *addend, T *y,
                                   struct conv_problem problem, struct grouping grouping)
{
    const struct pointwise pointwise = {problem.activation, problem.alpha, problem.beta};
    const int area = problem.window.kernel_h * problem.window.kernel_w;
    size_t i = thread_index(), position = i / (size_t)problem.out.c;
    if (i >= grouping.elements)
        return;
    int o = (int)(i % (size_t)problem.out.c), group = o / grouping.out_group;
    int column = (int)(position % (size_t)problem.out.w),
        row = (int)(position / (size_t)problem.out.w % (size_t)problem.out.h);
    size_t sample = position / (size_t)problem.out.w / (size_t)problem.out.h;
    if (group >= problem.groups) {
        store(&y[i], 0);
        return;
    }
    float sum = window_sum(&problem, grouping.in_group, x, w + (size_t)o * (size_t)area * (size_t)grouping.in_group,
                           sample, row, column, group * grouping.in_group);
    sum += bias ? load(&bias[o]) : 0;
    sum += addend ? load(&addend[i]) : 0;
    store(&y[i], apply(pointwise, sum));
}

cudaError_t teacher_direct_conv(enum dtype type, const struct conv_problem *problem, int in_group, int out_group,
                                const struct conv_operands *operands, cudaStream_t stream)
{
    const struct grouping grouping = {in_group, out_group,
                                      (size_t)problem->batch * (size_t)problem->out.h * (size_t)problem->out.w *
                                          (size_t)problem->out.c};
    FOR_DTYPE(type, LAUNCH((direct_conv<T>), blocks_for(grouping.elements), BLOCK_THREADS, 0, stream,
                           (const T *)operands->x, (const T *)operands->w, (const T *)operands->bias,
                           (const T *)operands->addend, (T *)operands->y, *problem, grouping))
    return cudaGetLastError();
}
