#include "tests/helper_inputs.h"

#include <stdlib.h>

void host_inputs_init(struct host_inputs *host, int count, int classes, const int32_t *labels, const float *teacher)
{
    if (count > HOST_INPUTS_SAMPLES)
        abort();
    *host =
        (struct host_inputs){.inputs = {.batch = count, .students = 1, .classes = classes, .capacity = (size_t)count}};
    host->inputs.cursor = &host->cursor;
    host->inputs.scalars = &host->scalars;
    host->inputs.predictions = host->predictions;
    host->inputs.labels = (int32_t *)(uintptr_t)labels;
    host->inputs.teacher = (float *)(uintptr_t)teacher;
    for (int i = 0; i < LOSS_MAX_TERMS; i++)
        host->scalars.weights[i] = 1;
}
