/* Random numbers for the parameters of views; each takes one word of the stream. Internal to view_*.c. */
#ifndef SHARED_AUGMENT_VIEW_DRAW_H
#define SHARED_AUGMENT_VIEW_DRAW_H

#include "shared/base/random.h"
#include <math.h>

static inline double draw(struct random_stream *stream) /* [0, 1) */
{
    return (double)random_u32(stream) * 0x1p-32;
}

static inline double draw_whole(struct random_stream *stream, double count) /* 0, 1, ... count - 1 */
{
    return floor(draw(stream) * count);
}

static inline double round_half_up(double x)
{
    return floor(x + 0.5);
}

#endif
