/* What can be said of an ONNX model without understanding its operators: its input, its output, its tensors, and what
 * kind of model it is. For models that another library runs. */
#ifndef FORMATS_ONNX_ONNX_OUTLINE_H
#define FORMATS_ONNX_ONNX_OUTLINE_H

#include "shared/base/error.h"
#include "shared/base/memory.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ONNX_OUTLINE_RANK = 4 };

struct onnx_outline_tensor {
    const char *name, *op; /* op: the operator that computes it, "Conv" */
};

struct onnx_outline {
    struct arena arena; /* owns all strings and arrays */
    /* the input, which is float or float16 */
    const char *input;
    bool half;
    int rank;                        /* 2: [batch, c]; 3: [batch, h, w]; 4: [batch, c, h, w] or [batch, h, w, c] */
    int64_t dims[ONNX_OUTLINE_RANK]; /* 0: dynamic */
    bool channels_last;              /* rank 4: [batch, h, w, c], by the place of 1 or 3 channels */
    /* the output: the one named "logits", otherwise the first, as onnx_read chooses */
    const char *output;
    const char **outputs; /* [output_count] all of them */
    int output_count;
    const char *output_op;               /* what computes it, seen through Reshape, Squeeze, Cast and the like; "" */
    bool probabilities;                  /* that is a softmax or a sigmoid */
    struct onnx_outline_tensor *tensors; /* [tensor_count] what nodes compute, in the file's order */
    int tensor_count;
    double parameters; /* numbers in float initialisers */
    const char *kind;  /* "a transformer (12 Softmax between products of values)", or "" where one cannot tell */
};

/* The bytes (untrusted) are those of onnx_file_read. STATUS_BAD_DATA, STATUS_CONFIG: more than one input, or one that
 * is no picture of floats. */
enum status onnx_outline_read(struct onnx_outline *outline, const uint8_t *bytes, size_t size, const char *path,
                              struct error *err);
void onnx_outline_release(struct onnx_outline *outline); /* a zeroed one is allowed */

/* *out (malloc'ed) = the model with these tensors as further outputs. names[count] may include some that are outputs
 * already. They have no type there; libraries that infer types accept that. */
enum status onnx_with_outputs(const struct onnx_outline *outline, const uint8_t *bytes, size_t size,
                              const char *const *names, int count, uint8_t **out, size_t *out_size, struct error *err);

#endif
