/* What the engine calls of oneDNN where 2.x and 3.x differ, in the form of 3.x: memory descriptors are opaque, and one
 * call makes a primitive's descriptor. All primitives are for inference, in fp32. What is the same in both comes from
 * dnnl.h, which only this header includes. */
#ifndef SHARED_INFERENCE_ONEDNN_ONEDNN_API_H
#define SHARED_INFERENCE_ONEDNN_ONEDNN_API_H

#include <dnnl.h>
#include <stdbool.h>

#if DNNL_VERSION_MAJOR < 3
typedef const dnnl_memory_desc_t *const_dnnl_memory_desc_t; /* as 3.x calls it */
#endif

/* *md is freed with onednn_md_free. tag: of `rank` letters, or dnnl_format_tag_any. */
dnnl_status_t onednn_md_new(const_dnnl_memory_desc_t *md, int rank, const dnnl_dims_t dims, dnnl_format_tag_t tag);
dnnl_status_t onednn_md_clone(const_dnnl_memory_desc_t *md, const_dnnl_memory_desc_t from);
void onednn_md_free(const_dnnl_memory_desc_t md); /* NULL is allowed */

/* What follows a primitive: + what its destination holds, or an elementwise operation. */
dnnl_status_t onednn_post_sum(dnnl_post_ops_t operations);
dnnl_status_t onednn_post_eltwise(dnnl_post_ops_t operations, dnnl_alg_kind_t kind, float alpha, float beta);

/* An axis of a window, [0] of height and [1] of width: dilation is 0 where neighbours are read. */
struct onednn_window {
    dnnl_dims_t kernel, stride, dilation, before, after; /* kernel: of pools only; before, after: padding */
};

/* *out is destroyed with dnnl_primitive_desc_destroy. bias: NULL without one. */
dnnl_status_t onednn_new_convolution(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const_dnnl_memory_desc_t source,
                                     const_dnnl_memory_desc_t weights, const_dnnl_memory_desc_t bias,
                                     const_dnnl_memory_desc_t target, const struct onednn_window *window,
                                     const_dnnl_primitive_attr_t attributes);
dnnl_status_t onednn_new_inner_product(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                       const_dnnl_memory_desc_t source, const_dnnl_memory_desc_t weights,
                                       const_dnnl_memory_desc_t bias, const_dnnl_memory_desc_t target,
                                       const_dnnl_primitive_attr_t attributes);
dnnl_status_t onednn_new_pool(dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_alg_kind_t kind,
                              const_dnnl_memory_desc_t source, const_dnnl_memory_desc_t target,
                              const struct onednn_window *window, const_dnnl_primitive_attr_t attributes);
/* These three write the layout that they read, md. The softmax is over the channels. */
dnnl_status_t onednn_new_eltwise(dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_alg_kind_t kind,
                                 const_dnnl_memory_desc_t md, float alpha, float beta,
                                 const_dnnl_primitive_attr_t attributes);
dnnl_status_t onednn_new_batch_norm(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const_dnnl_memory_desc_t md,
                                    float epsilon, unsigned flags, const_dnnl_primitive_attr_t attributes);
dnnl_status_t onednn_new_softmax(dnnl_primitive_desc_t *out, dnnl_engine_t engine, bool logarithm,
                                 const_dnnl_memory_desc_t md, const_dnnl_primitive_attr_t attributes);
/* The product of two values of the same layout. */
dnnl_status_t onednn_new_product(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const_dnnl_memory_desc_t md,
                                 const_dnnl_primitive_attr_t attributes);
/* sources[count]. The sum's target has a layout of oneDNN's choice; the concat is along the channels. */
dnnl_status_t onednn_new_sum(dnnl_primitive_desc_t *out, dnnl_engine_t engine, int count,
                             const const_dnnl_memory_desc_t *sources, const_dnnl_primitive_attr_t attributes);
dnnl_status_t onednn_new_concat(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const_dnnl_memory_desc_t target,
                                int count, const const_dnnl_memory_desc_t *sources,
                                const_dnnl_primitive_attr_t attributes);

#endif
