/* One loss term on any backend, with its inputs in host memory. What stands in the epoch inputs before and after the
 * step in hand, behind the used rows and between the students is poison; guard floats are checked. */
#ifndef TESTS_HELPER_LOSS_H
#define TESTS_HELPER_LOSS_H

#include "tests/helper_device.h"

struct loss_case {
    const struct loss_term *terms; /* [students] of one kind */
    struct loss_shape shape;       /* batch: all of its samples are in the step */
    int students;                  /* 0: 1. Inputs and results marked * have one copy a student, one after the other */
    int rows;                      /* of the values; 0: the whole batch, -1: none */
    uint64_t seed, step;           /* the step's scalars */
    const float *logits;           /* * [batch, classes]; NULL: zeros */
    const float *teacher_logits;   /* [batch, classes]; NULL: there are none */
    const int32_t *labels;         /* [batch]; NULL: all 0 */
    const struct view_mix *mixes;  /* [batch] with partner_labels, or NULL */
    const int32_t *partner_labels;
    const uint32_t *samples; /* [batch]; NULL: 0, 1, 2, ... */
    const float *student;    /* * [batch, pixels, channels]; NULL: a term on logits */
    const float *teacher;    /* [batch, teacher_pixels, teacher_channels] */
    const float *parameters; /* * [parameter_count] or NULL */
    float *state;            /* * [state_count] or NULL; gets what the term made of it */
    size_t parameter_count, state_count;
    size_t learned[LEARNED_COUNT]; /* offsets in parameters or state */
};

/* All [students] and as their inputs; NULL: not wanted. The gradients begin at 0 and are the weighted ones. */
struct loss_result {
    double *values; /* unweighted */
    float *gradient, *student_gradient, *parameter_gradient;
};

/* Runs the term once. Without any gradient in the result the backend is asked for values only. Fails the test where the
 * backend fails, a guard was hit or the metrics contradict one another. */
void loss_case_run(const struct test_device *t, const struct loss_case *c, const struct loss_result *result);

/* Fails unless every gradient of the case (one student; those of logits, student and parameters that it has) is the
 * derivative of the value by central differences of `step`, within `tolerance` times the largest derivative (at least
 * 1e-3). */
void loss_case_derivatives(const struct test_device *t, const struct loss_case *c, float step, double tolerance);

#endif
