/* cuBLASLt is column-major, so the row-major product y = x w^T is written as y^T = w x^T: for cuBLASLt, w is a
 * transposed [in, out] matrix, x an [in, batch] one and y an [out, batch] one, and its epilogue adds the bias along y's
 * columns. */
#include "shared/inference/cudnn/libraries_state.h"

#include <stdlib.h>

static const char *const what = "a fully connected layer";

enum { LINEAR_WORKSPACE = 32 << 20 }; /* bytes, at most */

struct linear_layer {
    const struct libraries *libraries;
    struct layer_memory memory;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t w, x, y;
    cublasLtMatmulAlgo_t algorithm;
    size_t workspace;
};

static enum status check_call(const struct cublas_library *cublas, cublasStatus_t result, const char *name,
                              struct error *err)
{
    if (result == CUBLAS_STATUS_SUCCESS)
        return STATUS_OK;
    return error_set(err, STATUS_INTERNAL, NULL, "%s: cuBLASLt failed: %s", name,
                     cublas->cublasLtGetStatusString(result));
}

/* A call of cuBLASLt while a layer is made, with `cublas` in scope. */
#define CALL(function, ...) TRY(check_call(cublas, cublas->function(__VA_ARGS__), what, err))

static cudaDataType_t dtype_of(enum precision precision)
{
    return precision == PRECISION_FP16 ? CUDA_R_16F : precision == PRECISION_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

#define SET(attribute, value) CALL(cublasLtMatmulDescSetAttribute, layer->product, (attribute), &(value), sizeof(value))

static enum status describe(struct linear_layer *layer, const struct linear_shape *shape, struct error *err)
{
    enum status status = STATUS_OK;
    const struct cublas_library *cublas = &layer->libraries->cublas_library;
    const cublasComputeType_t compute =
        shape->precision == PRECISION_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    const cudaDataType_t in = dtype_of(shape->precision), out = shape->float_output ? CUDA_R_32F : in;
    const cublasOperation_t transposed = CUBLAS_OP_T, plain = CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogues[2][2] = {{CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_RELU},
                                                {CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_RELU_BIAS}};
    const cublasLtEpilogue_t epilogue = epilogues[shape->has_bias][shape->relu];
    CALL(cublasLtMatmulDescCreate, &layer->product, compute, CUDA_R_32F);
    SET(CUBLASLT_MATMUL_DESC_TRANSA, transposed);
    SET(CUBLASLT_MATMUL_DESC_TRANSB, plain);
    SET(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    const uint64_t rows = (uint64_t)shape->out, columns = (uint64_t)shape->batch, depth = (uint64_t)shape->in;
    CALL(cublasLtMatrixLayoutCreate, &layer->w, in, depth, rows, shape->in);
    CALL(cublasLtMatrixLayoutCreate, &layer->x, in, depth, columns, shape->in);
    CALL(cublasLtMatrixLayoutCreate, &layer->y, out, rows, columns, shape->out);
cleanup:
    return status;
}

/* The heuristic's best guess. That there is a bias must be known by then; where it lies is told later, and only how it
 * is aligned counts here: all of a plan's memory is aligned to 256 bytes. Partial sums stay float: no reduction in the
 * type of the output. */
static enum status choose(struct linear_layer *layer, cublasLtHandle_t handle, bool *found, struct error *err)
{
    enum status status = STATUS_OK;
    const struct cublas_library *cublas = &layer->libraries->cublas_library;
    cublasLtMatmulPreference_t preference = NULL;
    const uint64_t workspace = LINEAR_WORKSPACE;
    const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    cublasLtMatmulHeuristicResult_t result = {0};
    int count = 0;
    *found = false;
    CALL(cublasLtMatmulPreferenceCreate, &preference);
    CALL(cublasLtMatmulPreferenceSetAttribute, preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
         sizeof workspace);
    CALL(cublasLtMatmulPreferenceSetAttribute, preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions,
         sizeof reductions);
    cublasStatus_t answer = cublas->cublasLtMatmulAlgoGetHeuristic(handle, layer->product, layer->w, layer->x, layer->y,
                                                                   layer->y, preference, 1, &result, &count);
    if (answer == CUBLAS_STATUS_NOT_SUPPORTED)
        goto cleanup;
    TRY(check_call(cublas, answer, what, err));
    *found = count > 0 && result.state == CUBLAS_STATUS_SUCCESS;
    layer->algorithm = result.algo;
    layer->workspace = result.workspaceSize;
cleanup:
    if (preference)
        cublas->cublasLtMatmulPreferenceDestroy(preference);
    return status;
}

enum status linear_layer_new(struct linear_layer **out, struct libraries *libraries, const struct linear_shape *shape,
                             struct error *err)
{
    enum status status = STATUS_OK;
    const struct cublas_library *cublas = &libraries->cublas_library;
    bool found = false;
    *out = NULL;
    if (!libraries->cublas)
        return STATUS_OK;
    struct linear_layer *layer = calloc(1, sizeof *layer);
    if (!layer)
        return error_no_memory(err, sizeof *layer, "the teacher's plan");
    layer->libraries = libraries;
    TRY(describe(layer, shape, err));
    if (shape->has_bias) {
        const void *anywhere = (const void *)(uintptr_t)256;
        SET(CUBLASLT_MATMUL_DESC_BIAS_POINTER, anywhere);
    }
    TRY(choose(layer, libraries->cublas, &found, err));
    if (found) {
        *out = layer;
        layer = NULL;
    }
cleanup:
    linear_layer_free(layer);
    return status;
}

void linear_layer_free(struct linear_layer *layer)
{
    if (!layer)
        return;
    const struct cublas_library *cublas = &layer->libraries->cublas_library;
    const cublasLtMatrixLayout_t layouts[] = {layer->w, layer->x, layer->y};
    for (int i = 0; i < 3; i++)
        if (layouts[i])
            cublas->cublasLtMatrixLayoutDestroy(layouts[i]);
    if (layer->product)
        cublas->cublasLtMatmulDescDestroy(layer->product);
    free(layer);
}

size_t linear_layer_workspace(const struct linear_layer *layer)
{
    return layer->workspace;
}

enum status linear_layer_bind(struct linear_layer *layer, const struct layer_memory *memory, struct error *err)
{
    enum status status = STATUS_OK;
    const struct cublas_library *cublas = &layer->libraries->cublas_library;
    layer->memory = *memory;
    if (memory->bias)
        SET(CUBLASLT_MATMUL_DESC_BIAS_POINTER, memory->bias);
cleanup:
    return status;
}

enum status linear_layer_run(const struct linear_layer *layer, const char *name, struct error *err)
{
    const float one = 1, zero = 0;
    const struct layer_memory *memory = &layer->memory;
    const struct libraries *libraries = layer->libraries;
    const cublasStatus_t result = libraries->cublas_library.cublasLtMatmul(
        libraries->cublas, layer->product, &one, memory->w, layer->w, memory->x, layer->x, &zero, memory->y, layer->y,
        memory->y, layer->y, &layer->algorithm, memory->workspace, layer->workspace, libraries->stream);
    return check_call(&libraries->cublas_library, result, name, err);
}
