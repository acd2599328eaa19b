#include "formats/onnx/onnx_layout.h"

#include <limits.h>
#include <string.h>

static int axis_size(struct shape shape, enum onnx_axis axis)
{
    return axis == ONNX_C ? shape.c : axis == ONNX_H ? shape.h : shape.w;
}

/* The number of factors of all dimensions. */
static int total(const struct onnx_layout *layout)
{
    return onnx_layout_first(layout, layout->rank);
}

static void append(struct onnx_layout *layout, enum onnx_axis axis, int size)
{
    const int d = layout->rank++;
    layout->dims[d] = size;
    if (size > 1) {
        layout->factors[onnx_layout_first(layout, d)] = (struct onnx_factor){axis, size, 1};
        layout->counts[d] = 1;
    }
}

struct onnx_layout onnx_layout_map(struct shape shape, bool last)
{
    struct onnx_layout layout = {.rank = 1, .dims = {ONNX_BATCH}};
    if (!last)
        append(&layout, ONNX_C, shape.c);
    append(&layout, ONNX_H, shape.h);
    append(&layout, ONNX_W, shape.w);
    if (last)
        append(&layout, ONNX_C, shape.c);
    return layout;
}

struct onnx_layout onnx_layout_vector(int features)
{
    struct onnx_layout layout = {.rank = 1, .dims = {ONNX_BATCH}};
    append(&layout, ONNX_C, features);
    return layout;
}

int onnx_layout_first(const struct onnx_layout *layout, int d)
{
    int first = 0;
    for (int i = 0; i < d; i++)
        first += layout->counts[i];
    return first;
}

static bool same_factor(const struct onnx_factor *a, const struct onnx_factor *b)
{
    return a->axis == b->axis && a->size == b->size && a->stride == b->stride;
}

bool onnx_layout_equal(const struct onnx_layout *a, const struct onnx_layout *b)
{
    if (a->rank != b->rank || memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) != 0 ||
        memcmp(a->counts, b->counts, (size_t)a->rank * sizeof *a->counts) != 0)
        return false;
    for (int i = 0; i < total(a); i++)
        if (!same_factor(&a->factors[i], &b->factors[i]))
            return false;
    return true;
}

enum onnx_axis onnx_layout_axis(const struct onnx_layout *layout, struct shape shape, int d)
{
    const struct onnx_factor *factor = &layout->factors[onnx_layout_first(layout, d)];
    if (layout->counts[d] == 0)
        return ONNX_ONE;
    if (layout->counts[d] > 1)
        return ONNX_MIXED;
    if (factor->axis == ONNX_REPEAT)
        return ONNX_REPEAT;
    return factor->stride == 1 && factor->size == axis_size(shape, factor->axis) ? factor->axis : ONNX_MIXED;
}

int onnx_layout_find(const struct onnx_layout *layout, struct shape shape, enum onnx_axis axis)
{
    for (int d = 1; d < layout->rank; d++)
        if (onnx_layout_axis(layout, shape, d) == axis)
            return d;
    return -1;
}

bool onnx_layout_is_map(const struct onnx_layout *layout, struct shape shape)
{
    const int64_t sizes[4] = {0, shape.c, shape.h, shape.w};
    if (layout->rank != 4 && !(layout->rank == 2 && shape.h == 1 && shape.w == 1))
        return false;
    for (int d = 1; d < layout->rank; d++) {
        const enum onnx_axis axis = onnx_layout_axis(layout, shape, d);
        if (layout->dims[d] != sizes[d] || (axis != ONNX_ONE && axis != (enum onnx_axis)(ONNX_C + d - 1)))
            return false;
    }
    return true;
}

bool onnx_layout_is_ordered(const struct onnx_layout *layout, enum onnx_axis axis)
{
    int64_t last = INT64_MAX;
    for (int i = 0; i < total(layout); i++) {
        if (layout->factors[i].axis != axis)
            continue;
        if (layout->factors[i].stride >= last)
            return false;
        last = layout->factors[i].stride;
    }
    return true;
}

/* Neighbours in one dimension that are neighbours along their axis become one factor. */
static void merge(struct onnx_layout *layout)
{
    struct onnx_layout merged = {.rank = layout->rank};
    int from = 0, to = 0;
    memcpy(merged.dims, layout->dims, sizeof merged.dims);
    for (int d = 0; d < layout->rank; d++)
        for (int k = 0; k < layout->counts[d]; k++, from++) {
            const struct onnx_factor *next = &layout->factors[from];
            struct onnx_factor *last = k ? &merged.factors[to - 1] : NULL;
            if (last && last->axis == next->axis && last->stride == next->size * next->stride) {
                last->size *= next->size;
                last->stride = next->stride;
            } else {
                merged.factors[to++] = *next;
                merged.counts[d]++;
            }
        }
    *layout = merged;
}

bool onnx_layout_reshape(struct onnx_layout *layout, const int64_t *dims, int rank)
{
    struct onnx_layout out = {.rank = rank + 1, .dims = {ONNX_BATCH}};
    struct onnx_factor rest = {0};
    int from = 0, to = 0;
    if (rank + 1 > ONNX_MAX_RANK)
        return false;
    for (int d = 1; d <= rank; d++) {
        int64_t open = out.dims[d] = dims[d - 1];
        while (open > 1) {
            if (rest.size <= 1 && from == total(layout))
                return false;
            struct onnx_factor factor = rest.size > 1 ? rest : layout->factors[from++];
            rest.size = 1;
            if (to == ONNX_MAX_FACTORS)
                return false;
            if (open % factor.size) { /* the outer part of the factor */
                if (factor.size % open)
                    return false;
                rest = factor;
                rest.size = (int)(factor.size / open);
                factor.size = (int)open;
                factor.stride *= factor.axis == ONNX_REPEAT ? 1 : rest.size;
            }
            open /= factor.size;
            out.factors[to++] = factor;
            out.counts[d]++;
        }
    }
    if (rest.size > 1 || from != total(layout))
        return false;
    merge(&out);
    *layout = out;
    return true;
}

bool onnx_layout_permute(struct onnx_layout *layout, const int *perm)
{
    struct onnx_layout out = {.rank = layout->rank};
    int to = 0;
    if (perm[0] != 0)
        return false;
    for (int d = 0; d < layout->rank; d++) {
        out.dims[d] = layout->dims[perm[d]];
        out.counts[d] = layout->counts[perm[d]];
        memcpy(out.factors + to, layout->factors + onnx_layout_first(layout, perm[d]),
               (size_t)out.counts[d] * sizeof *out.factors);
        to += out.counts[d];
    }
    *layout = out;
    return true;
}

bool onnx_layout_insert(struct onnx_layout *layout, int d)
{
    if (layout->rank >= ONNX_MAX_RANK || d < 1 || d >= ONNX_MAX_RANK || d > layout->rank)
        return false;
    memmove(layout->dims + d + 1, layout->dims + d, (size_t)(layout->rank - d) * sizeof *layout->dims);
    memmove(layout->counts + d + 1, layout->counts + d, (size_t)(layout->rank - d) * sizeof *layout->counts);
    layout->dims[d] = 1;
    layout->counts[d] = 0;
    layout->rank++;
    return true;
}

bool onnx_layout_set(struct onnx_layout *layout, int d, struct onnx_factor factor)
{
    if (d < 1 || d >= ONNX_MAX_RANK || d >= layout->rank)
        return false;
    const int first = onnx_layout_first(layout, d), old = layout->counts[d], count = factor.size > 1;
    if (total(layout) - old + count > ONNX_MAX_FACTORS)
        return false;
    memmove(layout->factors + first + count, layout->factors + first + old,
            (size_t)(total(layout) - first - old) * sizeof *layout->factors);
    if (count)
        layout->factors[first] = factor;
    layout->counts[d] = count;
    layout->dims[d] = factor.size;
    return true;
}

bool onnx_layout_remove(struct onnx_layout *layout, int d)
{
    if (!onnx_layout_set(layout, d, (struct onnx_factor){.size = 1}))
        return false;
    memmove(layout->dims + d, layout->dims + d + 1, (size_t)(layout->rank - d - 1) * sizeof *layout->dims);
    memmove(layout->counts + d, layout->counts + d + 1, (size_t)(layout->rank - d - 1) * sizeof *layout->counts);
    layout->rank--;
    return true;
}

void onnx_layout_place(const struct onnx_layout *layout, const int64_t *index, int place[3])
{
    place[0] = place[1] = place[2] = 0;
    for (int d = 1, last = 0; d < layout->rank; d++) {
        int64_t rest = index[d];
        last += layout->counts[d];
        for (int k = 0; k < layout->counts[d]; k++) {
            const struct onnx_factor *factor = &layout->factors[last - 1 - k];
            if (factor->axis != ONNX_REPEAT)
                place[factor->axis] += (int)(rest % factor->size) * factor->stride;
            rest /= factor->size;
        }
    }
}
