/* What read_features.c and read_features.cu share: the windows of torch's adaptive average pooling, and how many rows a
 * term sees. */
#ifndef SHARED_TRAINING_LOSSES_READ_FEATURES_H
#define SHARED_TRAINING_LOSSES_READ_FEATURES_H

#include "shared/base/host_device.h"
#include "shared/training/training.h"

/* adaptive_avg_pool2d from [h, w, channels] to [to_h, to_w, channels]. Windows may overlap. */
struct pooling {
    int channels, h, w, to_h, to_w;
};

/* Along one axis, window i of `pooled` over `full` values is [start, end). */
static inline HOST_DEVICE int window_start(int i, int full, int pooled)
{
    return i * full / pooled;
}
static inline HOST_DEVICE int window_end(int i, int full, int pooled)
{
    return ((i + 1) * full + pooled - 1) / pooled;
}
/* The windows that contain value i are [first, last]. */
static inline HOST_DEVICE int first_window(int i, int full, int pooled)
{
    return i * pooled / full;
}
static inline HOST_DEVICE int last_window(int i, int full, int pooled)
{
    return ((i + 1) * pooled - 1) / full;
}

/* The rows that term `index` of a student sees in the current step, of `count`. */
static inline HOST_DEVICE int rows_of_term(const struct epoch_inputs *inputs, int student, int index, int count)
{
    const size_t at = (size_t)*inputs->cursor * (size_t)inputs->students + (size_t)student;
    const uint32_t rows = inputs->scalars[at].rows[index];
    return rows < (uint32_t)count ? (int)rows : count;
}

#endif
