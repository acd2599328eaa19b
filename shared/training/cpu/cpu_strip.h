/* Convolutions, depthwise ones and pools work on strips: a few rows of a sample's input, completed and padded, and
 * backward a few rows of the output's gradient with zeros around them, so that inner loops have no edges.
 *
 * This file also has the walk over a batch that both kinds of convolution make; they differ in what they do with a
 * strip (struct strip_kernels). */
#ifndef SHARED_TRAINING_CPU_CPU_STRIP_H
#define SHARED_TRAINING_CPU_CPU_STRIP_H

#include "shared/training/cpu/cpu_run.h"

/* One axis of an operator with a window. */
struct strip_axis {
    int in, out;                  /* extents */
    int kernel, stride, dilation; /* of the window */
    int pad;                      /* before the first input */
    int padded;                   /* extent of the padded input that windows touch */
    int lead;   /* zeros before the gradient: each input finds all outputs that its taps could reach */
    int filled; /* extent of the gradient with zeros around it */
};

struct window_shape {
    struct strip_axis y, x;
    int in, out; /* channels */
    int groups;
    int group_in, group_out;        /* channels of a group */
    int taps;                       /* of the window */
    int rows;                       /* output rows of a strip */
    int source_pitch;               /* floats of a row of the padded input: [x.padded, in] */
    int gradient_pitch;             /* [x.filled, out] */
    int source_rows, gradient_rows; /* rows of the strips */
    float fill;                     /* value of the padding of the input: 0; -infinity for max pools */
};

/* Where the taps lie in the padded input: offsets[taps]. */
void window_offsets(const struct window_shape *shape, ptrdiff_t *offsets);

/* With as many output rows per strip as `floats` floats allow, but at least one. */
struct window_shape window_shape_of(const struct plan *plan, const struct plan_step *step, size_t floats);

/* Input position i of an axis gets a gradient from tap k if i + pad - k * dilation is a multiple of the stride. The
 * positions of one phase, (i + pad) % stride, share their taps: those with k * dilation % stride == phase. */
struct phase {
    int first;     /* the first input position of this phase */
    int positions; /* how many: first, first + stride, ... */
    int taps;      /* number of taps */
    int last_tap;  /* the largest; the next is last_tap - tap_step */
    int tap_step;
    int start; /* where in the filled gradient last_tap reads for position `first`; one further per position */
    int step;  /* how much further in the gradient a tap reads that is tap_step smaller */
};
struct phase phase_of(const struct strip_axis *axis, int phase);

/* The part of a phase in rows [first, end) of the input. */
struct phase_part {
    int skip; /* its positions before `first` */
    int row;  /* its first position */
    int rows; /* how many positions */
};
struct phase_part phase_part_of(const struct phase *phase, int stride, int first, int end);

/* Rows [first, end) of an image; the first is at data. */
struct strip {
    float *data;
    int pitch; /* floats per row */
    int first, end;
    struct ahead ahead; /* what the next strip needs; its kernels may ask for it */
};

/* Makes the strip hold rows [first, end) of the padded input of `sample`. Rows that it already holds are kept. */
void strip_read_source(const struct cpu_run *run, const struct window_shape *shape, struct strip *strip, int sample,
                       int first, int end);
/* The same for rows [first, end) of the raw output's gradient with zeros around it. */
void strip_read_gradient(const struct cpu_run *run, const struct window_shape *shape, struct strip *strip, int sample,
                         int first, int end);
static inline float *strip_row(const struct strip *strip, int row)
{
    return strip->data + (ptrdiff_t)(row - strip->first) * strip->pitch;
}

/* ---- the walk of a convolution ---- */
/* Its window, with strips of a size that stays in the L2 cache. */
struct window_shape strip_shape(const struct plan *plan, const struct plan_step *step);

/* Its three loops, each over one strip. */
struct strip_kernels {
    /* out [rows, x.out, out] = output rows [first, first + rows) */
    void (*convolve)(const struct cpu_run *run, const struct window_shape *shape, struct strip *source, int first,
                     int rows, float *out);
    /* gradient [groups, taps, group_in, group_out] += the weights' gradient from those output rows */
    void (*weigh)(const struct cpu_run *run, const struct window_shape *shape, struct strip *source, struct strip *dz,
                  int first, int rows, float *gradient);
    /* dx [end - first, x.in, in] = the gradient of those input rows */
    void (*spread)(const struct cpu_run *run, const struct window_shape *shape, struct strip *dz, int first, int end,
                   float *dx);
};

/* Floats of the weight gradient. */
size_t strip_weights(const struct window_shape *shape);
/* Scratch memory and weight gradients; the caller adds packed weights and taps. */
struct step_need strip_need(const struct plan *plan, const struct window_shape *shape);
/* A slice of the batch, forward and backward: tasks for run_slices. Backward, the slice's weight gradient is its
 * slice_partial of strip_weights floats. */
void strip_forward(struct cpu_run *run, const struct strip_kernels *kernels, int slice, int worker);
void strip_backward(struct cpu_run *run, const struct strip_kernels *kernels, int slice, int worker);

#endif
