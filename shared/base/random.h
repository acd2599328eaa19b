/* Counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 * Every number is a pure function of (key, counter): no state, no order, the same on CPU and GPU. */
#ifndef SHARED_BASE_RANDOM_H
#define SHARED_BASE_RANDOM_H

#include "shared/base/host_device.h"
#include <stdint.h>

/* The purpose of a stream, so that two uses of one seed never share numbers. */
enum random_purpose {
    RANDOM_VIEW = 1,    /* augmentation parameters */
    RANDOM_INIT = 2,    /* initial weights */
    RANDOM_SHUFFLE = 3, /* order of samples and views */
    RANDOM_DROPOUT = 4,
    RANDOM_RECHECK = 5,
    RANDOM_MIX = 6,       /* partners and shares of mixed views */
    RANDOM_NEGATIVES = 7, /* the negatives that a sample is contrasted with */
    RANDOM_SPLIT = 8,     /* which training images are evaluated on */
    RANDOM_CHECK = 9,     /* the photos that a teacher is checked on */
    RANDOM_SEARCH = 10,   /* the nets that a search tries */
};

/* out[4] = Philox4x32-10(counter[4], key[2]). */
static inline HOST_DEVICE void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    HOST_DEVICE_UNROLL
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* A stream: numbers 0, 1, 2, ... of (seed, purpose, a, b). */
struct random_stream {
    uint32_t key[2];     /* seed, low and high word */
    uint32_t counter[4]; /* number/4, b, a, purpose */
    uint32_t block[4];
    int left; /* unused words of block, taken from the front */
};

void random_stream_init(struct random_stream *stream, uint64_t seed, enum random_purpose purpose, uint32_t a,
                        uint32_t b);
uint32_t random_u32(struct random_stream *stream);
/* Uniform in [0, bound), unbiased (Lemire 2019, with rejection). bound > 0. */
uint32_t random_below(struct random_stream *stream, uint32_t bound);
/* Uniform in [0, 1) with 24 bits, exact in float. */
float random_uniform(struct random_stream *stream);
/* Fisher-Yates shuffle of items[count]. */
void random_shuffle(struct random_stream *stream, uint32_t *items, uint32_t count);

#endif
