#include "shared/quantise/lowered.h"

#include "shared/graph/graph_chains.h"
#include "shared/graph/plan_memory.h"
#include <float.h>
#include <stdlib.h>

enum { ALIGNMENT = 16 /* values */ };

static enum status no_memory(struct error *err)
{
    return error_no_memory(err, 0, "the layers of a student");
}

static enum status refuse(const struct node *node, struct error *err)
{
    return error_set(err, STATUS_CONFIG, NULL,
                     "layer '%s' (%s) has no form in integers or plain C: use a net without it (batch norm instead of "
                     "other norms, ReLU instead of PReLU)",
                     node->name, op_name(node->op));
}

static bool is_bound(const struct node *node)
{
    return node->op == OP_ACTIVATION && (node->activation == ACTIVATION_RELU || node->activation == ACTIVATION_CLIP);
}

/* A ReLU or clip belongs to the layer before it. */
static bool fuses(const struct node *host, const struct node *follower)
{
    return is_bound(follower) && (host->op == OP_CONV || host->op == OP_LINEAR || host->op == OP_ADD);
}

/* ---- shapes and weights of one layer ---- */
static struct window window_of(const struct node *node, struct shape in)
{
    const struct shape out = node->shape;
    return (struct window){
        .in_h = in.h,
        .in_w = in.w,
        .in_c = in.c,
        .out_h = out.h,
        .out_w = out.w,
        .out_c = out.c,
        .kernel_h = node->kernel_h,
        .kernel_w = node->kernel_w,
        .stride_h = node->stride_h,
        .stride_w = node->stride_w,
        .dilation_h = node->dilation_h,
        .dilation_w = node->dilation_w,
        .pad_top = node->pad_top,
        .pad_left = node->pad_left,
        .pad_bottom = node->pad_bottom,
        .pad_right = node->pad_right,
        .groups = node->groups,
    };
}

/* A linear layer as a convolution: its input is one pixel of c * h * w channels, in the order of a map. */
static void make_linear(struct lowered_step *step, const float *weight, struct shape in)
{
    const size_t pixels = (size_t)in.h * (size_t)in.w, channels = (size_t)in.c, row = pixels * channels;
    step->window = (struct window){.in_h = 1,
                                   .in_w = 1,
                                   .in_c = (int)row,
                                   .out_h = 1,
                                   .out_w = 1,
                                   .out_c = step->window.out_c,
                                   .kernel_h = 1,
                                   .kernel_w = 1,
                                   .stride_h = 1,
                                   .stride_w = 1,
                                   .dilation_h = 1,
                                   .dilation_w = 1,
                                   .groups = 1};
    for (size_t o = 0; o < (size_t)step->window.out_c; o++)
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < channels; c++)
                step->weight[o * row + p * channels + c] = weight[o * row + c * pixels + p];
}

static void make_conv(struct lowered_step *step, const float *weight)
{
    const struct window *w = &step->window;
    const size_t taps = (size_t)w->kernel_h * (size_t)w->kernel_w, inner = (size_t)(w->in_c / w->groups);
    for (size_t o = 0; o < (size_t)w->out_c; o++)
        for (size_t k = 0; k < taps; k++)
            for (size_t i = 0; i < inner; i++)
                step->weight[(o * taps + k) * inner + i] = weight[(o * inner + i) * taps + k];
}

/* From [out][taps][inner] to [groups][taps][inner][out / groups]; depthwise: [taps][out]. */
static void pack(struct lowered_step *step)
{
    const struct window *w = &step->window;
    const size_t taps = (size_t)w->kernel_h * (size_t)w->kernel_w, inner = (size_t)(w->in_c / w->groups);
    const size_t outer = (size_t)(w->out_c / w->groups), out = (size_t)w->out_c;
    for (size_t o = 0; o < out; o++)
        for (size_t k = 0; k < taps; k++)
            for (size_t i = 0; i < inner; i++) {
                const size_t to = step->kind == LOWERED_DEPTHWISE
                                      ? k * out + o
                                      : ((o / outer * taps + k) * inner + i) * outer + o % outer;
                step->packed[to] = step->weight[(o * taps + k) * inner + i];
            }
}

static enum status make_layer(struct lowered *lowered, struct lowered_step *step, struct shape in, struct error *err)
{
    const struct node *node = &lowered->graph.nodes[step->node];
    const struct weight *weight = &lowered->graph.weights[node->weight];
    step->weight = arena_alloc(&lowered->arena, weight->count, sizeof(float));
    step->packed = arena_alloc(&lowered->arena, weight->count, sizeof(float));
    if (!step->weight || !step->packed)
        return no_memory(err);
    step->bias = lowered->graph.weights[node->bias].data;
    if (node->op == OP_LINEAR) {
        make_linear(step, weight->data, in);
    } else {
        if (node->groups == in.c && node->shape.c == in.c && in.c > 1)
            step->kind = LOWERED_DEPTHWISE;
        make_conv(step, weight->data);
    }
    pack(step);
    return STATUS_OK;
}

static enum status make_select(struct lowered *lowered, struct lowered_step *step, struct error *err)
{
    const struct node *node = &lowered->graph.nodes[step->node];
    uint16_t *channels = arena_alloc(&lowered->arena, (size_t)node->channel_count, sizeof *channels);
    if (!channels)
        return no_memory(err);
    for (int c = 0; c < node->channel_count; c++)
        channels[c] = (uint16_t)node->channels[c];
    step->channels = channels;
    return STATUS_OK;
}

/* The second factor may be one number per channel or per position. */
static void make_multiply(struct lowered_step *step, struct shape a, struct shape b)
{
    const bool same_map = a.h == b.h && a.w == b.w;
    step->pixel_step = same_map ? b.c : 0;
    step->channel_step = same_map && a.c != b.c ? 0 : 1;
}

static enum status choose_kind(struct lowered *lowered, struct lowered_step *step, struct error *err)
{
    static const int kinds[OP_COUNT] = {
        [OP_CONV] = 1 + LOWERED_CONV,
        [OP_LINEAR] = 1 + LOWERED_CONV,
        [OP_ACTIVATION] = 1 + LOWERED_ACTIVATION,
        [OP_ADD] = 1 + LOWERED_ADD,
        [OP_MULTIPLY] = 1 + LOWERED_MULTIPLY,
        [OP_MAX_POOL] = 1 + LOWERED_MAX_POOL,
        [OP_AVERAGE_POOL] = 1 + LOWERED_AVERAGE_POOL,
        [OP_GLOBAL_AVERAGE_POOL] = 1 + LOWERED_MEAN,
        [OP_SELECT] = 1 + LOWERED_SELECT,
        [OP_CONCAT] = 1 + LOWERED_CONCAT,
        [OP_PAD] = 1 + LOWERED_PAD,
    };
    const struct node *node = &lowered->graph.nodes[step->node];
    if (!kinds[node->op] || (node->op == OP_PAD && !graph_pads_zeros(node)) || node->shape.c > UINT16_MAX)
        return refuse(node, err);
    step->kind = (enum lowered_kind)(kinds[node->op] - 1);
    return STATUS_OK;
}

/* The node whose value a node's input is, beyond flattening. */
static int source_of(const struct graph *graph, int node)
{
    while (graph->nodes[node].op == OP_FLATTEN)
        node = graph->nodes[node].inputs[0];
    return node;
}

static enum status make_step(struct lowered *lowered, struct lowered_step *step, struct error *err)
{
    enum status status = STATUS_OK;
    const struct node *node = &lowered->graph.nodes[step->node];
    const struct shape in = lowered->graph.nodes[source_of(&lowered->graph, node->inputs[0])].shape;
    TRY(choose_kind(lowered, step, err));
    step->window = window_of(node, in);
    step->activation = node->activation;
    step->alpha = node->alpha;
    step->beta = node->beta;
    step->count_padding = node->count_include_pad;
    if (step->kind == LOWERED_CONV)
        TRY(make_layer(lowered, step, in, err));
    if (step->kind == LOWERED_SELECT)
        TRY(make_select(lowered, step, err));
    if (step->kind == LOWERED_MULTIPLY)
        make_multiply(step, in, lowered->graph.nodes[node->inputs[1]].shape);
cleanup:
    return status;
}

/* ---- steps ---- */

/* Whether a flattened map is read by nothing but linear layers, whose weights follow the order of the map. */
static bool flat_for_linear(const struct graph *graph, int flatten)
{
    const struct shape in = graph->nodes[graph->nodes[flatten].inputs[0]].shape;
    if (in.h == 1 && in.w == 1)
        return true;
    for (int i = flatten + 1; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i].input_count; k++)
            if (graph->nodes[i].inputs[k] == flatten && graph->nodes[i].op != OP_LINEAR)
                return false;
    return flatten != graph->output;
}

/* Flattening moves nothing: later layers read its input (source_of). */
static enum status check_flatten(const struct graph *graph, struct error *err)
{
    for (int i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].op == OP_FLATTEN && !flat_for_linear(graph, i))
            return refuse(&graph->nodes[i], err);
    return STATUS_OK;
}

static int add_value(struct lowered *lowered, int node)
{
    const struct shape s = lowered->graph.nodes[node].shape;
    lowered->values[lowered->value_count] =
        (struct lowered_value){.node = node, .shape = s, .count = (size_t)s.c * (size_t)s.h * (size_t)s.w};
    return lowered->value_of[node] = lowered->value_count++;
}

static void set_bounds(const struct lowered *lowered, struct lowered_step *step, int activation)
{
    step->low = -FLT_MAX;
    step->high = FLT_MAX;
    if (activation < 0)
        return;
    const struct node *node = &lowered->graph.nodes[activation];
    step->low = node->activation == ACTIVATION_RELU ? 0 : node->alpha;
    step->high = node->activation == ACTIVATION_RELU ? FLT_MAX : node->beta;
}

static enum status add_step(struct lowered *lowered, const struct graph_chain *chain, struct error *err)
{
    enum status status = STATUS_OK;
    struct graph *graph = &lowered->graph;
    const struct node *node = &graph->nodes[chain->host];
    struct lowered_step *step = &lowered->steps[lowered->step_count++];
    int *inputs = arena_alloc(&lowered->arena, (size_t)node->input_count, sizeof *inputs);
    if (!inputs)
        return no_memory(err);
    step->node = chain->host;
    TRY(make_step(lowered, step, err));
    for (int k = 0; k < node->input_count; k++)
        inputs[k] = lowered->value_of[source_of(graph, node->inputs[k])];
    step->inputs = inputs;
    step->input_count = node->input_count;
    set_bounds(lowered, step, chain->activation);
    step->output = add_value(lowered, chain->last);
cleanup:
    return status;
}

static enum status make_steps(struct lowered *lowered, struct error *err)
{
    enum status status = STATUS_OK;
    struct graph *graph = &lowered->graph;
    struct graph_chains chains = {0};
    const size_t count = (size_t)graph->node_count;
    lowered->values = arena_alloc(&lowered->arena, count, sizeof *lowered->values);
    lowered->steps = arena_alloc(&lowered->arena, count, sizeof *lowered->steps);
    lowered->value_of = arena_alloc(&lowered->arena, count, sizeof *lowered->value_of);
    if (!lowered->values || !lowered->steps || !lowered->value_of)
        return no_memory(err);
    for (int i = 0; i < graph->node_count; i++)
        lowered->value_of[i] = -1;
    TRY(check_flatten(graph, err));
    TRY(graph_chains_find(&chains, graph, &graph->output, 1, fuses, err));
    lowered->input = add_value(lowered, graph->input);
    for (int i = 0; i < graph->node_count; i++) {
        const struct graph_chain chain = graph_chain_ending_at(&chains, graph, i);
        if (graph_chains_ends_at(&chains, i) && graph->nodes[i].op != OP_INPUT && graph->nodes[i].op != OP_FLATTEN)
            TRY(add_step(lowered, &chain, err));
    }
    for (int i = 0; i < graph->node_count; i++)
        lowered->value_of[i] = lowered->value_of[source_of(graph, i)];
    lowered->output = lowered->value_of[graph->output];
cleanup:
    graph_chains_release(&chains);
    return status;
}

/* ---- the arena ---- */
static int last_reader(const struct lowered *lowered, int value)
{
    int last = value == lowered->output ? lowered->step_count : -1;
    for (int s = 0; s < lowered->step_count && value != lowered->output; s++)
        for (int k = 0; k < lowered->steps[s].input_count; k++)
            if (lowered->steps[s].inputs[k] == value)
                last = s;
    return last;
}

/* The input whose place the step's output can take: an elementwise layer may overwrite what nobody reads again. */
static int replaced_input(const struct lowered *lowered, int s)
{
    const struct lowered_step *step = &lowered->steps[s];
    if (step->kind != LOWERED_ACTIVATION && step->kind != LOWERED_ADD && step->kind != LOWERED_MULTIPLY)
        return -1;
    for (int k = 0; k < (step->kind == LOWERED_ADD ? step->input_count : 1); k++)
        if (last_reader(lowered, step->inputs[k]) == s &&
            lowered->values[step->inputs[k]].count == lowered->values[step->output].count)
            return step->inputs[k];
    return -1;
}

static enum status place_values(struct lowered *lowered, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t count = (size_t)lowered->value_count;
    struct lifetime *lives = calloc(count, sizeof *lives);
    int *place = calloc(count, sizeof *place); /* the value whose place it is */
    if (!lives || !place) {
        status = no_memory(err);
        goto cleanup;
    }
    for (int v = 0; v < lowered->value_count; v++) {
        place[v] = v;
        lives[v] = lifetime_new(lowered->values[v].count);
    }
    lifetime_use(&lives[lowered->input], 0);
    for (int s = 0; s < lowered->step_count; s++) {
        const struct lowered_step *step = &lowered->steps[s];
        const int replaced = replaced_input(lowered, s);
        for (int k = 0; k < step->input_count; k++)
            lifetime_use(&lives[place[step->inputs[k]]], s + 1);
        if (replaced >= 0)
            place[step->output] = place[replaced];
        lifetime_use(&lives[place[step->output]], s + 1);
    }
    lifetime_use(&lives[place[lowered->output]], lowered->step_count + 1);
    for (int v = 0; v < lowered->value_count; v++)
        if (place[v] != v) /* it lies in another one's place */
            lives[v].size = 0;
    TRY(plan_memory(lives, lowered->value_count, ALIGNMENT, &lowered->arena_values, err));
    for (int v = 0; v < lowered->value_count; v++)
        lowered->values[v].offset = lives[place[v]].offset;
cleanup:
    free(lives);
    free(place);
    return status;
}

enum status lowered_init(struct lowered *lowered, const struct graph *graph, struct error *err)
{
    enum status status = STATUS_OK;
    *lowered = (struct lowered){0};
    TRY(lower_graph(graph, &lowered->graph, err));
    TRY(make_steps(lowered, err));
    TRY(place_values(lowered, err));
cleanup:
    if (status != STATUS_OK)
        lowered_release(lowered);
    return status;
}

void lowered_release(struct lowered *lowered)
{
    graph_release(&lowered->graph);
    arena_release(&lowered->arena);
    *lowered = (struct lowered){0};
}

enum status lowered_int8_bytes(const struct graph *graph, size_t *bytes, struct error *err)
{
    struct lowered lowered;
    const enum status status = lowered_init(&lowered, graph, err);
    *bytes = status == STATUS_OK ? lowered.arena_values : 0;
    if (status == STATUS_OK)
        lowered_release(&lowered);
    return status;
}
