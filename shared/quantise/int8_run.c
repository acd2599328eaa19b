#include "shared/quantise/int8_net.h"

#include "shared/quantise/kernels_int8.h"
#include <string.h>

/* One step with what its kernel needs. */
struct step_run {
    const struct int8_net *net;
    const struct lowered_step *step;
    const struct int8_step *numbers;
    const int8_t *in[NODE_MAX_INPUTS];
    int zero[NODE_MAX_INPUTS]; /* of the inputs */
    struct scaling to;
    int8_t *out;
};

static void run_concat(const struct step_run *run)
{
    const struct lowered_value *values = run->net->lowered->values;
    int8_t *out = run->out;
    for (int k = 0; k < run->step->input_count; k++) {
        const struct shape from = values[run->step->inputs[k]].shape;
        concat_int8(from.h * from.w, from.c, run->in[k], run->zero[k], run->numbers->multiplier[k],
                    run->numbers->shift[k], run->to.zero, out, values[run->step->output].shape.c);
        out += from.c;
    }
}

static void run_kernel(const struct step_run *run)
{
    const struct lowered_step *step = run->step;
    const struct int8_step *n = run->numbers;
    const struct window *w = &step->window;
    const int pixels = w->in_h * w->in_w, count = (int)run->net->lowered->values[step->output].count;
    switch (step->kind) {
    case LOWERED_CONV:
        conv_int8(w, n->weight, n->bias, run->zero[0], &run->to, run->in[0], run->out);
        break;
    case LOWERED_DEPTHWISE:
        depthwise_int8(w, n->weight, n->bias, run->zero[0], &run->to, run->in[0], run->out);
        break;
    case LOWERED_ACTIVATION:
        table_int8(count, n->table, run->in[0], run->out);
        break;
    case LOWERED_ADD:
        add_int8(count, step->input_count, run->in, run->zero, n->multiplier, n->shift[0], run->to.zero, n->low,
                 n->high, run->out);
        break;
    case LOWERED_MULTIPLY:
        multiply_int8(pixels, w->in_c, run->in[0], run->zero[0], run->in[1], run->zero[1], step->pixel_step,
                      step->channel_step, &run->to, run->out);
        break;
    case LOWERED_MAX_POOL:
        max_pool_int8(w, run->in[0], run->out);
        break;
    case LOWERED_AVERAGE_POOL:
        average_pool_int8(w, step->count_padding, run->zero[0], &run->to, run->in[0], run->out);
        break;
    case LOWERED_MEAN:
        mean_int8(pixels, w->in_c, run->zero[0], &run->to, run->in[0], run->out);
        break;
    case LOWERED_SELECT:
        select_int8(pixels, w->in_c, w->out_c, step->channels, run->in[0], run->out);
        break;
    case LOWERED_CONCAT:
        run_concat(run);
        break;
    case LOWERED_PAD:
        pad_int8(w, run->zero[0], run->in[0], run->out);
        break;
    case LOWERED_KIND_COUNT:
        break;
    }
}

static void run_step(const struct int8_net *net, int s, int8_t *arena)
{
    const struct lowered_step *step = &net->lowered->steps[s];
    const struct int8_step *numbers = &net->steps[s];
    struct step_run run = {.net = net, .step = step, .numbers = numbers};
    for (int k = 0; k < step->input_count; k++) {
        run.in[k] = arena + net->lowered->values[step->inputs[k]].offset;
        run.zero[k] = net->values[step->inputs[k]].zero;
    }
    run.to = (struct scaling){numbers->multiplier, numbers->shift, net->values[step->output].zero, numbers->low,
                              numbers->high};
    run.out = arena + net->lowered->values[step->output].offset;
    run_kernel(&run);
}

void int8_run(const struct int8_net *net, const uint8_t *pixels, int8_t *arena, int8_t *logits)
{
    const struct lowered *lowered = net->lowered;
    const struct lowered_value *input = &lowered->values[lowered->input], *output = &lowered->values[lowered->output];
    for (size_t i = 0; i < input->count; i++)
        arena[input->offset + i] = net->pixels[i % (size_t)input->shape.c][pixels[i]];
    for (int s = 0; s < lowered->step_count; s++)
        run_step(net, s, arena);
    memcpy(logits, arena + output->offset, output->count);
}
