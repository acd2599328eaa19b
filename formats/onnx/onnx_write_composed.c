/* Operators that opset 14 does not have, or not as the graph has them, composed of simpler ones. */
#include "formats/onnx/onnx_writer.h"

/* A node that is being composed: intermediate values are named after it, the last one is `output`. */
struct composition {
    struct onnx_writer *writer;
    const struct node *node;
    char *output;
    int rank;
};

/* One operator of one or two inputs; suffix NULL: it makes the result. */
static const char *put(const struct composition *c, const char *operator, const char * a, const char *b,
                       const char *suffix)
{
    const char *inputs[2] = {a, b};
    char *result = suffix ? onnx_writer_name(c->writer, c->node->name, suffix) : c->output;
    if (!result)
        return "";
    onnx_writer_node(c->writer, operator, suffix ? result : c->node->name, inputs, b ? 2 : 1, result);
    return result;
}

static const char *number(const struct composition *c, const char *suffix, float value)
{
    return onnx_writer_scalar(c->writer, c->node->name, suffix, value);
}

/* The mean or a norm over the channels, which stay as one. */
static const char *over_channels(const struct composition *c, const char *operator, const char * x, const char *suffix)
{
    char *result = onnx_writer_name(c->writer, c->node->name, suffix);
    if (!result)
        return "";
    Onnx__NodeProto *out = onnx_writer_node(c->writer, operator, result, &x, 1, result);
    onnx_writer_set_ints(c->writer, out, "axes", (int64_t[]){1}, 1);
    onnx_writer_set_int(c->writer, out, "keepdims", 1);
    return result;
}

/* A weight as a tensor that goes with a map: a vector gets two axes. */
static const char *weight_of(const struct composition *c, int weight)
{
    static const int64_t axes[2] = {1, 2};
    const struct weight *w = &c->writer->graph->weights[weight];
    const char *inputs[2] = {w->name, NULL};
    if (c->rank != 4 || w->rank != 1)
        return w->name;
    char *result = onnx_writer_name(c->writer, w->name, "/map");
    inputs[1] = onnx_writer_ints(c->writer, w->name, "/axes", axes, 2);
    if (!result)
        return "";
    onnx_writer_node(c->writer, "Unsqueeze", result, inputs, 2, result);
    return result;
}

/* x * weight + bias, either of which may be absent. */
static void put_affine(const struct composition *c, const char *x)
{
    const int weight = c->node->weight, bias = c->node->bias;
    if (weight >= 0)
        x = put(c, "Mul", x, weight_of(c, weight), bias >= 0 ? "/scaled" : NULL);
    if (bias >= 0)
        put(c, "Add", x, weight_of(c, bias), NULL);
    if (weight < 0 && bias < 0)
        put(c, "Identity", x, NULL, NULL);
}

static void put_group_norm(const struct composition *c, const char *x)
{
    struct onnx_writer *writer = c->writer;
    const struct node *node = c->node;
    const struct shape s = node->shape;
    const int64_t grouped[3] = {0, node->groups, -1}, map[4] = {0, s.c, s.h, s.w};
    float *numbers = onnx_writer_take(writer, 2 * (size_t)node->groups, sizeof *numbers);
    char *normal = onnx_writer_name(writer, node->name, "/normal");
    if (!numbers || !normal)
        return;
    for (int i = 0; i < node->groups; i++)
        numbers[i] = 1;
    const char *inputs[3] = {
        put(c, "Reshape", x, onnx_writer_ints(writer, node->name, "/groups", grouped, 3), "/grouped"),
        onnx_writer_floats(writer, node->name, "/ones", numbers, (size_t)node->groups),
        onnx_writer_floats(writer, node->name, "/zeros", numbers + node->groups, (size_t)node->groups)};
    Onnx__NodeProto *out = onnx_writer_node(writer, "InstanceNormalization", normal, inputs, 3, normal);
    onnx_writer_set_float(writer, out, "epsilon", node->epsilon);
    const size_t rank = c->rank == 4 ? 4 : 2;
    put_affine(c, put(c, "Reshape", normal, onnx_writer_ints(writer, node->name, "/shape", map, rank), "/ungrouped"));
}

static void put_layer_norm(const struct composition *c, const char *x)
{
    const char *centred = put(c, "Sub", x, over_channels(c, "ReduceMean", x, "/mean"), "/centred");
    const char *variance = over_channels(c, "ReduceMean", put(c, "Mul", centred, centred, "/squares"), "/variance");
    const char *deviation =
        put(c, "Sqrt", put(c, "Add", variance, number(c, "/epsilon", c->node->epsilon), "/raised"), NULL, "/deviation");
    put_affine(c, put(c, "Div", centred, deviation, "/normal"));
}

static void put_lp_norm(const struct composition *c, const char *x)
{
    const char *norm = over_channels(c, c->node->alpha == 1 ? "ReduceL1" : "ReduceL2", x, "/norm");
    put(c, "Div", x, put(c, "Max", norm, number(c, "/epsilon", c->node->epsilon), "/divisor"), NULL);
}

static void put_gelu_tanh(const struct composition *c, const char *x)
{
    const char *cube = put(c, "Mul", put(c, "Mul", x, x, "/square"), x, "/cube");
    const char *bent = put(c, "Add", x, put(c, "Mul", cube, number(c, "/bend", 0.044715f), "/bent"), "/inner");
    const char *t = put(c, "Tanh", put(c, "Mul", bent, number(c, "/root", 0.79788456f), "/argument"), NULL, "/tanh");
    const char *half = put(c, "Mul", x, number(c, "/half", 0.5f), "/halved");
    put(c, "Mul", half, put(c, "Add", t, number(c, "/one", 1), "/gate"), NULL);
}

static void put_gelu(const struct composition *c, const char *x)
{
    const char *erf = put(c, "Erf", put(c, "Div", x, number(c, "/root", 1.41421356f), "/argument"), NULL, "/erf");
    const char *gated = put(c, "Mul", x, put(c, "Add", erf, number(c, "/one", 1), "/gate"), "/gated");
    put(c, "Mul", gated, number(c, "/half", 0.5f), NULL);
}

static bool put_activation(const struct composition *c, const char *x)
{
    const char *gate = x;
    switch (c->node->activation) {
    case ACTIVATION_SILU:
        if (c->node->alpha != 1)
            gate = put(c, "Mul", x, number(c, "/alpha", c->node->alpha), "/argument");
        put(c, "Mul", x, put(c, "Sigmoid", gate, NULL, "/sigmoid"), NULL);
        return true;
    case ACTIVATION_MISH:
        put(c, "Mul", x, put(c, "Tanh", put(c, "Softplus", x, NULL, "/softplus"), NULL, "/tanh"), NULL);
        return true;
    case ACTIVATION_GELU:
        put_gelu(c, x);
        return true;
    case ACTIVATION_GELU_TANH:
        put_gelu_tanh(c, x);
        return true;
    default:
        return false;
    }
}

bool onnx_write_composed(struct onnx_writer *writer, const struct node *node, const char *x, int rank, char *output)
{
    const struct composition c = {writer, node, output, rank};
    switch (node->op) {
    case OP_ACTIVATION:
        return put_activation(&c, x);
    case OP_SCALE:
        put_affine(&c, x);
        return true;
    case OP_PRELU:
        put(&c, "PRelu", x, weight_of(&c, node->weight), NULL);
        return true;
    case OP_GROUP_NORM:
        put_group_norm(&c, x);
        return true;
    case OP_LAYER_NORM:
        put_layer_norm(&c, x);
        return true;
    case OP_LP_NORM:
        put_lp_norm(&c, x);
        return true;
    default:
        return false;
    }
}
