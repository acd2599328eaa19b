/* Windows (convolutions, depthwise convolutions) run over strips: a few rows of a sample's completed input with its
 * padding, and backward a few rows of the output's gradient with zeros around, so that inner loops have no edges. */
#ifndef SHARED_TRAINING_CPU_CPU_STRIP_H
#define SHARED_TRAINING_CPU_CPU_STRIP_H

#include "shared/training/cpu/cpu_run.h"

/* One axis of a window operator. */
struct axis {
    int in, out;                  /* extents */
    int kernel, stride, dilation; /* of the window */
    int pad;                      /* before the first input */
    int padded;                   /* extent of the padded input that windows touch */
    int lead;   /* zeros before the gradient, so that every input finds all outputs that its taps could reach */
    int filled; /* extent of the gradient with zeros around */
};

struct window_shape {
    struct axis y, x;
    int in, out; /* channels */
    int groups;
    int rows;                       /* output rows of a strip */
    int source_pitch;               /* floats of a row of the padded input: [x.padded, in] */
    int gradient_pitch;             /* [x.filled, out] */
    int source_rows, gradient_rows; /* rows of the strips */
    float fill;                     /* what the padding of the input holds: 0; -infinity for max pools */
};

/* Places of the taps in the padded input, offsets[y.kernel * x.kernel]. */
void window_offsets(const struct window_shape *shape, ptrdiff_t *offsets);

/* A strip of at most `floats` floats in all, but of one output row at least. */
struct window_shape window_shape_of(const struct plan *plan, const struct plan_step *step, size_t floats);

/* Input position `i` of an axis gets gradient from tap k where (i + pad - k * dilation) is a multiple of the stride.
 * Positions of one phase, (i + pad) % stride, share their taps: those with k * dilation % stride == phase. */
struct phase {
    int first;     /* the first input position of this phase */
    int positions; /* how many: first, first + stride, ... */
    int taps;      /* number of taps */
    int last_tap;  /* the largest; the next one is last_tap - tap_step */
    int tap_step;
    int start; /* place in the filled gradient that last_tap reads for position `first`; one further per position */
    int step;  /* tap_step further down reads this much further in the gradient */
};
struct phase phase_of(const struct axis *axis, int phase);

/* Rows [first, end) of an image, the first at data. */
struct strip {
    float *data;
    int pitch; /* floats a row */
    int first, end;
};

/* Makes the strip hold rows [first, end) of the padded input of `sample`; rows that it holds already are kept. */
void strip_read_source(const struct step_run *run, const struct window_shape *shape, struct strip *strip, int sample,
                       int first, int end);
/* Rows [first, end) of the gradient of the raw output with zeros around. */
void strip_read_gradient(const struct step_run *run, const struct window_shape *shape, struct strip *strip, int sample,
                         int first, int end);
static inline float *strip_row(const struct strip *strip, int row)
{
    return strip->data + (ptrdiff_t)(row - strip->first) * strip->pitch;
}

#endif
