/* A feed of one step in host memory: all that a test of the CPU backend needs. */
#ifndef TESTS_HELPER_FEED_H
#define TESTS_HELPER_FEED_H

#include "shared/backend/backend.h"

enum { HOST_FEED_SAMPLES = 256 };

struct host_feed {
    struct feed feed;
    uint32_t cursor;
    struct step_scalars scalars;
    int32_t predictions[HOST_FEED_SAMPLES];
};

/* labels [count], teacher [count, classes] are borrowed and may be NULL. All weights of terms are 1. The struct must
 * not move. */
void host_feed_init(struct host_feed *host, int count, int classes, const int32_t *labels, const float *teacher);

#endif
