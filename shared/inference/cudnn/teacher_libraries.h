/* Everything that the engine needs from cuDNN and cuBLASLt, on one stream. The engine's other files know neither. */
#ifndef SHARED_INFERENCE_CUDNN_TEACHER_LIBRARIES_H
#define SHARED_INFERENCE_CUDNN_TEACHER_LIBRARIES_H

#include "shared/inference/cudnn/conv_problem.h"
#include "shared/inference/cuda/teacher_runner.h"
#include <cuda_runtime_api.h>

struct libraries;
struct conv_layer;
struct linear_layer;

/* options are borrowed until libraries_free. */
enum status libraries_new(struct libraries **out, const struct teacher_runner_options *options, cudaStream_t stream,
                          struct error *err);
/* For planning only: device_json describes a GPU that need not be in this machine. */
enum status libraries_new_without_gpu(struct libraries **out, const struct teacher_runner_options *options,
                                      const char *device_json, struct error *err);
void libraries_free(struct libraries *libraries);              /* NULL is allowed */
const char *libraries_name(const struct libraries *libraries); /* "cuDNN 9.19.0" */

/* The operands of a layer in device memory; bias and addend may be NULL. */
struct layer_memory {
    const void *x, *w, *bias, *addend;
    void *y, *workspace;
};

/* *layer stays NULL if cuDNN has no plan. *fused: addend and activation are part of the layer; otherwise only the bias
 * is. */
enum status conv_layer_new(struct conv_layer **layer, struct libraries *libraries, const struct conv_problem *problem,
                           bool *fused, struct error *err);
size_t conv_layer_workspace(const struct conv_layer *layer);
/* Once before the first run. */
enum status conv_layer_bind(struct conv_layer *layer, const struct layer_memory *memory, const char *name,
                            struct error *err);
enum status conv_layer_run(const struct conv_layer *layer, const char *name, struct error *err);
void conv_layer_free(struct conv_layer *layer); /* NULL is allowed */

/* y [batch, out] = relu?(x [batch, in] * w [out, in]^T + bias [out]), sums in float. x and w have the precision's
 * dtype; so have y and bias, unless float_output makes them float. */
struct linear_shape {
    int batch, in, out;
    bool has_bias, relu, float_output;
    enum precision precision;
};

/* *layer stays NULL if cuBLASLt has no algorithm (without a GPU it never has one). */
enum status linear_layer_new(struct linear_layer **layer, struct libraries *libraries, const struct linear_shape *shape,
                             struct error *err);
size_t linear_layer_workspace(const struct linear_layer *layer);
enum status linear_layer_bind(struct linear_layer *layer, const struct layer_memory *memory, struct error *err);
enum status linear_layer_run(const struct linear_layer *layer, const char *name, struct error *err);
void linear_layer_free(struct linear_layer *layer); /* NULL is allowed */

#endif
