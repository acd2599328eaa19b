/* Two implementations: of oneDNN 3.x, and of 2.6, where an operation's descriptor comes before the primitive's. */
#include "shared/inference/onednn/onednn_api.h"

#include <stdlib.h>

enum { CHANNELS = 1 }; /* the axis of [n, c, h, w] */

/* scales[count] of a sum: all 1. NULL without memory. */
static float *ones(int count)
{
    float *scales = malloc((size_t)count * sizeof *scales);
    for (int i = 0; scales && i < count; i++)
        scales[i] = 1;
    return scales;
}

#if DNNL_VERSION_MAJOR >= 3

dnnl_status_t onednn_md_new(const_dnnl_memory_desc_t *md, int rank, const dnnl_dims_t dims, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t made = NULL;
    const dnnl_status_t status = dnnl_memory_desc_create_with_tag(&made, rank, dims, dnnl_f32, tag);
    *md = made;
    return status;
}

dnnl_status_t onednn_md_clone(const_dnnl_memory_desc_t *md, const_dnnl_memory_desc_t from)
{
    dnnl_memory_desc_t made = NULL;
    const dnnl_status_t status = dnnl_memory_desc_clone(&made, from);
    *md = made;
    return status;
}

void onednn_md_free(const_dnnl_memory_desc_t md)
{
    if (md)
        dnnl_memory_desc_destroy((dnnl_memory_desc_t)md);
}

dnnl_status_t onednn_post_sum(dnnl_post_ops_t operations)
{
    return dnnl_post_ops_append_sum(operations, 1, 0, dnnl_data_type_undef);
}

dnnl_status_t onednn_post_eltwise(dnnl_post_ops_t operations, dnnl_alg_kind_t kind, float alpha, float beta)
{
    return dnnl_post_ops_append_eltwise(operations, kind, alpha, beta);
}

dnnl_status_t onednn_new_convolution(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const_dnnl_memory_desc_t source,
                                     const_dnnl_memory_desc_t weights, const_dnnl_memory_desc_t bias,
                                     const_dnnl_memory_desc_t target, const struct onednn_window *window,
                                     const_dnnl_primitive_attr_t attributes)
{
    return dnnl_convolution_forward_primitive_desc_create(out, engine, dnnl_forward_inference, dnnl_convolution_direct,
                                                          source, weights, bias, target, window->stride,
                                                          window->dilation, window->before, window->after, attributes);
}

dnnl_status_t onednn_new_inner_product(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                       const_dnnl_memory_desc_t source, const_dnnl_memory_desc_t weights,
                                       const_dnnl_memory_desc_t bias, const_dnnl_memory_desc_t target,
                                       const_dnnl_primitive_attr_t attributes)
{
    return dnnl_inner_product_forward_primitive_desc_create(out, engine, dnnl_forward_inference, source, weights, bias,
                                                            target, attributes);
}

dnnl_status_t onednn_new_pool(dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_alg_kind_t kind,
                              const_dnnl_memory_desc_t source, const_dnnl_memory_desc_t target,
                              const struct onednn_window *window, const_dnnl_primitive_attr_t attributes)
{
    return dnnl_pooling_forward_primitive_desc_create(out, engine, dnnl_forward_inference, kind, source, target,
                                                      window->stride, window->kernel, window->dilation, window->before,
                                                      window->after, attributes);
}

dnnl_status_t onednn_new_eltwise(dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_alg_kind_t kind,
                                 const_dnnl_memory_desc_t md, float alpha, float beta,
                                 const_dnnl_primitive_attr_t attributes)
{
    return dnnl_eltwise_forward_primitive_desc_create(out, engine, dnnl_forward_inference, kind, md, md, alpha, beta,
                                                      attributes);
}

dnnl_status_t onednn_new_batch_norm(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const_dnnl_memory_desc_t md,
                                    float epsilon, unsigned flags, const_dnnl_primitive_attr_t attributes)
{
    return dnnl_batch_normalization_forward_primitive_desc_create(out, engine, dnnl_forward_inference, md, md, epsilon,
                                                                  flags, attributes);
}

dnnl_status_t onednn_new_softmax(dnnl_primitive_desc_t *out, dnnl_engine_t engine, bool logarithm,
                                 const_dnnl_memory_desc_t md, const_dnnl_primitive_attr_t attributes)
{
    const dnnl_alg_kind_t kind = logarithm ? dnnl_softmax_log : dnnl_softmax_accurate;
    return dnnl_softmax_forward_primitive_desc_create(out, engine, dnnl_forward_inference, kind, md, md, CHANNELS,
                                                      attributes);
}

dnnl_status_t onednn_new_product(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const_dnnl_memory_desc_t md,
                                 const_dnnl_primitive_attr_t attributes)
{
    return dnnl_binary_primitive_desc_create(out, engine, dnnl_binary_mul, md, md, md, attributes);
}

dnnl_status_t onednn_new_sum(dnnl_primitive_desc_t *out, dnnl_engine_t engine, int count,
                             const const_dnnl_memory_desc_t *sources, const_dnnl_primitive_attr_t attributes)
{
    float *scales = ones(count);
    if (!scales)
        return dnnl_out_of_memory;
    const dnnl_status_t status = dnnl_sum_primitive_desc_create(out, engine, NULL, count, scales, sources, attributes);
    free(scales);
    return status;
}

dnnl_status_t onednn_new_concat(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const_dnnl_memory_desc_t target,
                                int count, const const_dnnl_memory_desc_t *sources,
                                const_dnnl_primitive_attr_t attributes)
{
    return dnnl_concat_primitive_desc_create(out, engine, target, count, CHANNELS, sources, attributes);
}

#else /* 2.6 */

dnnl_status_t onednn_md_new(const_dnnl_memory_desc_t *md, int rank, const dnnl_dims_t dims, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t *made = calloc(1, sizeof *made);
    *md = made;
    return made ? dnnl_memory_desc_init_by_tag(made, rank, dims, dnnl_f32, tag) : dnnl_out_of_memory;
}

dnnl_status_t onednn_md_clone(const_dnnl_memory_desc_t *md, const_dnnl_memory_desc_t from)
{
    dnnl_memory_desc_t *made = malloc(sizeof *made);
    if (made)
        *made = *from;
    *md = made;
    return made ? dnnl_success : dnnl_out_of_memory;
}

void onednn_md_free(const_dnnl_memory_desc_t md)
{
    free((dnnl_memory_desc_t *)md);
}

dnnl_status_t onednn_post_sum(dnnl_post_ops_t operations)
{
    return dnnl_post_ops_append_sum(operations, 1);
}

dnnl_status_t onednn_post_eltwise(dnnl_post_ops_t operations, dnnl_alg_kind_t kind, float alpha, float beta)
{
    return dnnl_post_ops_append_eltwise(operations, 1, kind, alpha, beta);
}

/* described: what the initialisation of the operation's descriptor returned. */
static dnnl_status_t new_primitive(dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_status_t described,
                                   const_dnnl_op_desc_t operation, const_dnnl_primitive_attr_t attributes)
{
    return described == dnnl_success ? dnnl_primitive_desc_create(out, operation, attributes, engine, NULL) : described;
}

dnnl_status_t onednn_new_convolution(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const_dnnl_memory_desc_t source,
                                     const_dnnl_memory_desc_t weights, const_dnnl_memory_desc_t bias,
                                     const_dnnl_memory_desc_t target, const struct onednn_window *window,
                                     const_dnnl_primitive_attr_t attributes)
{
    dnnl_convolution_desc_t operation;
    const dnnl_status_t described = dnnl_dilated_convolution_forward_desc_init(
        &operation, dnnl_forward_inference, dnnl_convolution_direct, source, weights, bias, target, window->stride,
        window->dilation, window->before, window->after);
    return new_primitive(out, engine, described, &operation, attributes);
}

dnnl_status_t onednn_new_inner_product(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                       const_dnnl_memory_desc_t source, const_dnnl_memory_desc_t weights,
                                       const_dnnl_memory_desc_t bias, const_dnnl_memory_desc_t target,
                                       const_dnnl_primitive_attr_t attributes)
{
    dnnl_inner_product_desc_t operation;
    const dnnl_status_t described =
        dnnl_inner_product_forward_desc_init(&operation, dnnl_forward_inference, source, weights, bias, target);
    return new_primitive(out, engine, described, &operation, attributes);
}

dnnl_status_t onednn_new_pool(dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_alg_kind_t kind,
                              const_dnnl_memory_desc_t source, const_dnnl_memory_desc_t target,
                              const struct onednn_window *window, const_dnnl_primitive_attr_t attributes)
{
    dnnl_pooling_v2_desc_t operation;
    const dnnl_status_t described =
        dnnl_pooling_v2_forward_desc_init(&operation, dnnl_forward_inference, kind, source, target, window->stride,
                                          window->kernel, window->dilation, window->before, window->after);
    return new_primitive(out, engine, described, &operation, attributes);
}

dnnl_status_t onednn_new_eltwise(dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_alg_kind_t kind,
                                 const_dnnl_memory_desc_t md, float alpha, float beta,
                                 const_dnnl_primitive_attr_t attributes)
{
    dnnl_eltwise_desc_t operation;
    const dnnl_status_t described =
        dnnl_eltwise_forward_desc_init(&operation, dnnl_forward_inference, kind, md, alpha, beta);
    return new_primitive(out, engine, described, &operation, attributes);
}

dnnl_status_t onednn_new_batch_norm(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const_dnnl_memory_desc_t md,
                                    float epsilon, unsigned flags, const_dnnl_primitive_attr_t attributes)
{
    dnnl_batch_normalization_desc_t operation;
    const dnnl_status_t described =
        dnnl_batch_normalization_forward_desc_init(&operation, dnnl_forward_inference, md, epsilon, flags);
    return new_primitive(out, engine, described, &operation, attributes);
}

dnnl_status_t onednn_new_softmax(dnnl_primitive_desc_t *out, dnnl_engine_t engine, bool logarithm,
                                 const_dnnl_memory_desc_t md, const_dnnl_primitive_attr_t attributes)
{
    dnnl_softmax_desc_t operation; /* dnnl_logsoftmax_desc_t is the same type */
    const dnnl_status_t described =
        logarithm ? dnnl_logsoftmax_forward_desc_init(&operation, dnnl_forward_inference, md, CHANNELS)
                  : dnnl_softmax_forward_desc_init(&operation, dnnl_forward_inference, md, CHANNELS);
    return new_primitive(out, engine, described, &operation, attributes);
}

dnnl_status_t onednn_new_product(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const_dnnl_memory_desc_t md,
                                 const_dnnl_primitive_attr_t attributes)
{
    dnnl_binary_desc_t operation;
    const dnnl_status_t described = dnnl_binary_desc_init(&operation, dnnl_binary_mul, md, md, md);
    return new_primitive(out, engine, described, &operation, attributes);
}

/* 2.x wants an array of the descriptors themselves. NULL without memory. */
static dnnl_memory_desc_t *in_a_row(const const_dnnl_memory_desc_t *mds, int count)
{
    dnnl_memory_desc_t *row = malloc((size_t)count * sizeof *row);
    for (int i = 0; row && i < count; i++)
        row[i] = *mds[i];
    return row;
}

dnnl_status_t onednn_new_sum(dnnl_primitive_desc_t *out, dnnl_engine_t engine, int count,
                             const const_dnnl_memory_desc_t *sources, const_dnnl_primitive_attr_t attributes)
{
    dnnl_memory_desc_t *row = in_a_row(sources, count);
    float *scales = ones(count);
    const dnnl_status_t status = row && scales
                                     ? dnnl_sum_primitive_desc_create(out, NULL, count, scales, row, attributes, engine)
                                     : dnnl_out_of_memory;
    free(scales);
    free(row);
    return status;
}

dnnl_status_t onednn_new_concat(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const_dnnl_memory_desc_t target,
                                int count, const const_dnnl_memory_desc_t *sources,
                                const_dnnl_primitive_attr_t attributes)
{
    dnnl_memory_desc_t *row = in_a_row(sources, count);
    const dnnl_status_t status =
        row ? dnnl_concat_primitive_desc_create(out, target, count, CHANNELS, row, attributes, engine)
            : dnnl_out_of_memory;
    free(row);
    return status;
}

#endif
