/* plan_compile walks over the graph in order, makes a step per layer, and attaches batch norms and activations to
 * tensors as epilogues if that is possible. plan_layout.c then decides which reader finishes which gradient, and where
 * everything lies. */
#include "shared/graph/plan_compile.h"

#include <string.h>

static enum status refuse(const struct plan_compiler *c, int node, const char *why)
{
    const struct node *n = &c->graph->nodes[node];
    return error_set(c->err, STATUS_CONFIG, NULL, "node '%s' (%s) cannot be trained: %s", n->name, op_name(n->op), why);
}

static bool complete(const struct plan_tensor *tensor)
{
    return tensor->batch_norm < 0 && tensor->activation == ACTIVATION_NONE;
}

static bool same_shape(struct shape a, struct shape b)
{
    return a.c == b.c && a.h == b.h && a.w == b.w;
}

static int add_tensor(struct plan_compiler *c, int node, struct shape shape, int maker, bool learns)
{
    int index = c->plan->tensor_count++;
    c->plan->tensors[index] = (struct plan_tensor){
        .name = c->graph->nodes[node].name, .node = node, .shape = shape, .gradient = PLAN_NONE, .batch_norm = -1};
    c->plan->node_tensor[node] = index;
    c->maker[index] = maker;
    c->learns[index] = learns;
    return index;
}

/* May these steps have weights that are not trained? */
static bool takes_constants(enum step_kind kind)
{
    return kind == STEP_SCALE || kind == STEP_PRELU || kind == STEP_GROUP_NORM || kind == STEP_LAYER_NORM;
}

enum weight_use { TRAINED, RUNNING, TRAINED_OR_CONSTANT };

/* A place for the gradient of a weight that another layer has, too. */
static size_t add_twin(struct plan_compiler *c, int weight)
{
    struct plan *plan = c->plan;
    const size_t from = plan->parameter_count, count = c->graph->weights[weight].count;
    plan->twins[plan->twin_count++] = (struct plan_twin){from, plan->weight_offset[weight], count};
    plan->parameter_count += count;
    return from;
}

static void add_rounding(struct plan_compiler *c, int weight)
{
    const struct weight *w = &c->graph->weights[weight];
    const size_t rows = (size_t)w->dims[0];
    c->plan->roundings[c->plan->rounding_count++] =
        (struct plan_rounding){c->plan->weight_offset[weight], rows, w->count / rows};
}

static enum status take_weight(struct plan_compiler *c, int node, int weight, enum weight_use use,
                               struct plan_weight *taken)
{
    *taken = (struct plan_weight){.offset = PLAN_NONE};
    if (weight < 0)
        return STATUS_OK;
    const bool trained = c->graph->weights[weight].trained;
    if (use == TRAINED && !trained)
        return refuse(c, node, "its weights are constants: this kind of layer trains its weights");
    if (use == RUNNING && trained)
        return refuse(c, node, "its running statistics are parameters");
    const size_t offset = c->plan->weight_offset[weight];
    const bool int8 = trained && c->graph->weights[weight].int8;
    if (int8 && !c->used[weight])
        add_rounding(c, weight);
    *taken = (struct plan_weight){offset, trained, trained && c->used[weight] ? add_twin(c, weight) : offset, int8};
    c->used[weight] = true;
    return STATUS_OK;
}

/* Appends a step that reads the tensors `inputs` and writes a new tensor of the given shape. */
static enum status add_step(struct plan_compiler *c, enum step_kind kind, int node, const int *inputs, int input_count,
                            struct shape shape)
{
    enum status status = STATUS_OK;
    struct plan *plan = c->plan;
    const struct node *n = &c->graph->nodes[node];
    struct plan_step step = {.kind = kind, .node = node, .input_count = input_count};
    const bool own = kind != STEP_COPY; /* a copy is made for a node, and leaves that node's weights alone */
    const enum weight_use use = takes_constants(kind) ? TRAINED_OR_CONSTANT : kind == STEP_QUANTISE ? RUNNING : TRAINED;
    bool learns = false;
    step.pad_top = n->pad_top;
    step.pad_left = n->pad_left;
    step.inputs = arena_alloc(&plan->arena, (size_t)input_count, sizeof *step.inputs);
    if (!step.inputs)
        return error_no_memory(c->err, (size_t)input_count * sizeof *step.inputs, "a plan");
    for (int i = 0; i < input_count; i++) {
        step.inputs[i].tensor = inputs[i];
        learns = learns || c->learns[inputs[i]];
    }
    TRY(take_weight(c, node, own ? n->weight : -1, use, &step.weight));
    TRY(take_weight(c, node, own ? n->bias : -1, use, &step.bias));
    learns = learns || plan_step_learns(&step);
    step.output = add_tensor(c, node, shape, plan->step_count, learns);
    plan->steps[plan->step_count++] = step;
cleanup:
    return status;
}

/* Makes a new raw tensor with the completed value of node `from`, under the name of `node`. */
static enum status add_copy(struct plan_compiler *c, int node, int from, struct shape shape)
{
    int tensor = c->plan->node_tensor[from];
    return add_step(c, STEP_COPY, node, &tensor, 1, shape);
}

/* The tensor of the node's only input, or a copy of it if no epilogue can be attached to it. */
static enum status completable(struct plan_compiler *c, int node, bool batch_norm, struct plan_tensor **out)
{
    struct plan *plan = c->plan;
    int from = c->graph->nodes[node].inputs[0], index = plan->node_tensor[from];
    struct plan_tensor *tensor = &plan->tensors[index];
    bool capacity = tensor->activation == ACTIVATION_NONE && (!batch_norm || tensor->batch_norm < 0);
    if (c->attachable[from] && capacity && index != plan->input) {
        plan->node_tensor[from] = -1;
        plan->node_tensor[node] = index;
    } else {
        enum status status = add_copy(c, node, from, tensor->shape);
        if (status != STATUS_OK)
            return status;
    }
    *out = &plan->tensors[plan->node_tensor[node]];
    (*out)->node = node;
    (*out)->name = c->graph->nodes[node].name;
    return STATUS_OK;
}

/* A layer whose bias has one trained number per channel. */
static bool is_layer(enum step_kind kind)
{
    return kind == STEP_CONV || kind == STEP_POINTWISE || kind == STEP_DEPTHWISE || kind == STEP_LINEAR;
}

static enum status compile_batch_norm(struct plan_compiler *c, int node)
{
    enum status status = STATUS_OK;
    struct plan *plan = c->plan;
    const struct node *n = &c->graph->nodes[node];
    struct plan_batch_norm norm = {.channels = n->shape.c, .epsilon = n->epsilon, .momentum = n->momentum};
    struct plan_tensor *tensor;
    TRY(completable(c, node, true, &tensor));
    struct plan_step *maker = &plan->steps[c->maker[plan->node_tensor[node]]];
    TRY(take_weight(c, node, n->weight, TRAINED, &norm.weight));
    TRY(take_weight(c, node, n->bias, TRAINED, &norm.bias));
    TRY(take_weight(c, node, n->running_mean, RUNNING, &norm.running_mean));
    TRY(take_weight(c, node, n->running_var, RUNNING, &norm.running_var));
    norm.layer_bias = (struct plan_weight){.offset = PLAN_NONE};
    if (is_layer(maker->kind)) {
        norm.layer_bias = maker->bias;
        maker->bias.offset = PLAN_NONE;
    }
    maker->statistics = true;
    norm.statistics = plan->statistics_count;
    plan->statistics_count += (PLAN_STATISTICS * (size_t)norm.channels + 3) / 4 * 4;
    tensor->batch_norm = plan->batch_norm_count;
    c->learns[plan->node_tensor[node]] = true;
    plan->batch_norms[plan->batch_norm_count++] = norm;
cleanup:
    return status;
}

static enum status compile_activation(struct plan_compiler *c, int node)
{
    const struct node *n = &c->graph->nodes[node];
    struct plan_tensor *tensor;
    enum status status = completable(c, node, false, &tensor);
    if (status != STATUS_OK)
        return status;
    tensor->activation = n->activation;
    tensor->alpha = n->alpha;
    tensor->beta = n->beta;
    return STATUS_OK;
}

/* The value of the node is that of its input. */
static void compile_alias(struct plan_compiler *c, int node)
{
    int from = c->graph->nodes[node].inputs[0];
    c->plan->node_tensor[node] = c->plan->node_tensor[from];
    c->attachable[node] = c->attachable[node] && c->attachable[from];
}

/* Do only linear layers see the order of the node's features? */
static bool order_is_free(const struct plan_compiler *c, int node)
{
    if (c->retained[node] || node == c->graph->output)
        return false;
    for (int i = node + 1; i < c->graph->node_count; i++) {
        const struct node *n = &c->graph->nodes[i];
        for (int k = 0; c->needed[i] && k < n->input_count; k++)
            if (n->inputs[k] == node && n->op != OP_LINEAR &&
                !((n->op == OP_ACTIVATION || n->op == OP_DROPOUT) && order_is_free(c, i)))
                return false;
    }
    return true;
}

static enum status compile_flatten(struct plan_compiler *c, int node)
{
    const struct node *n = &c->graph->nodes[node];
    struct shape from = c->plan->tensors[c->plan->node_tensor[n->inputs[0]]].shape;
    if (!same_shape(from, n->shape) && !order_is_free(c, node))
        return add_copy(c, node, n->inputs[0], n->shape);
    compile_alias(c, node);
    return STATUS_OK;
}

/* A pad of zeros becomes part of the convolutions that read it. */
static enum status compile_pad(struct plan_compiler *c, int node, const int *inputs)
{
    bool foldable = graph_pads_zeros(&c->graph->nodes[node]) && !c->retained[node] && node != c->graph->output;
    for (int i = node + 1; i < c->graph->node_count; i++)
        for (int k = 0; c->needed[i] && k < c->graph->nodes[i].input_count; k++)
            foldable = foldable && (c->graph->nodes[i].inputs[k] != node || c->graph->nodes[i].op == OP_CONV);
    if (!foldable)
        return add_step(c, STEP_PAD, node, inputs, 1, c->graph->nodes[node].shape);
    compile_alias(c, node);
    c->attachable[node] = false;
    return STATUS_OK;
}

/* Padding after the last row and column must be 0 too: then images keep their size. */
static bool is_pointwise(const struct node *n, const struct plan_step *step, struct shape in)
{
    return n->groups == 1 && n->kernel_h == 1 && n->kernel_w == 1 && n->stride_h == 1 && n->stride_w == 1 &&
           step->pad_top == 0 && step->pad_left == 0 && in.h == n->shape.h && in.w == n->shape.w;
}

/* ONNX readers write constant factors per channel as depthwise convolutions of one tap, which a scale computes. */
static bool is_constant_factor(const struct plan_compiler *c, const struct node *n, struct shape in)
{
    const bool constant = !c->graph->weights[n->weight].trained;
    return constant && n->groups == n->shape.c && n->kernel_h == 1 && n->kernel_w == 1 && same_shape(in, n->shape);
}

static enum status compile_convolution(struct plan_compiler *c, int node, const int *inputs)
{
    const struct node *n = &c->graph->nodes[node], *before = &c->graph->nodes[n->inputs[0]];
    const struct plan_tensor *in = &c->plan->tensors[inputs[0]];
    enum status status =
        add_step(c, is_constant_factor(c, n, in->shape) ? STEP_SCALE : STEP_CONV, node, inputs, 1, n->shape);
    if (status != STATUS_OK)
        return status;
    struct plan_step *step = &c->plan->steps[c->plan->step_count - 1];
    if (step->kind == STEP_SCALE)
        return STATUS_OK;
    if (before->op == OP_PAD && in->node != n->inputs[0]) { /* a pad without a step of its own */
        step->pad_top += before->pad_top;
        step->pad_left += before->pad_left;
    }
    if (n->groups > 1 && n->groups == n->shape.c && n->groups == before->shape.c)
        step->kind = STEP_DEPTHWISE;
    else if (is_pointwise(n, step, c->plan->tensors[inputs[0]].shape))
        step->kind = STEP_POINTWISE;
    return STATUS_OK;
}

/* Operators that are one step each. */
static const enum step_kind simple_steps[OP_COUNT] = {
    [OP_MAX_POOL] = STEP_MAX_POOL,
    [OP_AVERAGE_POOL] = STEP_AVERAGE_POOL,
    [OP_GLOBAL_AVERAGE_POOL] = STEP_GLOBAL_AVERAGE_POOL,
    [OP_ADD] = STEP_ADD,
    [OP_CONCAT] = STEP_CONCAT,
    [OP_MULTIPLY] = STEP_MULTIPLY,
    [OP_SCALE] = STEP_SCALE,
    [OP_PRELU] = STEP_PRELU,
    [OP_SELECT] = STEP_SELECT,
    [OP_GROUP_NORM] = STEP_GROUP_NORM,
    [OP_LAYER_NORM] = STEP_LAYER_NORM,
    [OP_LP_NORM] = STEP_LP_NORM,
    [OP_RESIZE] = STEP_RESIZE,
    [OP_QUANTISE] = STEP_QUANTISE,
};

static enum status compile_node(struct plan_compiler *c, int node)
{
    const struct node *n = &c->graph->nodes[node];
    int inputs[NODE_MAX_INPUTS];
    struct shape first = {0};
    for (int i = 0; i < n->input_count; i++)
        inputs[i] = c->plan->node_tensor[n->inputs[i]];
    if (n->input_count)
        first = c->plan->tensors[inputs[0]].shape;
    switch (n->op) {
    case OP_INPUT:
        if (node != c->graph->input)
            return refuse(c, node, "a student has one input");
        c->plan->input = add_tensor(c, node, n->shape, -1, false);
        return STATUS_OK;
    case OP_CONV:
        return compile_convolution(c, node, inputs);
    case OP_LINEAR:
        return add_step(c, STEP_LINEAR, node, inputs, 1, n->shape);
    case OP_BATCH_NORM:
        return compile_batch_norm(c, node);
    case OP_ACTIVATION:
        return compile_activation(c, node);
    case OP_FLATTEN:
        return compile_flatten(c, node);
    case OP_DROPOUT:
        return add_step(c, STEP_DROPOUT, node, inputs, 1, first);
    case OP_PAD:
        return compile_pad(c, node, inputs);
    case OP_SOFTMAX:
    case OP_LOG_SOFTMAX:
    case OP_COUNT:
        return refuse(c, node, "a student's output is logits: leave this operator out");
    case OP_MAX_POOL:
    case OP_AVERAGE_POOL:
    case OP_GLOBAL_AVERAGE_POOL:
    case OP_ADD:
    case OP_CONCAT:
    case OP_MULTIPLY:
    case OP_SCALE:
    case OP_PRELU:
    case OP_SELECT:
    case OP_GROUP_NORM:
    case OP_LAYER_NORM:
    case OP_LP_NORM:
    case OP_RESIZE:
    case OP_QUANTISE:
        break;
    }
    return add_step(c, simple_steps[n->op], node, inputs, n->input_count, n->shape);
}

/* The output and values that only a loss reads must be raw tensors, because no step would finish their gradient. */
static enum status compile_ends(struct plan_compiler *c)
{
    enum status status = STATUS_OK;
    const struct graph *graph = c->graph;
    struct plan *plan = c->plan;
    for (int node = 0; node < graph->node_count; node++) {
        bool output = node == graph->output;
        if (!output && !c->retained[node])
            continue;
        struct plan_tensor *tensor = &plan->tensors[plan->node_tensor[node]];
        bool raw = complete(tensor) && plan->node_tensor[node] != plan->input;
        if ((output || c->readers[node] == 0) && !raw)
            TRY(add_copy(c, node, node, graph->nodes[node].shape));
        c->external[plan->node_tensor[node]] = true;
    }
    plan->output = plan->node_tensor[graph->output];
    struct shape shape = plan->tensors[plan->output].shape;
    if (shape.h != 1 || shape.w != 1)
        return error_set(
            c->err, STATUS_CONFIG, NULL,
            "node '%s' is the output, but has %dx%dx%d values per sample instead of one per class: end with "
            "global pooling, flatten or a linear layer",
            graph->nodes[graph->output].name, shape.c, shape.h, shape.w);
    if (!c->learns[plan->output])
        return error_set(c->err, STATUS_CONFIG, NULL, "the student has no parameters");
cleanup:
    return status;
}

/* Running statistics come first: a moving average follows them and leaves constants alone. Ranges come last, so that
 * the vector without them is the beginning of the one with them. */
static void place_state(struct plan_compiler *c, enum plan_state part)
{
    struct plan *plan = c->plan;
    const struct graph *graph = c->graph;
    for (int i = 0; i < graph->weight_count; i++)
        if (!graph->weights[i].trained && c->state[i] == part) {
            plan->weight_offset[i] = plan->state_count;
            plan->state_count += graph->weights[i].count;
        }
}

static void place_weights(struct plan_compiler *c)
{
    struct plan *plan = c->plan;
    const struct graph *graph = c->graph;
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *n = &graph->nodes[i];
        if (n->op == OP_BATCH_NORM)
            c->state[n->running_mean] = c->state[n->running_var] = STATE_RUNNING;
        else if (n->op == OP_QUANTISE)
            c->state[n->weight] = STATE_RANGE;
    }
    for (int i = 0; i < graph->weight_count; i++)
        if (graph->weights[i].trained) {
            plan->weight_offset[i] = plan->parameter_count;
            plan->parameter_count += graph->weights[i].count;
        }
    place_state(c, STATE_RUNNING);
    plan->running_count = plan->state_count;
    place_state(c, STATE_CONSTANT);
    const size_t before = plan->state_count;
    place_state(c, STATE_RANGE);
    plan->range_count = plan->state_count - before;
}

/* Finds out which nodes are needed, how many readers they have, and whose value only one reader sees. */
static void survey(struct plan_compiler *c, const struct plan_options *options)
{
    const struct graph *graph = c->graph;
    for (int i = 0; i < options->retained_count; i++)
        c->retained[options->retained[i]] = true;
    for (int node = graph->node_count - 1; node >= 0; node--) {
        const struct node *n = &graph->nodes[node];
        c->readers[node] += node == graph->output;
        c->needed[node] = c->readers[node] > 0 || c->retained[node] || node == graph->input;
        c->attachable[node] = c->readers[node] == 1 && node != graph->output && !c->retained[node];
        for (int k = 0; c->needed[node] && k < n->input_count; k++)
            c->readers[n->inputs[k]]++;
    }
}

static enum status allocate(struct plan_compiler *c, struct arena *scratch)
{
    struct plan *plan = c->plan;
    size_t nodes = (size_t)c->graph->node_count, weights = (size_t)c->graph->weight_count + 1;
    size_t capacity = 2 * nodes + 1; /* a node makes at most its own tensor and a copy */
    plan->tensors = arena_alloc(&plan->arena, capacity, sizeof *plan->tensors);
    plan->steps = arena_alloc(&plan->arena, capacity, sizeof *plan->steps);
    plan->batch_norms = arena_alloc(&plan->arena, nodes, sizeof *plan->batch_norms);
    plan->twins =
        arena_alloc(&plan->arena, 2 * nodes, sizeof *plan->twins); /* a node has at most two trained weights */
    plan->roundings = arena_alloc(&plan->arena, weights, sizeof *plan->roundings);
    plan->node_tensor = arena_alloc(&plan->arena, nodes, sizeof *plan->node_tensor);
    plan->weight_offset = arena_alloc(&plan->arena, weights, sizeof *plan->weight_offset);
    c->readers = arena_alloc(scratch, nodes, sizeof *c->readers);
    c->needed = arena_alloc(scratch, nodes, sizeof *c->needed);
    c->retained = arena_alloc(scratch, nodes, sizeof *c->retained);
    c->attachable = arena_alloc(scratch, nodes, sizeof *c->attachable);
    c->maker = arena_alloc(scratch, capacity, sizeof *c->maker);
    c->external = arena_alloc(scratch, capacity, sizeof *c->external);
    c->learns = arena_alloc(scratch, capacity, sizeof *c->learns);
    c->used = arena_alloc(scratch, weights, sizeof *c->used);
    c->state = arena_alloc(scratch, weights, sizeof *c->state);
    if (!plan->tensors || !plan->steps || !plan->batch_norms || !plan->twins || !plan->node_tensor ||
        !plan->weight_offset || !c->readers || !c->needed || !c->retained || !c->attachable || !c->maker ||
        !c->external || !c->learns || !c->used || !c->state || !plan->roundings)
        return error_no_memory(c->err, capacity * sizeof *plan->tensors, "a plan");
    for (size_t i = 0; i < nodes; i++)
        plan->node_tensor[i] = -1;
    return STATUS_OK;
}

enum status plan_compile(struct plan *plan, const struct graph *graph, const struct plan_options *options,
                         struct error *err)
{
    enum status status = STATUS_OK;
    struct arena scratch = {0};
    struct plan_compiler c = {.plan = plan, .graph = graph, .err = err};
    *plan = (struct plan){.graph = graph, .batch = options->batch, .dtype = options->dtype, .input = -1, .output = -1};
    if (graph->input < 0 || graph->output < 0 || options->batch < 1)
        return error_set(err, STATUS_CONFIG, NULL, "a network needs an input, an output and a batch of at least 1");
    TRY(allocate(&c, &scratch));
    place_weights(&c);
    survey(&c, options);
    for (int node = 0; node < graph->node_count; node++)
        if (c.needed[node])
            TRY(compile_node(&c, node));
    TRY(compile_ends(&c));
    TRY(plan_order_gradients(&c));
    TRY(plan_place_tensors(&c, options->forward_only));
cleanup:
    arena_release(&scratch);
    if (status != STATUS_OK)
        plan_release(plan);
    return status;
}

void plan_release(struct plan *plan)
{
    arena_release(&plan->arena);
    *plan = (struct plan){0};
}
