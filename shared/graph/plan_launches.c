/* How many kernels the CUDA backend launches for a plan: shared/training/steps/X.cu, counted without a GPU.
 * tests/test_launches.c compares it with the launches that are made. */
#include "shared/graph/plan.h"

/* Sizes that decide which kernels a step takes. */
enum {
    POINTWISE_CHANNELS = 128,  /* that pointwise.cu's own kernels take at most */
    LAST_BLOCK_WEIGHTS = 2048, /* whose partial gradients the last block of a pointwise step adds */
    STEM_CHANNELS = 4,         /* of a first convolution, which has kernels of its own, at most */
    STEM_TAPS = 27,            /* of its window, at most */
    SLICE_PIXELS = 256,        /* of a convolution's weight gradient: more pixels are cut into slices */
    SELECT_LIST = 768          /* channels that one launch selects */
};

static struct shape input_shape(const struct plan *plan, const struct plan_step *step)
{
    return plan->tensors[step->inputs[0].tensor].shape;
}

static struct shape output_shape(const struct plan *plan, const struct plan_step *step)
{
    return plan->tensors[step->output].shape;
}

static int has_gradient(const struct plan *plan, int tensor)
{
    return plan->tensors[tensor].gradient != PLAN_NONE;
}

/* The plan's output is stored as float, whatever the plan's dtype. */
static bool types_are_alike(const struct plan *plan, const struct plan_step *step)
{
    return plan->dtype == DTYPE_FP32 || step->output != plan->output;
}

static bool has_pointwise_kernels(const struct plan *plan, const struct plan_step *step)
{
    const int in = input_shape(plan, step).c, out = output_shape(plan, step).c;
    return step->kind == STEP_POINTWISE && types_are_alike(plan, step) && in <= POINTWISE_CHANNELS &&
           out <= POINTWISE_CHANNELS && in % 4 == 0 && out % 4 == 0;
}

/* 3x3, with stride 1, or stride 2 and odd paddings. */
static bool has_depthwise_tiles(const struct plan *plan, const struct plan_step *step)
{
    const struct node *n = &plan->graph->nodes[step->node];
    return types_are_alike(plan, step) && n->kernel_h == 3 && n->kernel_w == 3 && n->stride_h == n->stride_w &&
           n->dilation_h == 1 && n->dilation_w == 1 &&
           (n->stride_h == 1 || (n->stride_h == 2 && step->pad_top % 2 == 1 && step->pad_left % 2 == 1));
}

/* The first convolution of a net. */
static bool has_stem_kernels(const struct plan *plan, const struct plan_step *step)
{
    const struct node *n = &plan->graph->nodes[step->node];
    const struct plan_tensor *in = &plan->tensors[step->inputs[0].tensor];
    return step->kind == STEP_CONV && types_are_alike(plan, step) && in->batch_norm < 0 &&
           in->activation == ACTIVATION_NONE && n->groups == 1 && in->shape.c <= STEM_CHANNELS &&
           n->kernel_h * n->kernel_w <= STEM_TAPS;
}

static int lists_of(int channels)
{
    return (channels + SELECT_LIST - 1) / SELECT_LIST;
}

static int forward_launches(const struct plan *plan, const struct plan_step *step)
{
    switch (step->kind) {
    case STEP_CONV:
    case STEP_LINEAR: /* packed weights, then the product */
        return has_stem_kernels(plan, step) ? 1 : 2;
    case STEP_POINTWISE:
        return has_pointwise_kernels(plan, step) ? 1 : 2;
    case STEP_SELECT:
        return lists_of(output_shape(plan, step).c);
    case STEP_GROUP_NORM:
    case STEP_LAYER_NORM:
    case STEP_LP_NORM: /* the cells' numbers, then the values */
        return 2;
    case STEP_QUANTISE: /* the values' range, in two, then the values */
        return 3;
    default:
        return 1;
    }
}

/* Weights in slices, which another kernel adds up; packed weights and a product for the input's gradient. */
static int conv_backward(const struct plan *plan, const struct plan_step *step)
{
    const struct shape out = output_shape(plan, step);
    const bool sliced =
        !has_stem_kernels(plan, step) && (size_t)plan->batch * (size_t)out.h * (size_t)out.w > SLICE_PIXELS;
    return 1 + (sliced ? 1 + plan_has(step->bias) : 0) + 2 * has_gradient(plan, step->inputs[0].tensor);
}

static int pointwise_backward(const struct plan *plan, const struct plan_step *step)
{
    const int weights = input_shape(plan, step).c * output_shape(plan, step).c;
    return has_pointwise_kernels(plan, step) ? 1 + (weights > LAST_BLOCK_WEIGHTS) : conv_backward(plan, step);
}

static int depthwise_backward(const struct plan *plan, const struct plan_step *step)
{
    const int gradients = has_depthwise_tiles(plan, step) ? 1 : 1 + has_gradient(plan, step->inputs[0].tensor);
    return gradients + plan_has(step->bias);
}

/* Weights per value have kernels of their own; the sums of one weight for all channels are added by another one. */
static int channelwise_backward(const struct plan *plan, const struct plan_step *step)
{
    const struct node *n = &plan->graph->nodes[step->node];
    const struct shape s = output_shape(plan, step);
    const size_t weights = n->weight < 0 ? 0 : plan->graph->weights[n->weight].count;
    const size_t biases = n->bias < 0 ? 0 : plan->graph->weights[n->bias].count;
    const bool per_value = s.h * s.w > 1 && (weights > (size_t)s.c || biases > (size_t)s.c);
    const int trained_weight = plan_has(step->weight) && step->weight.trained;
    const int trained_bias = plan_has(step->bias) && step->bias.trained;
    return 1 + (per_value ? trained_weight + trained_bias : weights == 1 ? trained_weight : 0);
}

/* A launch adds the gradient of one reader to every channel. */
static int select_backward(const struct plan *plan, const struct plan_step *step)
{
    const struct node *n = &plan->graph->nodes[step->node];
    const int channels = input_shape(plan, step).c;
    int most = 1;
    for (int c = 0; c < channels; c++) {
        int readers = 0;
        for (int i = 0; i < n->channel_count; i++)
            readers += n->channels[i] == c;
        most = readers > most ? readers : most;
    }
    return most * lists_of(channels);
}

static int backward_launches(const struct plan *plan, const struct plan_step *step, int input)
{
    const int gradient = has_gradient(plan, step->inputs[input].tensor);
    if (!gradient && !plan_step_learns(step))
        return 0;
    switch (step->kind) {
    case STEP_CONV:
    case STEP_LINEAR:
        return conv_backward(plan, step);
    case STEP_POINTWISE:
        return pointwise_backward(plan, step);
    case STEP_DEPTHWISE:
        return depthwise_backward(plan, step);
    case STEP_SCALE:
    case STEP_PRELU:
        return channelwise_backward(plan, step);
    case STEP_SELECT:
        return select_backward(plan, step);
    case STEP_GROUP_NORM:
    case STEP_LAYER_NORM:
    case STEP_LP_NORM:
        return 2;
    default:
        return gradient;
    }
}

struct plan_launches plan_launches_of(const struct plan *plan)
{
    struct plan_launches launches = {.forward = plan->rounding_count, .backward = plan->twin_count};
    for (int i = 0; i < plan->step_count; i++) {
        const struct plan_step *step = &plan->steps[i];
        launches.forward += forward_launches(plan, step);
        for (int k = 0; k < step->input_count && has_gradient(plan, step->output); k++)
            launches.backward += backward_launches(plan, step, k);
    }
    return launches;
}
