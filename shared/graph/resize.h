/* Where the values of an OP_RESIZE come from: the specification for every engine. */
#ifndef SHARED_GRAPH_RESIZE_H
#define SHARED_GRAPH_RESIZE_H

#include "shared/base/host_device.h"
#include "shared/graph/graph.h"
#include <math.h>

/* Along one axis: value = in[low] * (1 - fraction) + in[high] * fraction */
struct resize_tap {
    int low, high; /* in [0, size of the input) */
    float fraction;
};

static inline HOST_DEVICE int resize_clamp(double i, int size)
{
    return i < 0 ? 0 : i > size - 1 ? size - 1 : (int)i;
}

/* Of output i along an axis whose input has `size` values. */
static inline HOST_DEVICE struct resize_tap resize_tap(enum resize_mode mode, const struct resize_axis *axis, int size,
                                                       int i)
{
    double at = (i + axis->before) / axis->scale + axis->after;
    struct resize_tap tap = {0, 0, 0};
    switch (mode) {
    case RESIZE_NEAREST_FLOOR:
        at = floor(at);
        break;
    case RESIZE_NEAREST_CEIL:
        at = ceil(at);
        break;
    case RESIZE_NEAREST_HALF_DOWN:
        at = ceil(at - 0.5);
        break;
    case RESIZE_NEAREST_HALF_UP:
        at = floor(at + 0.5);
        break;
    case RESIZE_LINEAR:
    case RESIZE_MODE_COUNT:
        at = at < 0 ? 0 : at > size - 1 ? size - 1 : at;
        tap.fraction = (float)(at - floor(at));
        break;
    }
    tap.low = resize_clamp(at, size);
    tap.high = tap.fraction > 0 ? resize_clamp(at + 1, size) : tap.low;
    return tap;
}

#endif
