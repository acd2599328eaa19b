/* A quantised network in ONNX's QDQ form: the float operators stay, and QuantizeLinear and DequantizeLinear stand where
 * the integers are. An engine with integer kernels fuses the three; any other one runs them as they are. */
#include "formats/onnx/onnx_write.h"

#include "formats/onnx/onnx_writer.h"
#include <string.h>

/* The output of a node is a value of its own in the integer network, not inside of a layer. */
static bool is_value(const struct lowered *lowered, int node)
{
    const int value = lowered->value_of[node];
    return value >= 0 && lowered->values[value].node == node;
}

void onnx_write_int8_value(struct onnx_writer *writer, int i)
{
    const struct lowered *lowered = writer->int8->lowered;
    const struct node *node = &writer->graph->nodes[i];
    const bool is_result = onnx_writer_is_result(writer, i);
    if (writer->failed || !is_value(lowered, i))
        return;
    const struct int8_value number = writer->int8->values[lowered->value_of[i]];
    int8_t *zero = onnx_writer_take(writer, 1, 1);
    if (!zero)
        return;
    *zero = (int8_t)number.zero;
    const char *scale = onnx_writer_scalar(writer, node->name, ".scale", number.scale);
    const char *zero_name = onnx_writer_tensor(writer, onnx_writer_name(writer, node->name, ".zero_point"),
                                               ONNX__TENSOR_PROTO__DATA_TYPE__INT8, NULL, 0, zero, 1);
    char *quantised = onnx_writer_name(writer, node->name, ".int8");
    onnx_writer_node(writer, "QuantizeLinear", quantised, (const char *[]){writer->names[i], scale, zero_name}, 3,
                     quantised);
    char *again = is_result ? onnx_writer_text(writer, "logits") : onnx_writer_name(writer, node->name, ".dequantised");
    onnx_writer_node(writer, "DequantizeLinear", again, (const char *[]){quantised, scale, zero_name}, 3, again);
    writer->names[i] = again;
}

/* ---- weights ---- */

/* An initialiser of integers and the DequantizeLinear that gives it the weight's name. */
static void write_integers(struct onnx_writer *writer, const struct weight *weight, int32_t type, const void *data,
                           size_t bytes, const float *scales)
{
    const size_t channels = (size_t)weight->dims[0];
    const int64_t vector[1] = {weight->dims[0]};
    int64_t dims[4];
    for (int k = 0; k < weight->rank; k++)
        dims[k] = weight->dims[k];
    int32_t *zeros = onnx_writer_take(writer, channels, sizeof *zeros);
    const char *inputs[3] = {
        onnx_writer_tensor(writer, onnx_writer_name(writer, weight->name, ".integers"), type, dims,
                           (size_t)weight->rank, data, bytes),
        onnx_writer_floats(writer, weight->name, ".scale", scales, channels),
        onnx_writer_tensor(writer, onnx_writer_name(writer, weight->name, ".zero_point"), type, vector, 1, zeros,
                           channels * (type == ONNX__TENSOR_PROTO__DATA_TYPE__INT8 ? 1 : sizeof(int32_t))),
    };
    Onnx__NodeProto *node =
        onnx_writer_node(writer, "DequantizeLinear", weight->name, inputs, 3, onnx_writer_text(writer, weight->name));
    onnx_writer_set_int(writer, node, "axis", 0);
}

/* The weights of a layer from the kernels' order to ONNX's: [out, in / groups, h, w], or [out, c * h * w] of a map. */
static int8_t *onnx_order(struct onnx_writer *writer, const struct lowered_step *step, const struct int8_step *numbers,
                          const struct weight *weight)
{
    const struct lowered *lowered = writer->int8->lowered;
    const struct shape in = lowered->values[step->inputs[0]].shape;
    const bool linear = writer->graph->nodes[step->node].op == OP_LINEAR;
    const size_t out = (size_t)weight->dims[0], row = weight->count / out;
    const size_t taps =
        linear ? (size_t)in.h * (size_t)in.w : (size_t)step->window.kernel_h * (size_t)step->window.kernel_w;
    const size_t inner = row / taps;
    int8_t *data = onnx_writer_take(writer, weight->count, 1);
    for (size_t o = 0; data && o < out; o++)
        for (size_t i = 0; i < inner; i++)
            for (size_t k = 0; k < taps; k++)
                data[o * row + i * taps + k] =
                    numbers->weight[step->kind == LOWERED_DEPTHWISE ? k * out + o : o * row + k * inner + i];
    return data;
}

void onnx_write_int8_weights(struct onnx_writer *writer)
{
    const struct lowered *lowered = writer->int8->lowered;
    for (int s = 0; s < lowered->step_count; s++) {
        const struct lowered_step *step = &lowered->steps[s];
        const struct int8_step *numbers = &writer->int8->steps[s];
        const struct node *node = &writer->graph->nodes[step->node];
        if (!step->weight)
            continue;
        const struct weight *weight = &writer->graph->weights[node->weight],
                            *bias = &writer->graph->weights[node->bias];
        float *scales = onnx_writer_take(writer, bias->count, sizeof *scales);
        for (size_t o = 0; scales && o < bias->count; o++)
            scales[o] = writer->int8->values[step->inputs[0]].scale * numbers->weight_scale[o];
        const int8_t *integers = onnx_order(writer, step, numbers, weight);
        if (writer->failed)
            return;
        write_integers(writer, weight, ONNX__TENSOR_PROTO__DATA_TYPE__INT8, integers, weight->count,
                       numbers->weight_scale);
        write_integers(writer, bias, ONNX__TENSOR_PROTO__DATA_TYPE__INT32, numbers->bias, bias->count * sizeof(int32_t),
                       scales);
    }
}
