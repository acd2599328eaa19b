/* Steps that read other positions of an image: pad and resize. Both take, along each axis, one or two inputs for an
 * output; a pad may take none. Shared by the CPU and CUDA. */
#ifndef SHARED_TRAINING_STEPS_RESAMPLE_H
#define SHARED_TRAINING_STEPS_RESAMPLE_H

#include "shared/base/host_device.h"
#include "shared/graph/plan.h"
#include "shared/graph/resize.h"

/* One axis. */
struct resample_axis {
    int in, out; /* extents */
    bool resizes;
    int pad_low; /* of a pad */
    enum pad_mode pad_mode;
    enum resize_mode resize_mode;
    struct resize_axis resize;
};

/* The axes of a step. constant: the value outside of a padded image. */
struct resample {
    struct resample_axis y, x;
    float constant;
};

static inline struct resample resample_of(const struct plan *plan, const struct plan_step *step)
{
    const struct node *n = &plan->graph->nodes[step->node];
    const struct shape in = plan->tensors[step->inputs[0].tensor].shape, out = plan->tensors[step->output].shape;
    const bool resizes = step->kind == STEP_RESIZE;
    const struct resample r = {
        {in.h, out.h, resizes, n->pad_top, n->pad_mode, n->resize.mode, n->resize.y},
        {in.w, out.w, resizes, n->pad_left, n->pad_mode, n->resize.mode, n->resize.x},
        resizes ? 0 : n->alpha,
    };
    return r;
}

/* Where output o comes from; low is -1 for the constant. */
static inline HOST_DEVICE struct resize_tap resample_tap(const struct resample_axis *axis, int o)
{
    struct resize_tap tap = {0, 0, 0};
    if (axis->resizes)
        return resize_tap(axis->resize_mode, &axis->resize, axis->in, o);
    int i = o - axis->pad_low;
    const int last = axis->in - 1;
    if (i < 0 || i > last) {
        if (axis->pad_mode == PAD_CONSTANT)
            i = -1;
        else if (axis->pad_mode == PAD_EDGE)
            i = i < 0 ? 0 : last;
        else
            i = i < 0 ? -i : 2 * last - i;
    }
    tap.low = tap.high = i;
    return tap;
}

/* The share of input i in output o. */
static inline HOST_DEVICE float resample_share(const struct resample_axis *axis, int o, int i)
{
    const struct resize_tap tap = resample_tap(axis, o);
    return (tap.low == i ? 1 - tap.fraction : 0) + (tap.high == i ? tap.fraction : 0);
}

/* Outputs [*first, *end) are all that may read input i: few, but for the border of an image. */
static inline HOST_DEVICE void resample_readers(const struct resample_axis *axis, int i, int *first, int *end)
{
    double low = (double)i + axis->pad_low, high = low; /* a pad */
    *first = 0;
    *end = axis->out;
    if (axis->resizes) {
        low = (i - 1 - axis->resize.after) * axis->resize.scale - axis->resize.before - 1;
        high = (i + 1 - axis->resize.after) * axis->resize.scale - axis->resize.before + 1;
    } else if (axis->pad_mode == PAD_REFLECT) {
        const int after = axis->out - axis->in - axis->pad_low;
        if (i <= axis->pad_low || i >= axis->in - 1 - after)
            return;
    } else if (axis->pad_mode == PAD_EDGE && (i == 0 || i == axis->in - 1)) {
        return;
    }
    if (!(axis->resizes && i == 0) && low > 0)
        *first = low < axis->out ? (int)low : axis->out;
    if (!(axis->resizes && i == axis->in - 1) && high + 1 < axis->out)
        *end = high < 0 ? 0 : (int)high + 1;
}

#endif
