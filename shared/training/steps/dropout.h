/* Dropout's mask, the same on every backend. Element number n of the batch is kept or dropped by word n % 4 of a block
 * of random numbers that is a function of (the student's seed, the optimiser step, the layer, n / 4), so that backward
 * makes the mask of forward again and nothing is stored. */
#ifndef SHARED_TRAINING_STEPS_DROPOUT_H
#define SHARED_TRAINING_STEPS_DROPOUT_H

#include "shared/base/host_device.h"
#include "shared/base/random.h"
#include <stddef.h>

/* What a probability p of dropping means for an element. */
struct dropout_rate {
    uint32_t limit; /* 24-bit numbers below it drop */
    float scale;    /* of what is kept: 1 / (1 - p) */
};

static inline struct dropout_rate dropout_rate_of(float p)
{
    struct dropout_rate rate;
    rate.limit = (uint32_t)((double)p * 16777216.0);
    rate.scale = p < 1 ? 1 / (1 - p) : 0;
    return rate;
}

/* The numbers of elements n / 4 * 4 to n / 4 * 4 + 3; layer: the step's index in the plan. */
static inline HOST_DEVICE void dropout_block(uint64_t seed, uint64_t step, int layer, size_t n, uint32_t block[4])
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)(n / 4), (uint32_t)layer, (uint32_t)step,
                                 RANDOM_DROPOUT | (uint32_t)(step >> 32) << 8};
    philox4x32(counter, key, block);
}

static inline HOST_DEVICE float dropout_apply(struct dropout_rate rate, uint32_t number, float x)
{
    return number >> 8 < rate.limit ? 0 : x * rate.scale;
}

#endif
