/* Converts weights from PyTorch's layouts to the engine's: [out, kernel_h, kernel_w, in], depthwise [kernel_h,
 * kernel_w, channels], linear [out, in]; channels as stored, with zeros if the network has fewer. Biases have the type
 * of the layer's output. Batch norms become a scale and a shift in float. */
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

void teacher_place_weights(struct teacher_plan *plan, const struct graph *graph)
{
    const size_t size = dtype_size(precision_dtype(plan->precision));
    for (int i = 0; i < plan->step_count; i++) {
        struct teacher_step *step = &plan->steps[i];
        const struct node *node = &graph->nodes[step->node];
        const struct planned_value *y = &plan->values[step->y];
        if (is_layer(step)) {
            step->weights = take(&plan->weight_bytes, size * layer_count(step, &graph->weights[node->weight]));
            if (step->conv.has_bias)
                step->bias = take(&plan->weight_bytes, dtype_size(y->type) * (size_t)y->channels);
        } else if (step->kind == TEACHER_AFFINE) {
            step->weights = take(&plan->weight_bytes, sizeof(float) * (size_t)y->channels);
            step->bias = take(&plan->weight_bytes, sizeof(float) * (size_t)y->channels);
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

static enum status pack_affine(const struct packing *packing, struct error *err)
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
        else if (step->kind == TEACHER_AFFINE)
            TRY(pack_affine(&packing, err));
    }
cleanup:
    return status;
}
