/* Operators that our own kernels compute (lanes.h). */
#include "shared/inference/onednn/onednn_layers.h"

#include <string.h>

/* A tensor as kernels see it. */
struct lanes_tensor {
    int tensor;
    dnnl_format_tag_t tag;
    struct lanes lanes;
};

/* Also false without memory for the comparison: what then makes another layout fails and says so. */
static bool has_layout(const struct onednn_layers *layers, int tensor, struct shape shape, dnnl_format_tag_t tag)
{
    const_dnnl_memory_desc_t md;
    const bool same = onednn_md_new(&md, 4, (dnnl_dims_t){1, shape.c, shape.h, shape.w}, tag) == dnnl_success &&
                      dnnl_memory_desc_equal(onednn_md(layers, tensor), md);
    onednn_md_free(md);
    return same;
}

static struct lanes lanes_of(struct shape shape, dnnl_format_tag_t tag)
{
    return tag == dnnl_nChw16c  ? lanes_blocked(shape, 16)
           : tag == dnnl_nChw8c ? lanes_blocked(shape, 8)
                                : lanes_channels_last(shape);
}

/* A tensor's values in a layout that kernels know: as they are, or copied to [h, w, c]. */
static enum status as_lanes(const struct onednn_layers *layers, const struct node *node, int tensor, struct shape shape,
                            struct lanes_tensor *out, struct error *err)
{
    enum status status = STATUS_OK;
    const_dnnl_memory_desc_t last;
    static const dnnl_format_tag_t known[] = {dnnl_nhwc, dnnl_nChw16c, dnnl_nChw8c};
    const bool one_axis = shape.c == 1 || (shape.h == 1 && shape.w == 1); /* then [c, h, w] is the same as [h, w, c] */
    *out = (struct lanes_tensor){tensor, dnnl_nhwc, lanes_channels_last(shape)};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (has_layout(layers, tensor, shape, known[i])) {
            *out = (struct lanes_tensor){tensor, known[i], lanes_of(shape, known[i])};
            return STATUS_OK;
        }
    if (one_axis && has_layout(layers, tensor, shape, dnnl_nchw))
        return STATUS_OK;
    TRY(onednn_add_map_md(layers->plan, shape, dnnl_nhwc, &last, err));
    TRY(onednn_add_layout(layers->plan, node->name, tensor, last, &out->tensor, err));
cleanup:
    return status;
}

static enum status input_lanes(const struct onednn_layers *layers, const struct node *node, int index,
                               struct lanes_tensor *out, struct error *err)
{
    return as_lanes(layers, node, onednn_input(layers, node, index), layers->graph->nodes[node->inputs[index]].shape,
                    out, err);
}

/* A new tensor of another shape in the layout of `like`. */
static enum status new_lanes(const struct onednn_layers *layers, struct shape shape, const struct lanes_tensor *like,
                             struct lanes_tensor *out, struct error *err)
{
    enum status status = STATUS_OK;
    const_dnnl_memory_desc_t md;
    out->tag = like->tag;
    out->lanes = lanes_of(shape, like->tag);
    TRY(onednn_add_map_md(layers->plan, shape, like->tag, &md, err));
    TRY(onednn_add_tensor(layers->plan, md, ONEDNN_ARENA, &out->tensor, err));
cleanup:
    return status;
}

/* Zeroed memory that lives as long as the plan. */
static enum status setup_memory(const struct onednn_layers *layers, const struct node *node, size_t count, size_t size,
                                void *out, struct error *err)
{
    void *memory = arena_alloc(&layers->plan->memory, count, size);
    memcpy(out, &memory, sizeof memory);
    return memory ? STATUS_OK : error_no_memory(err, count * size, node->name);
}

/* The step of a kernel with one source. */
static enum status add_kernel(const struct onednn_layers *layers, const struct node *node, lanes_kernel *kernel,
                              const void *setup, int source, int target, struct error *err)
{
    return onednn_add_kernel(layers->plan, node->name, kernel, setup, (const int[]){source, target}, 2, err);
}

/* A weight as kernels read it: `absent` without one. *is_value (may be NULL) is set if it has one number per value. */
static enum status pack_weight(const struct onednn_layers *layers, const struct node *node, int weight, float absent,
                               const struct lanes *lanes, const float **out, bool *is_value, struct error *err)
{
    enum status status = STATUS_OK;
    const struct weight *from = weight >= 0 ? &layers->graph->weights[weight] : NULL;
    const bool values = from && from->rank == 3;
    const size_t positions = values ? lanes_positions(lanes) : 1;
    const struct lanes packed = values ? *lanes : lanes_blocked((struct shape){lanes->shape.c, 1, 1}, lanes->width);
    float *to;
    TRY(setup_memory(layers, node, positions * lanes_chunk_count(lanes), sizeof *to, &to, err));
    for (int c = 0; c < lanes->shape.c; c++)
        for (size_t p = 0; p < positions; p++)
            to[lanes_offset(&packed, c) + p * packed.position_stride] =
                !from ? absent : from->data[from->count == 1 ? 0 : (size_t)c * positions + p];
    *out = to;
    if (is_value)
        *is_value = values;
cleanup:
    return status;
}

enum status onednn_add_activation(const struct onednn_layers *layers, const struct node *node, bool overwrite,
                                  int *value, struct error *err)
{
    enum status status = STATUS_OK;
    const int source = onednn_input(layers, node, 0);
    struct lanes_activation *run;
    TRY(setup_memory(layers, node, 1, sizeof *run, &run, err));
    *run = (struct lanes_activation){dnnl_memory_desc_get_size(onednn_md(layers, source)) / sizeof(float),
                                     node->activation, node->alpha, node->beta};
    if (overwrite)
        *value = source;
    else
        TRY(onednn_add_tensor(layers->plan, onednn_md(layers, source), ONEDNN_ARENA, value, err));
    TRY(add_kernel(layers, node, lanes_activation, run, source, *value, err));
cleanup:
    return status;
}

/* OP_SCALE and OP_PRELU */
static enum status scale(const struct onednn_layers *layers, const struct node *node, int *value, struct error *err)
{
    enum status status = STATUS_OK;
    struct lanes_tensor in, out;
    struct lanes_scale *run;
    TRY(input_lanes(layers, node, 0, &in, err));
    TRY(new_lanes(layers, node->shape, &in, &out, err));
    TRY(setup_memory(layers, node, 1, sizeof *run, &run, err));
    run->lanes = in.lanes;
    TRY(pack_weight(layers, node, node->weight, 1, &in.lanes, &run->weight, &run->weight_is_value, err));
    TRY(pack_weight(layers, node, node->bias, 0, &in.lanes, &run->bias, &run->bias_is_value, err));
    TRY(add_kernel(layers, node, node->op == OP_SCALE ? lanes_scale : lanes_prelu, run, in.tensor, out.tensor, err));
    *value = out.tensor;
cleanup:
    return status;
}

/* The second value is [c, 1, 1] or [1, h, w]. */
static enum status gate(const struct onednn_layers *layers, const struct node *node, int *value, struct error *err)
{
    enum status status = STATUS_OK;
    struct lanes_tensor in, by, out;
    struct lanes_gate *run;
    TRY(input_lanes(layers, node, 0, &in, err));
    TRY(input_lanes(layers, node, 1, &by, err));
    TRY(new_lanes(layers, node->shape, &in, &out, err));
    TRY(setup_memory(layers, node, 1, sizeof *run, &run, err));
    *run = (struct lanes_gate){in.lanes, by.lanes.shape.c != in.lanes.shape.c, by.lanes.position_stride};
    TRY(onednn_add_kernel(layers->plan, node->name, lanes_gate, run, (const int[]){in.tensor, by.tensor, out.tensor}, 3,
                          err));
    *value = out.tensor;
cleanup:
    return status;
}

static enum status norm(const struct onednn_layers *layers, const struct node *node, int *value, struct error *err)
{
    enum status status = STATUS_OK;
    lanes_kernel *const kernel = node->op == OP_GROUP_NORM   ? lanes_group_norm
                                 : node->op == OP_LAYER_NORM ? lanes_layer_norm
                                                             : lanes_lp_norm;
    struct lanes_tensor in, out;
    struct lanes_norm *run;
    int tensors[3], count = 2;
    TRY(input_lanes(layers, node, 0, &in, err));
    TRY(new_lanes(layers, node->shape, &in, &out, err));
    TRY(setup_memory(layers, node, 1, sizeof *run, &run, err));
    *run = (struct lanes_norm){in.lanes, node->groups, (int)node->alpha, node->epsilon, NULL, NULL};
    TRY(pack_weight(layers, node, node->weight, 1, &in.lanes, &run->weight, NULL, err));
    TRY(pack_weight(layers, node, node->bias, 0, &in.lanes, &run->bias, NULL, err));
    tensors[0] = in.tensor;
    tensors[1] = out.tensor;
    if (node->op == OP_GROUP_NORM) {
        const struct shape scratch = {(int)lanes_group_norm_scratch(&run->lanes), 1, 1};
        const_dnnl_memory_desc_t md;
        TRY(onednn_add_map_md(layers->plan, scratch, dnnl_nchw, &md, err));
        TRY(onednn_add_tensor(layers->plan, md, ONEDNN_ARENA, &tensors[count++], err));
    }
    TRY(onednn_add_kernel(layers->plan, node->name, kernel, run, tensors, count, err));
    *value = out.tensor;
cleanup:
    return status;
}

static enum status select_channels(const struct onednn_layers *layers, const struct node *node, int *value,
                                   struct error *err)
{
    enum status status = STATUS_OK;
    struct lanes_tensor in, out;
    struct lanes_select *run;
    int *offsets;
    TRY(input_lanes(layers, node, 0, &in, err));
    TRY(new_lanes(layers, node->shape, &in, &out, err));
    TRY(setup_memory(layers, node, 1, sizeof *run, &run, err));
    TRY(setup_memory(layers, node, (size_t)node->channel_count, sizeof *offsets, &offsets, err));
    for (int i = 0; i < node->channel_count; i++)
        offsets[i] = (int)lanes_offset(&in.lanes, node->channels[i]);
    *run = (struct lanes_select){in.lanes, out.lanes, offsets};
    TRY(add_kernel(layers, node, lanes_select, run, in.tensor, out.tensor, err));
    *value = out.tensor;
cleanup:
    return status;
}

bool onednn_concat_is_ours(const struct onednn_layers *layers, const struct node *node)
{
    for (int i = 0; i < node->input_count; i++)
        if (!has_layout(layers, onednn_input(layers, node, i), layers->graph->nodes[node->inputs[i]].shape, dnnl_nhwc))
            return false;
    return true;
}

static enum status concat(const struct onednn_layers *layers, const struct node *node, int *value, struct error *err)
{
    enum status status = STATUS_OK;
    const_dnnl_memory_desc_t md;
    int tensors[NODE_MAX_INPUTS + 1], *channels;
    struct lanes_concat *run;
    TRY(setup_memory(layers, node, 1, sizeof *run, &run, err));
    TRY(setup_memory(layers, node, (size_t)node->input_count, sizeof *channels, &channels, err));
    for (int i = 0; i < node->input_count; i++) {
        tensors[i] = onednn_input(layers, node, i);
        channels[i] = layers->graph->nodes[node->inputs[i]].shape.c;
    }
    *run = (struct lanes_concat){(size_t)node->shape.h * (size_t)node->shape.w, node->input_count, node->shape.c,
                                 channels};
    TRY(onednn_add_map_md(layers->plan, node->shape, dnnl_nhwc, &md, err));
    TRY(onednn_add_tensor(layers->plan, md, ONEDNN_ARENA, &tensors[node->input_count], err));
    TRY(onednn_add_kernel(layers->plan, node->name, lanes_concat, run, tensors, node->input_count + 1, err));
    *value = tensors[node->input_count];
cleanup:
    return status;
}

/* Where the values of an axis of `size` come from after padding: [before + size + after] indices; -1: the constant. */
static enum status pad_axis(const struct onednn_layers *layers, const struct node *node, int size, int before,
                            int after, const int **out, struct error *err)
{
    const int count = before + size + after;
    int *from;
    enum status status = setup_memory(layers, node, (size_t)count, sizeof *from, &from, err);
    for (int k = 0; status == STATUS_OK && k < count; k++) {
        const int i = k - before;
        if (i >= 0 && i < size)
            from[k] = i;
        else if (node->pad_mode == PAD_CONSTANT)
            from[k] = -1;
        else if (node->pad_mode == PAD_EDGE)
            from[k] = i < 0 ? 0 : size - 1;
        else
            from[k] = i < 0 ? -i : 2 * (size - 1) - i;
    }
    *out = from;
    return status;
}

enum status onednn_add_pad(const struct onednn_layers *layers, const struct node *node, int source, struct shape in,
                           int *value, struct error *err)
{
    enum status status = STATUS_OK;
    const struct shape padded = {in.c, in.h + node->pad_top + node->pad_bottom,
                                 in.w + node->pad_left + node->pad_right};
    struct lanes_tensor from, to;
    struct lanes_pad *run;
    TRY(as_lanes(layers, node, source, in, &from, err));
    TRY(new_lanes(layers, padded, &from, &to, err));
    TRY(setup_memory(layers, node, 1, sizeof *run, &run, err));
    *run = (struct lanes_pad){from.lanes, to.lanes, NULL, NULL, node->alpha};
    TRY(pad_axis(layers, node, in.h, node->pad_top, node->pad_bottom, &run->rows, err));
    TRY(pad_axis(layers, node, in.w, node->pad_left, node->pad_right, &run->columns, err));
    TRY(add_kernel(layers, node, lanes_pad, run, from.tensor, to.tensor, err));
    *value = to.tensor;
cleanup:
    return status;
}

static enum status resize_taps(const struct onednn_layers *layers, const struct node *node,
                               const struct resize_axis *axis, int size, const struct resize_tap **out,
                               struct error *err)
{
    struct resize_tap *taps;
    enum status status = setup_memory(layers, node, (size_t)axis->size, sizeof *taps, &taps, err);
    for (int i = 0; status == STATUS_OK && i < axis->size; i++)
        taps[i] = resize_tap(node->resize.mode, axis, size, i);
    *out = taps;
    return status;
}

static enum status resize(const struct onednn_layers *layers, const struct node *node, int *value, struct error *err)
{
    enum status status = STATUS_OK;
    const struct shape shape = layers->graph->nodes[node->inputs[0]].shape;
    struct lanes_tensor in, out;
    struct lanes_resize *run;
    TRY(input_lanes(layers, node, 0, &in, err));
    TRY(new_lanes(layers, node->shape, &in, &out, err));
    TRY(setup_memory(layers, node, 1, sizeof *run, &run, err));
    *run = (struct lanes_resize){in.lanes, out.lanes, NULL, NULL};
    TRY(resize_taps(layers, node, &node->resize.y, shape.h, &run->rows, err));
    TRY(resize_taps(layers, node, &node->resize.x, shape.w, &run->columns, err));
    TRY(add_kernel(layers, node, lanes_resize, run, in.tensor, out.tensor, err));
    *value = out.tensor;
cleanup:
    return status;
}

enum status onednn_add_lanes(const struct onednn_layers *layers, const struct node *node, int *value, struct error *err)
{
    switch (node->op) {
    case OP_SCALE:
    case OP_PRELU:
        return scale(layers, node, value, err);
    case OP_MULTIPLY:
        return gate(layers, node, value, err);
    case OP_GROUP_NORM:
    case OP_LAYER_NORM:
    case OP_LP_NORM:
        return norm(layers, node, value, err);
    case OP_SELECT:
        return select_channels(layers, node, value, err);
    case OP_PAD:
        return onednn_add_pad(layers, node, onednn_input(layers, node, 0), layers->graph->nodes[node->inputs[0]].shape,
                              value, err);
    case OP_RESIZE:
        return resize(layers, node, value, err);
    case OP_CONCAT:
        return concat(layers, node, value, err);
    default:
        return error_set(err, STATUS_INTERNAL, NULL, "node '%s' (%s) has no kernel of our own", node->name,
                         op_name(node->op));
    }
}
