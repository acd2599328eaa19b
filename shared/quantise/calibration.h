/* What the values of a lowered network are on a set of pictures: bounds and histograms, and from them the ranges that
 * are quantised. */
#ifndef SHARED_QUANTISE_CALIBRATION_H
#define SHARED_QUANTISE_CALIBRATION_H

#include "shared/base/threads.h"
#include "shared/quantise/int8_net.h"

enum range_method {
    RANGE_MIN_MAX,    /* all that was seen */
    RANGE_PERCENTILE, /* without the outermost values, 1 in 10,000 at each end */
    RANGE_MSE,        /* the part of the range with the smallest squared error over what was seen */
    RANGE_METHOD_COUNT
};

/* Pictures as a student sees them: pixels[count][h * w * c]. */
struct pixel_set {
    uint8_t *pixels;
    size_t count, size; /* bytes of one */
};

enum { CALIBRATION_BINS = 2048 };

struct value_statistics {
    float low, high;
    float *channel_peak; /* [c] largest magnitude of a channel */
    uint64_t *bins;      /* [CALIBRATION_BINS] of [low, high] */
};

struct calibration {
    struct arena arena;
    const struct lowered *lowered;   /* borrowed */
    struct value_statistics *values; /* [lowered->value_count] */
};

/* Runs every picture twice, on all threads of the pool (NULL: one); results do not depend on the threads. normalised:
 * shared/augment/view.h's table. STATUS_BAD_DATA: a value is infinite or no number. */
enum status calibration_init(struct calibration *calibration, const struct lowered *lowered,
                             const struct pixel_set *pictures, float normalised[3][256], struct thread_pool *pool,
                             struct error *err);
void calibration_release(struct calibration *calibration); /* accepts a zeroed struct */

/* What the range of a value never needs to leave: a value that only goes through an activation which is flat outside of
 * some interval has no range beyond it. */
struct value_range calibration_limits(const struct lowered *lowered, int value);
/* ranges[lowered->value_count], in these limits. The logits keep all that was seen. */
void calibration_ranges(const struct calibration *calibration, enum range_method method, struct value_range *ranges);
const char *range_method_name(enum range_method method); /* "min-max", "percentile", "mse" */

/* Cross-layer equalisation: scales the channels between two convolutions with only a ReLU or nothing between them, so
 * that they use the tensor's range alike; the network stays the same function. *to: the graph with other weights,
 * initialised here; on error it is released. *changed: there was such a pair. */
enum status calibration_equalise(const struct calibration *calibration, struct graph *to, bool *changed,
                                 struct error *err);

/* input[h, w, c] of a picture */
void pixels_normalise(const uint8_t *pixels, size_t count, int channels, float normalised[3][256], float *input);

#endif
