/* Epoch inputs of one step in host memory: enough for tests of the CPU backend. */
#ifndef TESTS_HELPER_INPUTS_H
#define TESTS_HELPER_INPUTS_H

#include "shared/backend/backend.h"

enum { HOST_INPUTS_SAMPLES = 256 };

struct host_inputs {
    struct epoch_inputs inputs;
    uint32_t cursor;
    struct step_scalars scalars;
    int32_t predictions[HOST_INPUTS_SAMPLES];
};

/* labels [count] and teacher [count, classes] are borrowed and may be NULL. The weights of all terms are 1. The struct
 * must not move. */
void host_inputs_init(struct host_inputs *host, int count, int classes, const int32_t *labels, const float *teacher);

#endif
