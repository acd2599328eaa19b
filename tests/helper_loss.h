/* One loss term on any backend, with its inputs in host memory. The epoch inputs before and after the current step, and
 * the memory behind the used rows and between the students, are poison; guard floats are checked. */
#ifndef TESTS_HELPER_LOSS_H
#define TESTS_HELPER_LOSS_H

#include "tests/helper_device.h"

struct loss_case {
    const struct loss_term *terms; /* [students] of one kind */
    struct loss_shape shape;       /* batch: all of its samples are in the step */
    int students;                  /* 0: 1. Inputs and results marked * have one copy per student, in order */
    int rows;                      /* of the features; 0: the whole batch, -1: none */
    uint64_t seed, step;           /* the step's scalars */
    const float *logits;           /* * [batch, classes]; NULL: zeros */
    const float *teacher_logits;   /* [batch, classes]; NULL: none */
    const int32_t *labels;         /* [batch]; NULL: all 0 */
    const struct view_mix *mixes;  /* [batch] with partner_labels, or NULL */
    const int32_t *partner_labels;
    const uint32_t *samples; /* [batch]; NULL: 0, 1, 2, ... */
    const float *student;    /* * [batch, pixels, channels]; NULL: a term on logits */
    const float *teacher;    /* [batch, teacher_pixels, teacher_channels] */
    const float *parameters; /* * [parameter_count] or NULL */
    float *state;            /* * [state_count] or NULL; receives what the term made of it */
    size_t parameter_count, state_count;
    size_t learned[LEARNED_COUNT]; /* offsets in parameters or state */
};

/* All [students], with the shapes of the inputs; NULL: not wanted. The gradients are weighted and begin at 0. */
struct loss_result {
    double *values; /* unweighted */
    float *gradient, *student_gradient, *parameter_gradient;
};

/* Runs the term once. If the result has no gradient, the backend computes values only. Fails the test if the backend
 * fails, a guard was overwritten or the metrics contradict one another. */
void loss_case_run(const struct test_device *t, const struct loss_case *c, const struct loss_result *result);

/* For a case with one student. Fails unless its gradients (by logits, student and parameters, as far as it has them)
 * are the derivatives of the value by central differences of `step`, within `tolerance` times the largest derivative
 * (at least 1e-3). */
void loss_case_derivatives(const struct test_device *t, const struct loss_case *c, float step, double tolerance);

#endif
