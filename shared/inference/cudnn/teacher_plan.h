/* The teacher's pass as a list of steps over values whose places in device memory are fixed once.
 *
 * Values are [batch, h, w, channels]: channels are rounded up to 16 bytes, so that every kernel moves whole vectors and
 * tensor cores get the multiples that they need. Weights have zeros there, so the added channels of a value, which hold
 * any finite numbers, never matter. */
#ifndef SHARED_INFERENCE_CUDNN_TEACHER_PLAN_H
#define SHARED_INFERENCE_CUDNN_TEACHER_PLAN_H

#include "shared/graph/plan_memory.h"
#include "shared/inference/cudnn/conv_problem.h"
#include "shared/inference/cudnn/teacher_kernels.h"
#include "shared/inference/cudnn/teacher_libraries.h"
#include "shared/inference/cuda/teacher_runner.h"

enum { NO_VALUE = -1 };
#define NO_WEIGHTS ((size_t)-1)

struct planned_value {
    struct shape shape;
    int channels; /* stored */
    enum dtype type;
    struct lifetime life; /* its place in the memory of values, and the steps that use it */
};

enum teacher_step_kind {
    TEACHER_CONV,        /* cuDNN */
    TEACHER_DIRECT_CONV, /* our own */
    TEACHER_DEPTHWISE,
    TEACHER_LINEAR, /* cuBLASLt */
    TEACHER_COMBINE,
    TEACHER_AFFINE,
    TEACHER_PRELU,
    TEACHER_MULTIPLY,
    TEACHER_LAYER_NORM,
    TEACHER_LP_NORM,
    TEACHER_GROUP_NORM,
    TEACHER_SELECT,
    TEACHER_RESIZE,
    TEACHER_POOL,
    TEACHER_GLOBAL_POOL,
    TEACHER_COPY_CHANNELS,
    TEACHER_PAD,
    TEACHER_FLATTEN,
    TEACHER_SOFTMAX,
    TEACHER_LOG_SOFTMAX,
};

struct teacher_step {
    enum teacher_step_kind kind;
    const char *name;                  /* of the node; owned by the plan */
    int node;                          /* of the folded graph, for its weights */
    int x, second, y;                  /* values; second: addend, gate, or NO_VALUE */
    struct conv_problem conv;          /* of convolutions, and of linear layers as convolutions */
    struct pointwise pointwise;        /* COMBINE, AFFINE */
    struct teacher_window window;      /* POOL */
    struct padding padding;            /* PAD */
    size_t scale_positions;            /* AFFINE */
    int groups, p;                     /* GROUP_NORM, LP_NORM */
    float epsilon;                     /* of norms */
    enum pool_kind pool;               /* POOL */
    int to;                            /* COPY_CHANNELS: first channel of y */
    size_t weights, bias;              /* offsets in the memory of weights, or NO_WEIGHTS; AFFINE: scale and shift,
                                        * SELECT: channels, RESIZE: taps of rows and columns */
    struct conv_layer *conv_layer;     /* of CONV */
    bool fused;                        /* CONV: the layer computes addend and activation too */
    struct linear_layer *linear_layer; /* of LINEAR */
};

struct teacher_plan {
    struct arena arena; /* owns names and outputs */
    struct teacher_step *steps;
    struct planned_value *values;
    int step_count, value_count;
    size_t step_capacity, value_capacity;
    int batch;
    enum precision precision;
    int input;    /* value, in memory of its own */
    int *outputs; /* [output_count] values */
    int output_count;
    int conv_count, conv_planned, conv_fused; /* for reports */
    size_t value_bytes, weight_bytes, workspace;
};

size_t teacher_value_bytes(const struct teacher_plan *plan, int value);

/* Appends a value of that shape, or a step; *index gets its number (may be NULL for steps). */
enum status teacher_plan_value(struct teacher_plan *plan, struct shape shape, int *index, struct error *err);
enum status teacher_plan_step(struct teacher_plan *plan, const struct teacher_step *step, struct error *err);

/* The steps that compute the nodes wanted[wanted_count] of a folded graph, which is borrowed. plan is zeroed except for
 * batch and precision. STATUS_BAD_DATA names an operator that is not supported. (teacher_compile.c) */
enum status teacher_compile(struct teacher_plan *plan, const struct graph *graph, const int *wanted, int wanted_count,
                            struct error *err);
/* Plans the layers: by cuDNN and cuBLASLt if they can, otherwise by our own kernels. (teacher_layers.c) */
enum status teacher_plan_layers(struct teacher_plan *plan, struct libraries *libraries, struct error *err);
/* Place values and weights in memory and set value_bytes and weight_bytes. (teacher_plan.c, teacher_weights.c) */
enum status teacher_place_values(struct teacher_plan *plan, struct error *err);
void teacher_place_weights(struct teacher_plan *plan, const struct graph *graph);
/* Converts all weights into memory[plan->weight_bytes], zeroed. STATUS_CONFIG for weights that fp16 cannot hold. */
enum status teacher_pack_weights(const struct teacher_plan *plan, const struct graph *graph, unsigned char *memory,
                                 struct error *err);
void teacher_plan_release(struct teacher_plan *plan);

#endif
