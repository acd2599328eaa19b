#include "shared/quantise/lowered.h"

#include "shared/graph/activation.h"
#include "shared/quantise/kernels_float.h"
#include <string.h>

const char *const lowered_kernel_names[LOWERED_KIND_COUNT] = {
    [LOWERED_CONV] = "conv",
    [LOWERED_DEPTHWISE] = "depthwise",
    [LOWERED_ACTIVATION] = "table",
    [LOWERED_ADD] = "add",
    [LOWERED_MULTIPLY] = "multiply",
    [LOWERED_MAX_POOL] = "max_pool",
    [LOWERED_AVERAGE_POOL] = "average_pool",
    [LOWERED_MEAN] = "mean",
    [LOWERED_SELECT] = "select",
    [LOWERED_CONCAT] = "concat",
    [LOWERED_PAD] = "pad",
};

static void run_concat(const struct lowered *lowered, const struct lowered_step *step, const float *const *in,
                       float *out)
{
    const struct shape to = lowered->values[step->output].shape;
    for (int k = 0; k < step->input_count; k++) {
        const struct shape from = lowered->values[step->inputs[k]].shape;
        concat_float(from.h * from.w, from.c, in[k], out, to.c);
        out += from.c;
    }
}

static void run_step(const struct lowered *lowered, const struct lowered_step *step, float *arena)
{
    const struct window *w = &step->window;
    const int pixels = w->in_h * w->in_w, count = (int)lowered->values[step->output].count;
    const float *in[NODE_MAX_INPUTS];
    float *out = arena + lowered->values[step->output].offset;
    for (int k = 0; k < step->input_count; k++)
        in[k] = arena + lowered->values[step->inputs[k]].offset;
    switch (step->kind) {
    case LOWERED_CONV:
        conv_float(w, step->packed, step->bias, step->low, step->high, in[0], out);
        break;
    case LOWERED_DEPTHWISE:
        depthwise_float(w, step->packed, step->bias, step->low, step->high, in[0], out);
        break;
    case LOWERED_ACTIVATION:
        for (int i = 0; i < count; i++)
            out[i] = activation_apply(step->activation, step->alpha, step->beta, in[0][i]);
        break;
    case LOWERED_ADD:
        add_float(count, step->input_count, in, step->low, step->high, out);
        break;
    case LOWERED_MULTIPLY:
        multiply_float(pixels, w->in_c, in[0], in[1], step->pixel_step, step->channel_step, out);
        break;
    case LOWERED_MAX_POOL:
        max_pool_float(w, in[0], out);
        break;
    case LOWERED_AVERAGE_POOL:
        average_pool_float(w, step->count_padding, in[0], out);
        break;
    case LOWERED_MEAN:
        mean_float(pixels, w->in_c, in[0], out);
        break;
    case LOWERED_SELECT:
        select_float(pixels, w->in_c, w->out_c, step->channels, in[0], out);
        break;
    case LOWERED_CONCAT:
        run_concat(lowered, step, in, out);
        break;
    case LOWERED_PAD:
        pad_float(w, in[0], out);
        break;
    case LOWERED_KIND_COUNT:
        break;
    }
}

void lowered_run(const struct lowered *lowered, const float *input, float *arena, lowered_observer *observer,
                 void *context, float *output)
{
    const struct lowered_value *values = lowered->values;
    memcpy(arena + values[lowered->input].offset, input, values[lowered->input].count * sizeof *input);
    if (observer)
        observer(context, lowered->input, input);
    for (int s = 0; s < lowered->step_count; s++) {
        const int out = lowered->steps[s].output;
        run_step(lowered, &lowered->steps[s], arena);
        if (observer)
            observer(context, out, arena + values[out].offset);
    }
    memcpy(output, arena + values[lowered->output].offset, values[lowered->output].count * sizeof *output);
}
