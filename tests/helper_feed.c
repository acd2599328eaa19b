#include "tests/helper_feed.h"

#include <stdlib.h>

void host_feed_init(struct host_feed *host, int count, int classes, const int32_t *labels, const float *teacher)
{
    if (count > HOST_FEED_SAMPLES)
        abort();
    *host = (struct host_feed){.feed = {.batch = count, .students = 1, .classes = classes, .room = (size_t)count}};
    host->feed.cursor = &host->cursor;
    host->feed.scalars = &host->scalars;
    host->feed.predictions = host->predictions;
    host->feed.labels = (int32_t *)(uintptr_t)labels;
    host->feed.teacher = (float *)(uintptr_t)teacher;
    for (int i = 0; i < LOSS_MAX_TERMS; i++)
        host->scalars.weights[i] = 1;
}
