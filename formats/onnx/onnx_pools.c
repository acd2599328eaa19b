/* Pools, Softmax and Dropout. */
#include "formats/onnx/onnx_reader.h"

#include <string.h>

static enum status read_pool(struct onnx_reader *reader, enum op op)
{
    enum status status = STATUS_OK;
    struct node node = node_default(op);
    struct onnx_value *value;
    int kernel[2] = {0, 0};
    TRY(onnx_attribute_sizes(reader, "kernel_shape", 1, kernel, 2));
    TRY(onnx_map_input(reader, 0, &value));
    if (kernel[0] < 1)
        return onnx_refuse(reader, "only 2-d pooling of [batch, c, h, w] is supported");
    node.kernel_h = kernel[0];
    node.kernel_w = kernel[1];
    node.ceil_mode = onnx_attribute_int(reader, "ceil_mode", 0) != 0;
    node.count_include_pad = onnx_attribute_int(reader, "count_include_pad", 0) != 0;
    TRY(onnx_window(reader, &node, onnx_shape(reader, value)));
    if (op == OP_AVERAGE_POOL && (node.dilation_h != 1 || node.dilation_w != 1))
        return onnx_refuse(reader, "dilations are not supported");
    TRY(onnx_emit_map(reader, &node, value->node));
cleanup:
    return status;
}

/* MaxPool and AveragePool */
enum status onnx_read_pool(struct onnx_reader *reader)
{
    return read_pool(reader, reader->op->op_type[0] == 'M' ? OP_MAX_POOL : OP_AVERAGE_POOL);
}

enum status onnx_read_global_pool(struct onnx_reader *reader)
{
    bool average = reader->op->op_type[strlen("Global")] == 'A';
    struct node node = node_default(average ? OP_GLOBAL_AVERAGE_POOL : OP_MAX_POOL);
    struct onnx_value *value;
    enum status status = onnx_map_input(reader, 0, &value);
    if (status != STATUS_OK)
        return status;
    if (!average) {
        node.kernel_h = onnx_shape(reader, value).h;
        node.kernel_w = onnx_shape(reader, value).w;
    }
    return onnx_emit_map(reader, &node, value->node);
}

/* Softmax and LogSoftmax over the channels at every place. */
enum status onnx_read_softmax(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(reader->op->op_type[0] == 'L' ? OP_LOG_SOFTMAX : OP_SOFTMAX);
    struct onnx_value *value;
    TRY(onnx_node_input(reader, 0, &value));
    int64_t axis = onnx_attribute_int(reader, "axis", reader->opset < 13 ? 1 : -1);
    const struct shape s = onnx_shape(reader, value);
    axis += axis < 0 ? value->layout.rank : 0;
    if (axis < 1 || axis >= value->layout.rank)
        return onnx_refuse(reader, "its axis is out of range");
    bool alone = true; /* before opset 13, all axes from `axis` on are taken together */
    for (int d = (int)axis + 1; reader->opset < 13 && d < value->layout.rank; d++)
        alone = alone && value->layout.dims[d] == 1;
    const enum onnx_axis over = onnx_layout_axis(&value->layout, s, (int)axis);
    if (!alone || (over != ONNX_C && !(over == ONNX_ONE && s.c == 1)))
        return onnx_refuse(reader, "only softmax over channels is supported");
    TRY(onnx_emit(reader, &node, &value->node, 1, &value->layout));
cleanup:
    return status;
}

/* Dropout: the ratio is an attribute before opset 12, an input after it. */
enum status onnx_read_dropout(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_DROPOUT);
    struct onnx_value *value;
    double ratio = onnx_attribute_float(reader, "ratio", 0.5f);
    TRY(onnx_node_input(reader, 0, &value));
    TRY(onnx_number_input(reader, 1, &ratio));
    if (!(ratio >= 0 && ratio <= 1))
        return onnx_refuse(reader, "its ratio must be between 0 and 1");
    node.dropout = (float)ratio;
    TRY(onnx_emit(reader, &node, &value->node, 1, &value->layout));
cleanup:
    return status;
}
