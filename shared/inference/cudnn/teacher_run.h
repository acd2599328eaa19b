/* Runs the steps of a plan on device memory. */
#ifndef SHARED_INFERENCE_CUDNN_TEACHER_RUN_H
#define SHARED_INFERENCE_CUDNN_TEACHER_RUN_H

#include "shared/inference/cudnn/teacher_plan.h"

struct teacher_memory {
    unsigned char *weights, *values, *input;
    void *workspace; /* NULL if no layer needs one */
};

void *teacher_place(const struct teacher_plan *plan, const struct teacher_memory *memory, int value);

/* Tells every layer where its operands are. Call it once before the first run. */
enum status teacher_bind_steps(const struct teacher_plan *plan, const struct teacher_memory *memory, struct error *err);
/* Enqueues all steps. */
enum status teacher_run_steps(const struct teacher_plan *plan, const struct teacher_memory *memory, cudaStream_t stream,
                              struct error *err);

#endif
