/* A backend: one table of functions, chosen at run time. The CPU backend is complete and the reference of the CUDA
 * backend.
 *
 * Pointers named `device memory` come from buffer_new and are only dereferenced by the backend itself. Every call may
 * be asynchronous on the device's one stream, in order; download and synchronise wait. No call of the network, loss,
 * optimiser or data groups allocates, so that a whole training step can be captured as one CUDA graph. Results never
 * depend on the number of threads: partial sums are per sample or per fixed slice and added in order. */
#ifndef SHARED_BACKEND_BACKEND_H
#define SHARED_BACKEND_BACKEND_H

#include "shared/augment/view.h"
#include "shared/backend/inference.h"
#include "shared/base/error.h"
#include "shared/graph/plan.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device;

struct device_options {
    int index;           /* of the GPU */
    int threads;         /* CPU: 0 means all processors */
    size_t memory_limit; /* bytes of GPU memory to use, 0: what is free */
};

/* A network's memory on the device; offsets in the plan count from these. All device memory, float. */
struct network_memory {
    float *values;              /* [plan->value_count] */
    float *gradients;           /* [plan->gradient_count] */
    float *parameters;          /* [plan->parameter_count] */
    float *parameter_gradients; /* [plan->parameter_count], written by backward (not accumulated) */
    float *state;               /* [plan->state_count] running statistics, updated by forward in training */
    float *statistics;          /* [plan->statistics_count] */
    void *workspace;            /* the backend's own, made by network_prepare */
};

struct pass {
    int count;     /* samples in this batch, 1 <= count <= plan->batch */
    bool training; /* batch statistics and dropout; otherwise running statistics */
    uint64_t seed; /* dropout: masks are functions of (seed, step_number, step, element) */
    uint64_t step_number;
};

/* ---- losses ---- */
enum loss_kind { LOSS_CE, LOSS_KD, LOSS_KIND_COUNT };
enum loss_reduction { REDUCTION_BATCHMEAN, REDUCTION_MEAN };

struct loss_term {
    enum loss_kind kind;
    float weight;
    float label_smoothing;         /* ce: PyTorch's meaning, target = (1 - s) * onehot + s / classes */
    float temperature;             /* kd: T^2 * KL(softmax(teacher / T) || softmax(student / T)) */
    enum loss_reduction reduction; /* kd: sum over classes / samples, or mean over both */
};

struct loss_batch {
    int count, classes;
    const float *logits;         /* [count, classes] of the student */
    const float *teacher_logits; /* [count, classes] */
    const int32_t *labels;       /* [count], -1: the sample has no label and adds nothing to ce */
    float *gradient;             /* [count, classes] += weight * dL/dlogits */
};

/* ---- optimiser ---- */
enum optimizer_kind { OPTIMIZER_SGD, OPTIMIZER_ADAM, OPTIMIZER_ADAMW };
struct optimizer_step {
    enum optimizer_kind kind;
    double learning_rate, weight_decay, momentum, beta1, beta2, epsilon; /* double, as PyTorch's scalars */
    bool nesterov;
    double clip;      /* 0: none; otherwise gradients are scaled by min(1, clip / (norm + 1e-6)) as clip_grad_norm_ */
    uint64_t step;    /* 1 for the first */
    double ema_decay; /* 0: no moving average */
};
struct optimizer_memory { /* device memory, [count] each */
    float *parameters, *gradients;
    float *first, *second; /* moments; SGD: first is the momentum buffer */
    float *average;        /* EMA of the parameters, or NULL */
    double *norm;          /* [1] gets the gradient norm before clipping */
};

/* What a pass over data adds up on the device; downloaded once an epoch. */
enum {
    METRIC_LOSS,
    METRIC_CORRECT,
    METRIC_LABELLED,
    METRIC_AGREE,
    METRIC_SAMPLES,
    METRIC_TERMS,
    METRIC_COUNT = METRIC_TERMS + 16
};

/* Base images (with their pyramids) where the device wants them. */
struct device_images;

struct backend {
    const char *name; /* "cpu", "cuda" */
    /* Opens a device. STATUS_CONFIG says why there is none. */
    enum status (*device_new)(struct device **out, const struct device_options *options, struct error *err);
    void (*device_free)(struct device *device);
    const char *(*describe)(const struct device *device); /* "CPU, 2 threads, AVX-512", "NVIDIA H100, 80 GB" */

    enum status (*buffer_new)(struct device *device, size_t bytes, const char *what, void **out, struct error *err);
    void (*buffer_free)(struct device *device, void *buffer);
    enum status (*upload)(struct device *device, void *to, const void *from, size_t bytes, struct error *err);
    enum status (*download)(struct device *device, void *to, const void *from, size_t bytes, struct error *err);
    enum status (*zero)(struct device *device, void *to, size_t bytes, struct error *err);

    /* ---- network ---- */
    /* Makes and frees the workspace of a plan: once, before the first pass. */
    enum status (*network_prepare)(struct device *device, const struct plan *plan, void **workspace, struct error *err);
    void (*network_release)(struct device *device, void *workspace);
    /* Runs steps [first, last) of the plan, forward; or last-1 down to first, backward. Backward expects dL/dlogits in
     * the output tensor's gradient. */
    enum status (*forward)(struct device *device, const struct plan *plan, const struct network_memory *memory,
                           const struct pass *pass, int first, int last, struct error *err);
    enum status (*backward)(struct device *device, const struct plan *plan, const struct network_memory *memory,
                            const struct pass *pass, int first, int last, struct error *err);

    /* ---- losses, metrics, optimiser ---- */
    /* Adds the term's gradient, and its value (unweighted, mean over the batch) * count to metrics[METRIC_TERMS +
     * index], weighted to metrics[METRIC_LOSS]. metrics is device memory, double[METRIC_COUNT]. batch->gradient NULL:
     * value only. */
    enum status (*loss)(struct device *device, const struct loss_term *term, int index, const struct loss_batch *batch,
                        double *metrics, struct error *err);
    /* Adds correct, labelled, agreeing with the teacher's argmax, samples. predictions (may be NULL): int32 [count]
     * argmax. */
    enum status (*metrics)(struct device *device, const struct loss_batch *batch, double *metrics, int32_t *predictions,
                           struct error *err);
    enum status (*optimize)(struct device *device, const struct optimizer_step *step,
                            const struct optimizer_memory *memory, size_t count, struct error *err);

    /* ---- data ---- */
    enum status (*images_new)(struct device *device, uint32_t count, int channels, struct device_images **out,
                              struct error *err);
    /* Hands over image i; base->pixels is taken (and *base zeroed). Thread-safe. */
    enum status (*images_put)(struct device *device, struct device_images *images, uint32_t i, struct image *base,
                              struct error *err);
    void (*images_free)(struct device *device, struct device_images *images);
    /* out[count, size, size, channels] = normalised views; views[i] of image indices[i]. views, indices: host memory.
     */
    enum status (*render)(struct device *device, struct device_images *images, const struct view *views,
                          const uint32_t *indices, int count, int size, float table[3][256], float *out,
                          struct error *err);

    const struct inference_ops *inference; /* stage one's engine */
};

/* "cpu", "cuda", "cuda:1", "auto" -> the backend and the device's index. STATUS_CONFIG says why a device cannot be had;
 * *why (may be NULL) says why auto chose the CPU. The only file that knows which backends exist is registry.c. */
enum status backend_find(const char *device, const struct backend **backend, int *index, const char **why,
                         struct error *err);

extern const struct backend backend_cpu;

#endif
