#include "student_train/trainer/epoch_order.h"

#include "shared/base/random.h"

/* Streams of RANDOM_SHUFFLE: (epoch, ORDER) and (cycle, VIEWS + sample). */
enum { STREAM_ORDER = 0, STREAM_VIEWS = 1 };

void epoch_order(uint32_t *order, uint32_t count, uint64_t seed, uint32_t epoch, bool sequential)
{
    struct random_stream stream;
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    if (sequential)
        return;
    random_stream_init(&stream, seed, RANDOM_SHUFFLE, epoch, STREAM_ORDER);
    random_shuffle(&stream, order, count);
}

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* From a random start, steps of a random stride that is coprime to `views` visit every view once, without a table. */
int epoch_view(uint32_t sample, int views, uint64_t seed, uint32_t epoch, bool sequential)
{
    const uint32_t all = (uint32_t)views, turn = epoch % all;
    struct random_stream stream;
    if (sequential || all == 1)
        return (int)turn;
    random_stream_init(&stream, seed, RANDOM_SHUFFLE, epoch / all, STREAM_VIEWS + sample);
    uint32_t start = random_below(&stream, all), stride;
    do
        stride = 1 + random_below(&stream, all - 1);
    while (common_divisor(stride, all) != 1);
    return (int)((start + (uint64_t)stride * turn) % all);
}
