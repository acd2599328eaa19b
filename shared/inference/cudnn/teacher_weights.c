/* Converts weights from PyTorch's layouts to the engine's: [out, kernel_h, kernel_w, in], depthwise [kernel_h,
 * kernel_w, channels], linear [out, in]; channels as stored, with zeros if the network has fewer. Biases have the type
 * of the layer's output. Batch norms become a scale and a shift in float. The numbers of other operators are float. */
#include "shared/inference/cudnn/teacher_plan.h"

#include "shared/tensor/half.h"

#include <math.h>
#include <string.h>

enum { ALIGNMENT = 256 };

/* Where one step's weights go. */
struct packing {
    const struct teacher_plan *plan;
    const struct graph *graph;
    const struct teacher_step *step;
    const struct node *node;
    unsigned char *memory;
};

static bool is_layer(const struct teacher_step *step)
{
    return step->kind == TEACHER_CONV || step->kind == TEACHER_DIRECT_CONV || step->kind == TEACHER_DEPTHWISE ||
           step->kind == TEACHER_LINEAR;
}

/* Input channels of a group, as stored. */
static int group_inputs(const struct teacher_step *step, const struct weight *weight)
{
    return step->conv.groups == 1 ? step->conv.in.c : weight->dims[1];
}

static size_t layer_count(const struct teacher_step *step, const struct weight *weight)
{
    size_t area = (size_t)step->conv.window.kernel_h * (size_t)step->conv.window.kernel_w;
    if (step->kind == TEACHER_DEPTHWISE)
        return area * (size_t)step->conv.out.c;
    return (size_t)step->conv.out.c * area * (size_t)group_inputs(step, weight);
}

static size_t take(size_t *total, size_t bytes)
{
    size_t at = *total;
    *total += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return at;
}

/* What a kernel of our own needs as weights and as bias. */
static size_t operator_bytes(const struct teacher_step *step, const struct node *node, const struct planned_value *y,
                             size_t *bias)
{
    const size_t vector = sizeof(float) * (size_t)y->channels;
    switch (step->kind) {
    case TEACHER_AFFINE:
        return *bias = vector * step->scale_positions;
    case TEACHER_LAYER_NORM:
    case TEACHER_GROUP_NORM:
        return *bias = vector;
    case TEACHER_PRELU:
        return vector;
    case TEACHER_SELECT:
        return sizeof(int) * (size_t)node->channel_count;
    case TEACHER_RESIZE:
        *bias = sizeof(struct resize_tap) * (size_t)node->shape.w;
        return sizeof(struct resize_tap) * (size_t)node->shape.h;
    default:
        return 0;
    }
}

void teacher_place_weights(struct teacher_plan *plan, const struct graph *graph)
{
    const size_t size = dtype_size(precision_dtype(plan->precision));
    for (int i = 0; i < plan->step_count; i++) {
        struct teacher_step *step = &plan->steps[i];
        const struct node *node = &graph->nodes[step->node];
        const struct planned_value *y = &plan->values[step->y];
        size_t other = 0;
        if (is_layer(step)) {
            step->weights = take(&plan->weight_bytes, size * layer_count(step, &graph->weights[node->weight]));
            if (step->conv.has_bias)
                step->bias = take(&plan->weight_bytes, dtype_size(y->type) * (size_t)y->channels);
        } else {
            const size_t bytes = operator_bytes(step, node, y, &other);
            if (bytes)
                step->weights = take(&plan->weight_bytes, bytes);
            if (other)
                step->bias = take(&plan->weight_bytes, other);
        }
    }
}

static uint16_t bfloat16_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16); /* to nearest even; weights are finite */
}

static enum status put(const struct packing *packing, size_t offset, enum dtype type, size_t index, float value,
                       struct error *err)
{
    unsigned char *to = packing->memory + offset + index * dtype_size(type);
    uint16_t bits;
    if (type == DTYPE_FP16) {
        bits = half_from_float(value);
        if ((bits & 0x7c00) == 0x7c00)
            return error_set(err, STATUS_CONFIG, NULL,
                             "node '%s': a weight is %g, which fp16 cannot hold: run the teacher in bf16 or fp32",
                             packing->node->name, (double)value);
        memcpy(to, &bits, sizeof bits);
    } else if (type == DTYPE_BF16) {
        bits = bfloat16_from_float(value);
        memcpy(to, &bits, sizeof bits);
    } else {
        memcpy(to, &value, sizeof value);
    }
    return STATUS_OK;
}

/* weight [out, in, kernel_h, kernel_w] */
static enum status pack_layer(const struct packing *packing, struct error *err)
{
    enum status status = STATUS_OK;
    const struct teacher_step *step = packing->step;
    const struct weight *weight = &packing->graph->weights[packing->node->weight];
    const enum dtype type = precision_dtype(packing->plan->precision);
    const bool depthwise = step->kind == TEACHER_DEPTHWISE;
    const size_t out = (size_t)weight->dims[0], in = (size_t)weight->dims[1],
                 area = (size_t)step->conv.window.kernel_h * (size_t)step->conv.window.kernel_w,
                 stride = depthwise ? (size_t)step->conv.out.c : (size_t)group_inputs(step, weight);
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t k = 0; k < area; k++) {
                size_t to = depthwise ? k * stride + o : (o * area + k) * stride + i;
                TRY(put(packing, step->weights, type, to, weight->data[(o * in + i) * area + k], err));
            }
    if (packing->node->bias >= 0)
        for (size_t o = 0; o < out; o++)
            TRY(put(packing, step->bias, packing->plan->values[step->y].type, o,
                    packing->graph->weights[packing->node->bias].data[o], err));
cleanup:
    return status;
}

/* A weight with one number per channel, per value, or one for all, as [positions, channels as stored]. */
static void pack_numbers(const struct packing *packing, int weight, float absent, size_t positions, size_t offset)
{
    const struct planned_value *y = &packing->plan->values[packing->step->y];
    const struct weight *from = weight >= 0 ? &packing->graph->weights[weight] : NULL;
    float *to = (float *)(void *)(packing->memory + offset);
    for (size_t p = 0; p < positions; p++)
        for (size_t c = 0; c < (size_t)y->shape.c; c++)
            to[p * (size_t)y->channels + c] = !from              ? absent
                                              : from->count == 1 ? from->data[0]
                                              : from->rank == 3  ? from->data[c * positions + p]
                                                                 : from->data[c];
}

static void pack_taps(const struct packing *packing)
{
    const struct node *node = packing->node;
    const struct shape in = packing->graph->nodes[node->inputs[0]].shape;
    struct resize_tap *rows = (struct resize_tap *)(void *)(packing->memory + packing->step->weights);
    struct resize_tap *columns = (struct resize_tap *)(void *)(packing->memory + packing->step->bias);
    for (int i = 0; i < node->shape.h; i++)
        rows[i] = resize_tap(node->resize.mode, &node->resize.y, in.h, i);
    for (int i = 0; i < node->shape.w; i++)
        columns[i] = resize_tap(node->resize.mode, &node->resize.x, in.w, i);
}

/* The numbers of an operator without a convolution or a product. */
static void pack_operator(const struct packing *packing)
{
    const struct teacher_step *step = packing->step;
    const struct node *node = packing->node;
    const size_t positions = step->kind == TEACHER_AFFINE ? step->scale_positions : 1;
    switch (step->kind) {
    case TEACHER_AFFINE:
    case TEACHER_LAYER_NORM:
    case TEACHER_GROUP_NORM:
        pack_numbers(packing, node->bias, 0, positions, step->bias);
        pack_numbers(packing, node->weight, 1, positions, step->weights);
        break;
    case TEACHER_PRELU:
        pack_numbers(packing, node->weight, 1, positions, step->weights);
        break;
    case TEACHER_SELECT:
        memcpy(packing->memory + step->weights, node->channels, (size_t)node->channel_count * sizeof(int));
        break;
    case TEACHER_RESIZE:
        pack_taps(packing);
        break;
    default:
        break;
    }
}

static enum status pack_batch_norm(const struct packing *packing, struct error *err)
{
    enum status status = STATUS_OK;
    const struct node *node = packing->node;
    const struct weight *all = packing->graph->weights;
    for (int c = 0; c < node->shape.c; c++) {
        double scale = all[node->weight].data[c] / sqrt((double)all[node->running_var].data[c] + (double)node->epsilon);
        double shift = all[node->bias].data[c] - all[node->running_mean].data[c] * scale;
        TRY(put(packing, packing->step->weights, DTYPE_FP32, (size_t)c, (float)scale, err));
        TRY(put(packing, packing->step->bias, DTYPE_FP32, (size_t)c, (float)shift, err));
    }
cleanup:
    return status;
}

enum status teacher_pack_weights(const struct teacher_plan *plan, const struct graph *graph, unsigned char *memory,
                                 struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < plan->step_count; i++) {
        const struct teacher_step *step = &plan->steps[i];
        const struct packing packing = {plan, graph, step, &graph->nodes[step->node], memory};
        if (is_layer(step))
            TRY(pack_layer(&packing, err));
        else if (packing.node->op == OP_BATCH_NORM)
            TRY(pack_batch_norm(&packing, err));
        else
            pack_operator(&packing);
    }
cleanup:
    return status;
}
