/* The plan of the CPU engine: oneDNN primitives and kernels of our own in the order of their execution, on tensors
 * whose places in one arena are fixed once. A plan is read-only after onednn_plan_finish: every worker has its own
 * arena and runs the same plan.
 *
 * Only the onednn_*.c files include this header. */
#ifndef SHARED_INFERENCE_ONEDNN_ONEDNN_PLAN_H
#define SHARED_INFERENCE_ONEDNN_ONEDNN_PLAN_H

#include "shared/base/error.h"
#include "shared/base/memory.h"
#include "shared/graph/graph.h"
#include "shared/graph/plan_memory.h"
#include "shared/inference/onednn/lanes.h"
#include "shared/inference/onednn/onednn_api.h"

enum onednn_storage_kind {
    ONEDNN_ARENA,    /* at storage.life.offset of the worker's arena */
    ONEDNN_CONSTANT, /* storage.data: weights, the same for all workers */
    ONEDNN_CALLER,   /* the caller's input or output, set for every sample */
};

struct onednn_storage {
    enum onednn_storage_kind kind;
    struct lifetime life; /* its place in the arena, and the steps that use it */
    void *data;           /* owned */
};

/* A view of a storage. Several tensors may share a storage: a flattened map, a sum in place. */
struct onednn_tensor {
    const_dnnl_memory_desc_t md; /* of plan->mds; activations: [1, c, h, w] in any layout */
    int storage;
};

struct onednn_argument {
    int kind; /* DNNL_ARG_... */
    int tensor;
};

struct onednn_step {
    dnnl_primitive_t primitive; /* or NULL: */
    lanes_kernel *kernel;       /* of our own, */
    const void *setup;          /* with this */
    const char *name;           /* of the node */
    int first_argument, argument_count;
};

struct onednn_plan {
    dnnl_engine_t engine;
    dnnl_stream_t stream;             /* packs weights while the plan is made */
    dnnl_primitive_attr_t attributes; /* of a primitive without post-operations: its scratch memory is a tensor */
    struct arena memory;              /* of names and setups */
    const_dnnl_memory_desc_t *mds;    /* owned */
    struct onednn_storage *storages;
    struct onednn_tensor *tensors;
    struct onednn_step *steps;
    struct onednn_argument *arguments;
    int md_count, storage_count, tensor_count, step_count, argument_count;
    size_t md_capacity, storage_capacity, tensor_capacity, step_capacity, argument_capacity;
    size_t arena_bytes;
};

/* STATUS_OK, or STATUS_INTERNAL with the node's name and oneDNN's reason. */
enum status onednn_status(dnnl_status_t result, const char *node, struct error *err);

enum status onednn_plan_init(struct onednn_plan *plan, struct error *err);
void onednn_plan_release(struct onednn_plan *plan); /* a zeroed plan is allowed */

/* Attributes that give a primitive's scratch memory to the plan; *out is destroyed with dnnl_primitive_attr_destroy. */
enum status onednn_new_attributes(dnnl_primitive_attr_t *out, const char *name, struct error *err);

/* *md lives as long as the plan. dnnl_format_tag_any: oneDNN chooses the layout. */
enum status onednn_add_md(struct onednn_plan *plan, int rank, const dnnl_dims_t dims, dnnl_format_tag_t tag,
                          const_dnnl_memory_desc_t *md, struct error *err);
enum status onednn_add_map_md(struct onednn_plan *plan, struct shape shape, dnnl_format_tag_t tag,
                              const_dnnl_memory_desc_t *md, struct error *err);

/* A tensor with its own new storage. Here and below md is copied. */
enum status onednn_add_tensor(struct onednn_plan *plan, const_dnnl_memory_desc_t md, enum onednn_storage_kind kind,
                              int *tensor, struct error *err);
/* Another tensor in the storage of `of`. */
enum status onednn_add_view(struct onednn_plan *plan, int of, const_dnnl_memory_desc_t md, int *tensor,
                            struct error *err);
/* Weights, data in the layout `given`, packed into a constant tensor of the layout `wanted`. */
enum status onednn_add_constant(struct onednn_plan *plan, const char *name, const float *data,
                                const_dnnl_memory_desc_t given, const_dnnl_memory_desc_t wanted, int *tensor,
                                struct error *err);
/* The same values in the layout md: `tensor` itself if it has that layout, otherwise a reordered copy. */
enum status onednn_add_layout(struct onednn_plan *plan, const char *name, int tensor, const_dnnl_memory_desc_t md,
                              int *out, struct error *err);
enum status onednn_add_reorder(struct onednn_plan *plan, const char *name, int from, int to, struct error *err);
/* Appends the execution of descriptor's primitive with its scratch memory. Takes descriptor: it is destroyed in any
 * case. */
enum status onednn_add_step(struct onednn_plan *plan, const char *name, dnnl_primitive_desc_t descriptor,
                            const struct onednn_argument *arguments, int argument_count, struct error *err);
/* Appends a kernel of our own on tensors[count]. setup: in plan->memory. */
enum status onednn_add_kernel(struct onednn_plan *plan, const char *name, lanes_kernel *kernel, const void *setup,
                              const int *tensors, int count, struct error *err);
/* Places the storages in the arena: two share memory only if no step needs both. */
enum status onednn_plan_finish(struct onednn_plan *plan, struct error *err);

#endif
