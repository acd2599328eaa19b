/* One teacher's file: an ONNX model, read by our own reader or left to onnxruntime. Both look the same from outside: an
 * input, classes, and named tensors with shapes. */
#ifndef TEACHER_DUMP_TEACHER_MODEL_H
#define TEACHER_DUMP_TEACHER_MODEL_H

#include "shared/base/digest.h"
#include "shared/base/error.h"
#include "shared/graph/graph.h"

enum teacher_engine_kind { TEACHER_ENGINE_AUTO, TEACHER_ENGINE_NATIVE, TEACHER_ENGINE_ONNXRUNTIME };
extern const char *const teacher_engine_names[]; /* "auto", "native", "onnxruntime", NULL */

struct foreign_model; /* foreign_model.h */

/* What a model may be read as, and may take. */
struct teacher_model_request {
    const char *path; /* borrowed by the model */
    int size;         /* the side of the input, if the file leaves it open */
    enum teacher_engine_kind kind;
    bool probabilities; /* the outputs may end with a softmax or a sigmoid */
    size_t memory;      /* bytes of the host; 0: what is available */
};

struct teacher_model {
    const char *path, *file; /* borrowed; its base name */
    char digest[DIGEST_HEX_SIZE];
    enum teacher_engine_kind kind; /* never auto */
    char why[256];                 /* why auto left it to onnxruntime: what our reader does not know; or "" */
    struct shape input;
    int classes;
    const char *output; /* the logits' tensor */
    struct shape output_shape;
    const char *probabilities; /* "softmax" or "sigmoid" if that is what the output is; otherwise NULL */
    double parameters;
    struct graph graph;            /* native */
    struct foreign_model *foreign; /* onnxruntime, otherwise NULL */
};

/* auto takes our own engine where our reader knows the whole model. STATUS_CONFIG if the outputs end with a softmax or
 * a sigmoid and may not (distillation with a temperature needs logits), or if nothing can run the model: what our
 * reader does not know, what kind of model it is, and what to install. */
enum status teacher_model_open(struct teacher_model *model, const struct teacher_model_request *request,
                               struct error *err);
/* The same for looking at any model: probabilities and inputs that are not square are allowed. */
enum status teacher_model_read(struct teacher_model *model, const struct teacher_model_request *request,
                               struct error *err);
void teacher_model_release(struct teacher_model *model); /* a zeroed one is allowed */

/* The shapes of tensors, by name. STATUS_CONFIG suggests similar names, or says that a tensor is not one map per
 * sample. */
enum status teacher_model_find(const struct teacher_model *model, const char *const *tensors, int count,
                               struct shape *shapes, struct error *err);

/* A line of `inspect`. */
struct teacher_tensor {
    const char *name, *op;
    struct shape shape; /* c is 0 if it cannot be a feature */
};
/* All tensors in order of computation; *list is malloc'ed, names are borrowed. */
enum status teacher_model_list(const struct teacher_model *model, struct teacher_tensor **list, int *count,
                               struct error *err);

/* "onnxruntime 1.32.0 (/usr/lib/libonnxruntime.so.1), as ..." or "native, ...": which engine, and why. */
void teacher_model_explain(const struct teacher_model *model, char *text, size_t size);
const char *teacher_model_version(const struct teacher_model *model); /* of onnxruntime; "" for our own engine */

#endif
