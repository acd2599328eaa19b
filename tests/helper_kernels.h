/* A graph's training pass on a backend, compared with the double-precision reference, in all variations that must not
 * change the result: instruction sets, threads, orders of threads, dtypes, several students at once. */
#ifndef TESTS_HELPER_KERNELS_H
#define TESTS_HELPER_KERNELS_H

#include "shared/training/network.h"
#include "tests/helper_device.h"
#include "tests/helper_nets.h"
#include "tests/helper_reference_train.h"

/* The results of a pass for one student's network, in host memory. */
struct kernel_outcome {
    float *logits;    /* [count, classes] */
    float *gradients; /* [plan->parameter_count] by the parameters */
    float *state;     /* [plan->state_count] */
    size_t bytes[3];  /* of each of the above */
};
void kernel_outcome_download(struct kernel_outcome *out, const struct test_device *t, const struct network *network,
                             int student, int count);
void kernel_outcome_release(struct kernel_outcome *out);

/* Fails the test if an element differs from the reference by more than the tolerance of the dtype (see the source).
 * what: a description for the message. */
void kernel_outcome_check(const struct kernel_outcome *out, const struct network *network, const struct reference *r,
                          const char *what);

/* Passes what the device's steps have stored for a student to the reference (reference_store). */
void kernel_store_values(struct reference *r, const struct test_device *t, const struct network *network, int student);
/* Fails the test if the stored values are further from the reference's than rounding to bf16 allows. */
void kernel_check_departures(const struct reference *r);

/* Forward and backward over input [count, h, w, c], in training or with running statistics, with a made-up gradient of
 * the logits. backend: "cpu" or "cuda". */
void kernels_check_input(const char *backend, const struct graph *graph, int batch, int count, bool training,
                         const float *input);
/* The same with random weights and input. */
void kernels_check(const char *backend, struct graph *graph, int batch, int count, bool training);

size_t sample_elements(const struct plan_tensor *tensor);

#endif
