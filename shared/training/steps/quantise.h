/* How the range of a quantised value follows what the value is in training: a moving average of the smallest and the
 * largest value of each step, which begins with those of the first one. */
#ifndef SHARED_TRAINING_STEPS_QUANTISE_H
#define SHARED_TRAINING_STEPS_QUANTISE_H

#include "shared/graph/int8_value.h"

static inline HOST_DEVICE struct value_range range_joined(struct value_range a, struct value_range b)
{
    a.low = b.low < a.low ? b.low : a.low;
    a.high = b.high > a.high ? b.high : a.high;
    return a;
}

static inline HOST_DEVICE float range_limited(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

/* low, high: the range never leaves them. */
static inline HOST_DEVICE struct value_range range_followed(struct value_range range, struct value_range seen,
                                                            float low, float high)
{
    const float share = 0.01f; /* of the newest step, as in torch.ao.quantization's observers */
    seen.low = range_limited(seen.low, low, high);
    seen.high = range_limited(seen.high, low, high);
    if (!value_range_known(range))
        return seen;
    range.low += share * (seen.low - range.low);
    range.high += share * (seen.high - range.high);
    return range;
}

#endif
