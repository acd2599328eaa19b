/* From a node of a graph to steps of a plan. */
#ifndef SHARED_INFERENCE_CUDNN_TEACHER_EMIT_H
#define SHARED_INFERENCE_CUDNN_TEACHER_EMIT_H

#include "shared/inference/cudnn/teacher_plan.h"

struct emitter {
    struct teacher_plan *plan;
    const struct graph *graph;
    int *values; /* [node_count] value of each node that has been emitted */
};

/* What follows a layer in the same step: + addend, then the activation. */
struct teacher_fused {
    const char *name; /* of the last node */
    int addend;       /* value, or NO_VALUE */
    struct pointwise pointwise;
    bool is_result; /* an output that no other node reads */
};

/* Emits the steps of a node whose inputs have been emitted; *value is the result. STATUS_BAD_DATA if the operator is
 * not supported. */
enum status teacher_emit(const struct emitter *emitter, int node, const struct teacher_fused *fused, int *value,
                         struct error *err);

#endif
