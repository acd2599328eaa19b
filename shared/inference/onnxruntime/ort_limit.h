/* Holds onnxruntime to an amount of memory while it does what a file tells it to: a model of a few hundred bytes may
 * ask for any amount, when it is loaded (constants are folded) or when it runs. */
#ifndef SHARED_INFERENCE_ONNXRUNTIME_ORT_LIMIT_H
#define SHARED_INFERENCE_ONNXRUNTIME_ORT_LIMIT_H

#include "shared/base/memory.h"
#include "shared/inference/onnxruntime/onnxruntime_model.h"

struct ort_limit {
    struct memory_limit held;
    size_t start, bytes; /* of the process at the beginning; that may be added to it */
};

/* From now on, for this model. Begin it before the session is made, and end it in any case. */
void ort_limit_begin(struct ort_limit *limit, const struct onnxruntime_model *model);
/* What is left is shared by so many runs at the same time: one run may take its share only. */
void ort_limit_share(struct ort_limit *limit, int runs);
/* status: of what was done within the limit, `inner` its error. Says that memory is what was missing, if it was. */
enum status ort_limit_end(struct ort_limit *limit, enum status status, const struct error *inner, const char *path,
                          int runs, struct error *err);

#endif
