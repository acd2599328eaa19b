/* Convolutions of one pixel with stride 1: their own kernels where the channels fit, otherwise those of any
 * convolution. */
#include "shared/backend/cuda/pointwise.cuh"

#include <limits.h>

template <typename T, int SIDE> static size_t bytes_of(int backward)
{
    return backward ? pointwise_memory<T, SIDE>::BACKWARD_BYTES : pointwise_memory<T, SIDE>::FORWARD_BYTES;
}

/* Whether the kernels take the step: channels, pixels, the device's shared memory. */
static bool pointwise_fits(const struct cuda_run *run, int backward)
{
    const struct shape in = cuda_input_of(run)->shape, out = cuda_output_of(run)->shape;
    const bool small = cuda_element_of(run, cuda_input_of(run)) == ELEMENT_BF16;
    size_t bytes;
    if (in.c > POINTWISE_MAX_CHANNELS || out.c > POINTWISE_MAX_CHANNELS ||
        (size_t)run->pass->count * in.h * in.w > INT_MAX / 2)
        return false;
    switch (pointwise_side(in.c, out.c)) {
    case 32:
        bytes = small ? bytes_of<bf16, 32>(backward) : bytes_of<float, 32>(backward);
        break;
    case 64:
        bytes = small ? bytes_of<bf16, 64>(backward) : bytes_of<float, 64>(backward);
        break;
    default:
        bytes = small ? bytes_of<bf16, 128>(backward) : bytes_of<float, 128>(backward);
    }
    return bytes <= run->device->properties.sharedMemPerBlockOptin;
}

static size_t scratch(const struct plan *plan, const struct plan_step *step)
{
    const struct shape in = plan->tensors[step->inputs[0].tensor].shape, out = plan->tensors[step->output].shape;
    const size_t forward = 3 * (size_t)CUDA_MAX_BLOCKS * out.c;
    const size_t backward =
        pointwise_scratch(in.c, out.c, (size_t)plan->batch * in.h * in.w, plan->element, step->bias != PLAN_NONE);
    const size_t other = cuda_conv.scratch(plan, step), own = forward > backward ? forward : backward;
    return own > other ? own : other;
}

static enum status forward(const struct cuda_run *run, struct error *err)
{
    return pointwise_fits(run, 0) ? pointwise_forward(run, err) : cuda_conv.forward(run, err);
}

static enum status backward(const struct cuda_run *run, struct error *err)
{
    return pointwise_fits(run, 1) ? pointwise_backward(run, err) : cuda_conv.backward(run, err);
}

const struct cuda_step_kernel cuda_pointwise = {scratch, forward, backward};
