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

static enum status check(cublasStatus_t result, const char *name, struct error *err)
{
    if (result == CUBLAS_STATUS_SUCCESS)
        return STATUS_OK;
    return error_set(err, STATUS_INTERNAL, NULL, "%s: cuBLASLt failed: %s", name, cublasLtGetStatusString(result));
}

static cudaDataType_t dtype_of(enum precision precision)
{
    return precision == PRECISION_FP16 ? CUDA_R_16F : precision == PRECISION_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

#define SET(attribute, value) \
    TRY(check(cublasLtMatmulDescSetAttribute(layer->product, (attribute), &(value), sizeof(value)), what, err))

static enum status describe(struct linear_layer *layer, const struct linear_shape *shape, struct error *err)
{
    enum status status = STATUS_OK;
    const cublasComputeType_t compute =
        shape->precision == PRECISION_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    const cudaDataType_t in = dtype_of(shape->precision), out = shape->float_output ? CUDA_R_32F : in;
    const cublasOperation_t transposed = CUBLAS_OP_T, plain = CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogues[2][2] = {{CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_RELU},
                                                {CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_RELU_BIAS}};
    const cublasLtEpilogue_t epilogue = epilogues[shape->has_bias][shape->relu];
    TRY(check(cublasLtMatmulDescCreate(&layer->product, compute, CUDA_R_32F), what, err));
    SET(CUBLASLT_MATMUL_DESC_TRANSA, transposed);
    SET(CUBLASLT_MATMUL_DESC_TRANSB, plain);
    SET(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    const uint64_t rows = (uint64_t)shape->out, columns = (uint64_t)shape->batch, depth = (uint64_t)shape->in;
    TRY(check(cublasLtMatrixLayoutCreate(&layer->w, in, depth, rows, shape->in), what, err));
    TRY(check(cublasLtMatrixLayoutCreate(&layer->x, in, depth, columns, shape->in), what, err));
    TRY(check(cublasLtMatrixLayoutCreate(&layer->y, out, rows, columns, shape->out), what, err));
cleanup:
    return status;
}

/* The heuristic's best guess. Partial sums stay float: no reduction in the type of the output. */
static enum status choose(struct linear_layer *layer, cublasLtHandle_t handle, bool *found, struct error *err)
{
    enum status status = STATUS_OK;
    cublasLtMatmulPreference_t preference = NULL;
    const uint64_t workspace = LINEAR_WORKSPACE;
    const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    cublasLtMatmulHeuristicResult_t result = {0};
    int count = 0;
    *found = false;
    TRY(check(cublasLtMatmulPreferenceCreate(&preference), what, err));
    TRY(check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                                   sizeof workspace),
              what, err));
    TRY(check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions,
                                                   sizeof reductions),
              what, err));
    cublasStatus_t answer = cublasLtMatmulAlgoGetHeuristic(handle, layer->product, layer->w, layer->x, layer->y,
                                                           layer->y, preference, 1, &result, &count);
    if (answer == CUBLAS_STATUS_NOT_SUPPORTED)
        goto cleanup;
    TRY(check(answer, what, err));
    *found = count > 0 && result.state == CUBLAS_STATUS_SUCCESS;
    layer->algorithm = result.algo;
    layer->workspace = result.workspaceSize;
cleanup:
    if (preference)
        cublasLtMatmulPreferenceDestroy(preference);
    return status;
}

enum status linear_layer_new(struct linear_layer **out, struct libraries *libraries, const struct linear_shape *shape,
                             struct error *err)
{
    enum status status = STATUS_OK;
    bool found = false;
    *out = NULL;
    if (!libraries->cublas)
        return STATUS_OK;
    struct linear_layer *layer = calloc(1, sizeof *layer);
    if (!layer)
        return error_no_memory(err, sizeof *layer, "the teacher's plan");
    layer->libraries = libraries;
    TRY(describe(layer, shape, err));
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
    const cublasLtMatrixLayout_t layouts[] = {layer->w, layer->x, layer->y};
    for (int i = 0; i < 3; i++)
        if (layouts[i])
            cublasLtMatrixLayoutDestroy(layouts[i]);
    if (layer->product)
        cublasLtMatmulDescDestroy(layer->product);
    free(layer);
}

size_t linear_layer_workspace(const struct linear_layer *layer)
{
    return layer->workspace;
}

enum status linear_layer_bind(struct linear_layer *layer, const struct layer_memory *memory, struct error *err)
{
    enum status status = STATUS_OK;
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
    return check(cublasLtMatmul(layer->libraries->cublas, layer->product, &one, memory->w, layer->w, memory->x,
                                layer->x, &zero, memory->y, layer->y, memory->y, layer->y, &layer->algorithm,
                                memory->workspace, layer->workspace, layer->libraries->stream),
                 name, err);
}
