/* A model that our reader does not know, as onnxruntime sees it. */
#ifndef TEACHER_DUMP_FOREIGN_MODEL_H
#define TEACHER_DUMP_FOREIGN_MODEL_H

#include "formats/onnx/onnx_outline.h"
#include "shared/inference/onnxruntime/onnxruntime_engine.h"

struct foreign_model {
    const char *path; /* borrowed */
    char *weights;    /* NULL, or the folder where the weights lie */
    unsigned char *bytes;
    size_t size;
    struct onnx_outline outline;
    const struct onnxruntime_ops *ops;
    const char *version, *library;
    struct onnxruntime_tensor input; /* for a run of `batch` samples */
    int batch;                       /* samples per run that the model is looked at with */
    bool any_batch;                  /* it runs with any number of samples; otherwise only with `batch` */
    struct onnxruntime_tensor logits;
    size_t memory; /* as in struct onnxruntime_model */
};

/* Finds softcache_onnxruntime.so and libonnxruntime. STATUS_CONFIG. */
enum status foreign_model_library(const struct onnxruntime_ops **ops, const char **version, const char **library,
                                  struct error *err);

/* bytes: of onnx_file_read (apart: of onnx_file_read_apart), taken over also on failure. size: side of the input if the
 * file leaves it open. memory: bytes that it may take on the host, 0: what is available. Runs the model once.
 * STATUS_CONFIG, STATUS_BAD_DATA. */
enum status foreign_model_open(struct foreign_model **out, const char *path, unsigned char *bytes, size_t length,
                               bool apart, int size, size_t memory, struct error *err);
void foreign_model_free(struct foreign_model *model); /* NULL is allowed */

bool foreign_model_has(const struct foreign_model *model, const char *tensor);
/* Fills tensors[count], whose names are set and exist, by running the model once. */
enum status foreign_model_look(const struct foreign_model *model, struct onnxruntime_tensor *tensors, int count,
                               struct error *err);

/* What an engine needs: *bytes (malloc'ed) and *model, with tensors[count] (the logits, then features) as outputs and
 * `batch` samples per run, or as many as the model runs with. */
enum status foreign_model_make(const struct foreign_model *foreign, struct onnxruntime_tensor *tensors, int count,
                               int batch, unsigned char **bytes, struct onnxruntime_model *model, struct error *err);

#endif
