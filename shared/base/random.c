#include "shared/base/random.h"

void random_stream_init(struct random_stream *stream, uint64_t seed, enum random_purpose purpose, uint32_t a,
                        uint32_t b)
{
    *stream = (struct random_stream){.key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
                                     .counter = {0, b, a, (uint32_t)purpose}};
}

uint32_t random_u32(struct random_stream *stream)
{
    if (stream->left == 0) {
        philox4x32(stream->counter, stream->key, stream->block);
        stream->counter[0]++;
        stream->left = 4;
    }
    return stream->block[4 - stream->left--];
}

uint32_t random_below(struct random_stream *stream, uint32_t bound)
{
    uint64_t product = (uint64_t)random_u32(stream) * bound;
    if ((uint32_t)product < bound) {
        uint32_t threshold = -bound % bound;
        while ((uint32_t)product < threshold)
            product = (uint64_t)random_u32(stream) * bound;
    }
    return (uint32_t)(product >> 32);
}

float random_uniform(struct random_stream *stream)
{
    return (float)(random_u32(stream) >> 8) * 0x1p-24f;
}

void random_shuffle(struct random_stream *stream, uint32_t *items, uint32_t count)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = random_below(stream, i), swap = items[i - 1];
        items[i - 1] = items[j];
        items[j] = swap;
    }
}
