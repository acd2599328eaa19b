/* How the model sees a node's value. The graph holds [c, h, w]; a model may have the channels last, height and width as
 * one dimension, or the channels as a matrix of groups.
 *
 * Every dimension of the model after the batch is an ordered product of factors of the node's three axes, the outermost
 * first. [batch, h, w, c] is (H) (W) (C); [batch, h * w, c] is (H W) (C); 6 channels in two groups are the factors
 * (C size 2 stride 3) (C size 3 stride 1). An index along an axis is the sum of the indices of its factors times their
 * strides. So Reshape and Transpose need not move anything. */
#ifndef FORMATS_ONNX_ONNX_LAYOUT_H
#define FORMATS_ONNX_ONNX_LAYOUT_H

#include "formats/onnx/onnx_tensor.h"
#include "shared/graph/graph.h"
#include <stdbool.h>
#include <stdint.h>

/* Stands for the batch size in a shape, because it is unknown. */
#define ONNX_BATCH INT64_MIN

enum onnx_axis {
    ONNX_C,
    ONNX_H,
    ONNX_W,
    ONNX_REPEAT, /* no axis: the value is the same for every index (Expand) */
    ONNX_ONE,    /* of a dimension: it has size 1 */
    ONNX_MIXED   /* of a dimension: neither one whole axis nor 1 */
};

struct onnx_factor {
    enum onnx_axis axis;
    int size, stride;
};

enum { ONNX_MAX_FACTORS = 16 };

struct onnx_layout {
    int rank;                    /* with the batch, which is dimension 0 */
    int64_t dims[ONNX_MAX_RANK]; /* as the model sees them, ONNX_BATCH first */
    int counts[ONNX_MAX_RANK];   /* how many factors each dimension has; none: it is 1 */
    struct onnx_factor factors[ONNX_MAX_FACTORS];
};

/* [batch, c, h, w], or with last [batch, h, w, c] */
struct onnx_layout onnx_layout_map(struct shape shape, bool last);
/* [batch, features] of a node [features, 1, 1] */
struct onnx_layout onnx_layout_vector(int features);

/* Number of factors before dimension d; d may be the rank. */
int onnx_layout_first(const struct onnx_layout *layout, int d);
bool onnx_layout_equal(const struct onnx_layout *a, const struct onnx_layout *b);
/* Which axis of a node of this shape dimension d is, whole and in order. */
enum onnx_axis onnx_layout_axis(const struct onnx_layout *layout, struct shape shape, int d);
/* The dimension that is the given axis, whole and in order; -1: none is. */
int onnx_layout_find(const struct onnx_layout *layout, struct shape shape, enum onnx_axis axis);
/* Whether the node is what the model sees: [batch, c, h, w], or [batch, c] of 1x1. */
bool onnx_layout_is_map(const struct onnx_layout *layout, struct shape shape);
/* Whether the factors of an axis are in order from the outermost to the innermost. */
bool onnx_layout_is_ordered(const struct onnx_layout *layout, enum onnx_axis axis);

/* Changes of the layout. False: it cannot be expressed. */
/* dims[rank] after the batch; their product is that of the old ones. */
bool onnx_layout_reshape(struct onnx_layout *layout, const int64_t *dims, int rank);
/* perm[layout->rank], which keeps the batch first */
bool onnx_layout_permute(struct onnx_layout *layout, const int *perm);
bool onnx_layout_insert(struct onnx_layout *layout, int d); /* a dimension of 1 */
bool onnx_layout_remove(struct onnx_layout *layout, int d); /* with its factors */
/* Dimension d gets one factor (size 1: none) instead of those that it has. */
bool onnx_layout_set(struct onnx_layout *layout, int d, struct onnx_factor factor);

/* The node's element that the model's element index[1 .. rank - 1] is, as an index [c, h, w]. */
void onnx_layout_place(const struct onnx_layout *layout, const int64_t *index, int place[3]);

#endif
