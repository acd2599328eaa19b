/* Pointwise convolutions: their own kernels if the channels fit, otherwise those of any convolution. */
#include "shared/training/steps/pointwise.cuh"

#include <limits.h>

/* Do the kernels take the step? They need channels in vectors, few enough pixels, one stored type, and enough shared
 * memory on the device. */
static bool pointwise_fits(const struct cuda_run *run, size_t (*shared_bytes)(int in, int out, enum dtype dtype))
{
    const struct shape in = cuda_input_of(run)->shape, out = cuda_output_of(run)->shape;
    const enum dtype dtype = cuda_dtype_of(run, cuda_input_of(run));
    return in.c <= POINTWISE_MAX_CHANNELS && out.c <= POINTWISE_MAX_CHANNELS && in.c % 4 == 0 && out.c % 4 == 0 &&
           cuda_dtype_of(run, cuda_output_of(run)) == dtype && (size_t)run->pass->count * in.h * in.w <= INT_MAX / 2 &&
           shared_bytes(in.c, out.c, dtype) <= run->device->properties.sharedMemPerBlockOptin;
}

static size_t scratch(const struct plan *plan, const struct plan_step *step)
{
    const struct shape in = plan->tensors[step->inputs[0].tensor].shape, out = plan->tensors[step->output].shape;
    const size_t forward = 3 * (size_t)CUDA_MAX_BLOCKS * out.c;
    const size_t backward =
        pointwise_scratch(in.c, out.c, (size_t)plan->batch * in.h * in.w, plan->dtype, plan_has(step->bias));
    const size_t other = cuda_conv.scratch(plan, step), own = forward > backward ? forward : backward;
    return own > other ? own : other;
}

static enum status forward(const struct cuda_run *run, struct error *err)
{
    return pointwise_fits(run, pointwise_forward_bytes) ? pointwise_forward(run, err) : cuda_conv.forward(run, err);
}

static enum status backward(const struct cuda_run *run, struct error *err)
{
    return pointwise_fits(run, pointwise_backward_bytes) ? pointwise_backward(run, err) : cuda_conv.backward(run, err);
}

const struct cuda_step_kernel cuda_pointwise = {scratch, forward, backward};
