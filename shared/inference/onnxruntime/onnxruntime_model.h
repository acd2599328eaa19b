/* A model that onnxruntime reads and runs by itself, as data: what the caller knows of it, and which of its tensors it
 * wants. */
#ifndef SHARED_INFERENCE_ONNXRUNTIME_ONNXRUNTIME_MODEL_H
#define SHARED_INFERENCE_ONNXRUNTIME_ONNXRUNTIME_MODEL_H

#include "shared/graph/graph.h"
#include <stdbool.h>
#include <stdint.h>

enum { ONNXRUNTIME_MAX_RANK = 8 };
/* Types of elements, by their numbers in ONNX's TensorProto.DataType. */
enum { ONNXRUNTIME_FLOAT = 1, ONNXRUNTIME_HALF = 10 };

/* A tensor of the model, and how it is seen as [c, h, w] per sample. */
struct onnxruntime_tensor {
    const char *name;
    int type;
    int rank;
    int64_t dims[ONNXRUNTIME_MAX_RANK]; /* in a run of model->batch samples; dims[0] is the batch */
    struct shape shape;                 /* of a sample; c is 0 if the tensor has not one row of numbers per sample */
    bool channels_last;                 /* it is [h, w, c] in the model: transposed on its way in or out */
};

struct onnxruntime_model {
    const void *bytes; /* [size] a self-contained ONNX file in which the outputs below are outputs of the graph */
    size_t size;
    const char *path;    /* for messages */
    const char *weights; /* NULL, or the folder of the files that hold the weights of a model of more than 2 GiB */
    struct onnxruntime_tensor input;
    int batch;                                /* samples per run */
    const struct onnxruntime_tensor *outputs; /* [output_count], as `probe` has filled them in */
    int output_count;
    size_t memory; /* bytes that onnxruntime may take on the host; 0: what is available */
};

#endif
