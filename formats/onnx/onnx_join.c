/* Sums and products of values, which broadcast as numpy has it. */
#include "formats/onnx/onnx_join.h"

#include <string.h>

static bool is_single(const struct onnx_layout *layout, int d)
{
    return layout->counts[d] == 0 ||
           (layout->counts[d] == 1 && layout->factors[onnx_layout_first(layout, d)].axis == ONNX_REPEAT);
}

bool onnx_join_layouts(struct onnx_layout *common, const struct onnx_layout *other)
{
    struct onnx_layout a = *common, b = *other, out = {.rank = 1, .dims = {ONNX_BATCH}};
    int count = 0;
    if (a.rank != b.rank) /* numpy would align the batch of one with another dimension of the other */
        return false;
    for (int d = 1; d < a.rank; d++) {
        const bool a_single = is_single(&a, d), b_single = is_single(&b, d);
        const struct onnx_layout *from = a_single && (!b_single || b.counts[d] > 0) ? &b : &a;
        if (a.dims[d] != b.dims[d] && a.dims[d] != 1 && b.dims[d] != 1)
            return false;
        if (!a_single && !b_single) {
            if (a.counts[d] != b.counts[d] ||
                memcmp(a.factors + onnx_layout_first(&a, d), b.factors + onnx_layout_first(&b, d),
                       (size_t)a.counts[d] * sizeof *a.factors) != 0)
                return false;
        }
        if (count + from->counts[d] > ONNX_MAX_FACTORS)
            return false;
        out.dims[d] = from->dims[d];
        out.counts[d] = from->counts[d];
        memcpy(out.factors + count, from->factors + onnx_layout_first(from, d),
               (size_t)from->counts[d] * sizeof *out.factors);
        count += from->counts[d];
        out.rank++;
    }
    *common = out;
    return true;
}

static bool join_sizes(struct shape *common, struct shape s)
{
    const bool fits = (common->c == s.c || common->c == 1 || s.c == 1) &&
                      (common->h == s.h || common->h == 1 || s.h == 1) &&
                      (common->w == s.w || common->w == 1 || s.w == 1);
    common->c = s.c > common->c ? s.c : common->c;
    common->h = s.h > common->h ? s.h : common->h;
    common->w = s.w > common->w ? s.w : common->w;
    return fits;
}

static bool same_shape(struct shape a, struct shape b)
{
    return a.c == b.c && a.h == b.h && a.w == b.w;
}

/* A factor that OP_MULTIPLY broadcasts by itself. */
static bool is_gate(struct shape s, struct shape full)
{
    return (s.c == full.c && s.h == 1 && s.w == 1) || (s.c == 1 && s.h == full.h && s.w == full.w);
}

enum status onnx_join_refused(struct onnx_reader *reader)
{
    return onnx_refuse(reader, "the shapes of its inputs do not fit, or their channels, height and width are arranged "
                               "in different ways");
}

/* The sum or product of nodes whose values the model sees in *layout. */
static enum status emit_join(struct onnx_reader *reader, enum op op, int *nodes, int count, struct shape full,
                             const struct onnx_layout *layout)
{
    enum status status = STATUS_OK;
    struct node node = node_default(op);
    if (op == OP_MULTIPLY && count == 2) { /* the graph has the gate second */
        const struct shape first = reader->graph->nodes[nodes[0]].shape, second = reader->graph->nodes[nodes[1]].shape;
        if (!same_shape(first, full) && is_gate(first, full) && same_shape(second, full)) {
            const int gate = nodes[0];
            nodes[0] = nodes[1];
            nodes[1] = gate;
        }
    }
    for (int i = 0; i < count; i++) {
        const struct shape s = reader->graph->nodes[nodes[i]].shape;
        if (!same_shape(s, full) && !(op == OP_MULTIPLY && i == 1 && is_gate(s, full)))
            TRY(onnx_repeat(reader, nodes[i], full, &nodes[i]));
    }
    TRY(onnx_emit(reader, &node, nodes, count, layout));
cleanup:
    return status;
}

enum status onnx_scaled(struct onnx_reader *reader, int from, double factor, int *node)
{
    enum status status = STATUS_OK;
    struct node scale = node_default(OP_SCALE);
    TRY(onnx_uniform_weight(reader, "factor", factor, reader->graph->nodes[from].shape.c, &scale.weight));
    TRY(onnx_emit_helper(reader, &scale, "scaled", &from, 1, node));
cleanup:
    return status;
}

enum status onnx_join_values(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_value *values[NODE_MAX_INPUTS];
    struct onnx_layout layout;
    struct shape full = {1, 1, 1};
    int nodes[NODE_MAX_INPUTS];
    const int count = (int)reader->op->n_input;
    const char *op = reader->op->op_type;
    for (int i = 0; i < count; i++) {
        TRY(onnx_node_input(reader, (size_t)i, &values[i]));
        nodes[i] = values[i]->node;
        if (i == 0)
            layout = values[i]->layout;
        if (!onnx_join_layouts(&layout, &values[i]->layout) || !join_sizes(&full, onnx_shape(reader, values[i])))
            return onnx_join_refused(reader);
    }
    if (count == 1) {
        onnx_alias(reader, values[0], &values[0]->layout);
        return STATUS_OK;
    }
    if (strcmp(op, "Sub") == 0)
        TRY(onnx_scaled(reader, nodes[1], -1, &nodes[1]));
    for (int i = 0; strcmp(op, "Mean") == 0 && i < count; i++)
        TRY(onnx_scaled(reader, nodes[i], 1.0 / count, &nodes[i]));
    TRY(emit_join(reader, strcmp(op, "Mul") == 0 ? OP_MULTIPLY : OP_ADD, nodes, count, full, &layout));
cleanup:
    return status;
}
