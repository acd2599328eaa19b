/* Convolutions and linear layers of any shape: which products a step needs, and their scratch memory. */
#include "shared/training/steps/stem.cuh"

/* The kernel of a linear layer is its whole input. So is its stride, although there is only one output: then the data
 * gradient has one phase for every input pixel, with the one tap that reaches it. */
struct conv_shape conv_shape_of(const struct plan *plan, const struct plan_step *step, int count)
{
    const struct node *n = &plan->graph->nodes[step->node];
    const struct shape in = plan->tensors[step->inputs[0].tensor].shape, out = plan->tensors[step->output].shape;
    struct conv_shape s = {};
    s.count = count;
    s.in_h = in.h, s.in_w = in.w, s.in_c = in.c;
    s.out_h = out.h, s.out_w = out.w, s.out_c = out.c;
    if (step->kind == STEP_LINEAR) {
        s.groups = s.dilation_h = s.dilation_w = 1;
        s.kernel_h = s.stride_h = in.h;
        s.kernel_w = s.stride_w = in.w;
    } else {
        s.groups = n->groups;
        s.kernel_h = n->kernel_h, s.kernel_w = n->kernel_w;
        s.stride_h = n->stride_h, s.stride_w = n->stride_w;
        s.dilation_h = n->dilation_h, s.dilation_w = n->dilation_w;
        s.pad_top = step->pad_top, s.pad_left = step->pad_left;
    }
    return s;
}

/* Do the kernels for the first convolution take the step? */
static bool is_stem(const struct cuda_run *run, const struct conv_shape *shape)
{
    const struct cuda_read read = cuda_read_of(run, cuda_input_of(run));
    return run->step->kind == STEP_CONV && !read.scale && read.activation == ACTIVATION_NONE &&
           cuda_dtype_of(run, cuda_input_of(run)) == cuda_dtype_of(run, cuda_output_of(run)) && stem_fits(shape);
}

/* ---- scratch memory: packed weights of all students, then their moments or sums. Weight gradients use the same memory
 * before, and are done by then. ---- */
static size_t packed_floats(const struct conv_shape *shape, int backward)
{
    return (conv_packed_count(shape, backward) + 3) / 4 * 4;
}

static size_t scratch(const struct plan *plan, const struct plan_step *step)
{
    const struct conv_shape s = conv_shape_of(plan, step, plan->batch);
    const size_t forward = packed_floats(&s, 0) + 3 * (size_t)CUDA_MAX_BLOCKS * s.out_c;
    const size_t backward = packed_floats(&s, 1) + 2 * (size_t)CUDA_MAX_BLOCKS * s.in_c;
    const size_t weights = conv_weight_scratch(&s, plan_has(step->bias));
    const size_t stem = stem_fits(&s) ? stem_scratch(&s) : 0;
    const size_t most = forward > backward ? forward : backward, gradient = stem > weights ? stem : weights;
    return most > gradient ? most : gradient;
}

static enum status forward(const struct cuda_run *run, struct error *err)
{
    const struct conv_shape shape = conv_shape_of(run->plan, run->step, run->pass->count);
    float *const moments = run->scratch + run->students * packed_floats(&shape, 0);
    const struct cuda_write write = cuda_write_of(run, moments);
    enum status status = STATUS_OK;
    if (is_stem(run, &shape))
        return stem_forward(run, &shape, err);
    TRY(conv_pack(run, &shape, 0, cuda_dtype_of(run, cuda_input_of(run)), run->scratch, err));
    TRY(conv_forward(run, &shape, run->scratch, &write, err));
cleanup:
    return status;
}

static enum status backward(const struct cuda_run *run, struct error *err)
{
    const struct conv_shape shape = conv_shape_of(run->plan, run->step, run->pass->count);
    float *const sums = run->scratch + run->students * packed_floats(&shape, 1);
    enum status status = STATUS_OK;
    if (is_stem(run, &shape))
        TRY(stem_weight_gradient(run, &shape, err));
    else
        TRY(conv_weight_gradient(run, &shape, run->scratch, err));
    if (cuda_input_of(run)->gradient != PLAN_NONE) {
        const struct cuda_give give = cuda_give_of(run, sums);
        TRY(conv_pack(run, &shape, 1, cuda_dtype_of(run, cuda_input_of(run)), run->scratch, err));
        TRY(conv_data_gradient(run, &shape, run->scratch, &give, err));
    }
cleanup:
    return status;
}

const struct cuda_step_kernel cuda_conv = {scratch, forward, backward};
const struct cuda_step_kernel cuda_linear = {scratch, forward, backward};
