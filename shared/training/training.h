/* Training on a device: one table with a sub-table for each job, filled by the file that does it. The CPU's tables are
 * complete and the reference for CUDA's.
 *
 * Only prepare allocates, so that a whole training step can be captured as one graph. Results never depend on the
 * number of threads: partial sums are per sample or per fixed slice and are added in order. */
#ifndef SHARED_TRAINING_TRAINING_H
#define SHARED_TRAINING_TRAINING_H

#include "shared/device/device.h"
#include "shared/graph/plan.h"
#include "shared/training/losses/losses.h"

/* Students that are trained side by side share the data and the structure. Each has its own weights, loss parameters,
 * learning rates and dropout masks. */
enum { TRAINING_MAX_STUDENTS = 64 };

/* A network's memory on the device: each array once for every student, one after the other; offsets in the plan count
 * from the start of a student's copy. The network's input is shared: it lies in the first student's copy. All pointers
 * are device memory. */
struct network_memory {
    int students;               /* 1 <= students <= TRAINING_MAX_STUDENTS */
    void *values;               /* [students][plan->value_count] of plan->dtype */
    void *gradients;            /* [students][plan->gradient_count] of plan->dtype */
    float *parameters;          /* [students][plan->parameter_count] */
    float *rounded;             /* [students][plan->parameter_count] the weights of plan->roundings as layers see them,
                                 * which forward fills in from its first step on; NULL if there are none */
    float *parameter_gradients; /* [students][plan->parameter_count]; backward overwrites them, and adds up twins */
    float *state;               /* [students][plan->state_count] running statistics, which forward updates in
                                * training, and constants */
    float *statistics;          /* [students][plan->statistics_count] */
    void *workspace;            /* private to the backend, made by network_ops.prepare */
};

/* The numbers of a weight of the first student as a layer sees them, NULL if the step has no such weight; and where its
 * gradient goes, NULL if it is not trained. weight_stride: floats to the next student's. */
static inline float *weight_values(const struct network_memory *memory, struct plan_weight weight)
{
    float *const from = !weight.trained ? memory->state : weight.int8 ? memory->rounded : memory->parameters;
    return plan_has(weight) ? from + weight.offset : NULL;
}
static inline float *weight_gradient(const struct network_memory *memory, struct plan_weight weight)
{
    return plan_has(weight) && weight.trained ? memory->parameter_gradients + weight.gradient : NULL;
}
static inline size_t weight_stride(const struct plan *plan, struct plan_weight weight)
{
    return weight.trained ? plan->parameter_count : plan->state_count;
}

/* ---- the epoch inputs ---- */
/* What one step reads for one student. */
struct step_scalars {
    uint64_t seed;                        /* for dropout: masks are functions of (seed, step, layer, element) */
    uint64_t step;                        /* number of optimiser steps before this one */
    double learning_rate;                 /* of this step */
    double correction1, root_correction2; /* Adam: 1 - beta1^(step + 1), sqrt(1 - beta2^(step + 1)) */
    float weights[LOSS_MAX_TERMS];        /* of the loss terms */
    uint32_t rows[LOSS_MAX_TERMS];        /* term i on features sees the step's first rows[i] slots: those whose views
                                             have the features come first. At most the step's slots, which may be fewer
                                             than a batch in the last step of a pass. Terms on logits see all slots. */
};

/* Everything that the steps of a pass over the data read from the host. It is uploaded once per pass, so that no step
 * waits for the host and one captured graph serves all steps. Step s works on slots [s * batch, s * batch + count). All
 * pointers are device memory. shared/training/epoch_inputs.h makes and fills epoch inputs. */
struct epoch_inputs {
    int batch, students, classes;
    size_t capacity;              /* slots, a multiple of batch */
    uint32_t *cursor;             /* [1] s, the current step; advance increments it */
    struct view *views;           /* [capacity] */
    uint32_t *samples;            /* [capacity] indices of images */
    uint32_t *numbers;            /* [capacity] which view of its sample each slot is */
    int32_t *labels;              /* [capacity], -1: the sample has no label */
    float *teacher;               /* [capacity, classes] the teacher's logits, or NULL */
    struct step_scalars *scalars; /* [capacity / batch, students] */
    int32_t *predictions;         /* [students, capacity] written by metrics: the classes of the largest logits */
    /* mixed pictures (mixup, cutmix); all NULL if the recipe does not mix */
    struct view_mix *mixes;     /* [capacity]; with VIEW_MIX_NONE the partner is the sample itself */
    struct view *partner_views; /* [capacity] of the other picture */
    uint32_t *partners;         /* [capacity] indices of images */
    int32_t *partner_labels;    /* [capacity] */
};

/* The progress of a pass: host memory that the device writes to while the host reads. */
struct mailbox {
    volatile uint64_t steps; /* done since the cursor was 0 */
    volatile double loss;    /* METRIC_LOSS of the first student after these steps */
    volatile double samples; /* METRIC_SAMPLES of the first student */
};

struct pass {
    int count;                         /* samples in this batch, 1 <= count <= plan->batch */
    bool training;                     /* batch statistics and dropout; otherwise running statistics */
    bool settled;                      /* training: with running statistics and ranges that no longer move */
    const struct epoch_inputs *inputs; /* read by dropout in training; otherwise it may be NULL */
};

/* Does the pass make statistics and ranges of what it sees? */
static inline bool pass_observes(const struct pass *pass)
{
    return pass->training && !pass->settled;
}

/* ---- optimiser ---- */
enum optimizer_kind { OPTIMIZER_SGD, OPTIMIZER_ADAM, OPTIMIZER_ADAMW };
struct optimizer { /* double, as PyTorch's scalars */
    enum optimizer_kind kind;
    double weight_decay, momentum, beta1, beta2, epsilon;
    bool nesterov;
    double clip; /* 0: none; otherwise gradients are scaled by min(1, clip / (norm + 1e-6)), as clip_grad_norm_ does */
};
struct optimizer_memory { /* device memory, [students, count] each */
    float *parameters, *gradients;
    float *first, *second; /* moments; SGD: first is the momentum buffer */
    const unsigned char
        *decays;  /* [count], for all students: 0 where a parameter has no weight decay; NULL: all have */
    double *norm; /* [students] receives the gradient norm before clipping */
};

/* What a pass over data adds up on the device; downloaded once per epoch. */
enum {
    METRIC_LOSS,
    METRIC_CORRECT,
    METRIC_LABELLED,
    METRIC_AGREE,
    METRIC_SAMPLES,
    METRIC_TERMS,                                /* for each term the sum of value * rows */
    METRIC_ROWS = METRIC_TERMS + LOSS_MAX_TERMS, /* for each term the rows that it saw */
    METRIC_COUNT = METRIC_ROWS + LOSS_MAX_TERMS
};

/* ---- the tables ---- */
struct network_ops {
    /* Makes and frees the workspace of a plan: once, before the first pass. STATUS_CONFIG: the backend does not compute
     * with the plan's dtype. */
    enum status (*prepare)(struct device *device, const struct plan *plan, int students, void **workspace,
                           struct error *err);
    void (*release)(struct device *device, void *workspace);
    /* Runs steps [first, last) of the plan: forward in this order, backward from last - 1 down to first. Backward
     * expects dL/dlogits in the output tensor's gradient, which is float whatever plan->dtype is. */
    enum status (*forward)(struct device *device, const struct plan *plan, const struct network_memory *memory,
                           const struct pass *pass, int first, int last, struct error *err);
    enum status (*backward)(struct device *device, const struct plan *plan, const struct network_memory *memory,
                            const struct pass *pass, int first, int last, struct error *err);
};

/* Losses and metrics of the current step of the epoch inputs. */
struct loss_ops {
    /* Bytes of scratch memory that a term needs for one student. */
    size_t (*scratch)(const struct loss_term *term, const struct loss_shape *shape);
    /* Adds a term, with weight = the step's weights[index], rows = the step's rows[index], value = the term's
     * unweighted mean over the rows:
     *     batch->gradient, batch->student_gradient += weight * the derivatives of value
     *     batch->parameter_gradients                = weight * the derivatives of value
     *     metrics[METRIC_LOSS]          += weight * value * count
     *     metrics[METRIC_TERMS + index] += value * rows
     *     metrics[METRIC_ROWS + index]  += rows, if batch->part is 0
     * Without rows it adds nothing. terms: [students] of one kind, host memory. */
    enum status (*add)(struct device *device, const struct loss_term *terms, int index, const struct loss_batch *batch,
                       struct error *err);
    /* Counts predictions: adds to METRIC_CORRECT, METRIC_LABELLED, METRIC_AGREE (the teacher predicts the same class)
     * and METRIC_SAMPLES, and writes the epoch inputs' predictions. */
    enum status (*metrics)(struct device *device, const struct loss_batch *batch, struct error *err);
};

/* Features: what terms compare beside the logits. rows: the scalars' rows[index], the step's first ones. */
struct feature_ops {
    /* teacher[rows, h, w, channels] = the stored features of the step's views, averaged by adaptive_avg_pool2d down to
     * h x w if the store has a larger map. store NULL: the epoch inputs' logits of the teacher, 1 x 1 x classes. The
     * rows are the first student's. */
    enum status (*read_teacher)(struct device *device, const struct feature_store *store,
                                const struct epoch_inputs *inputs, int index, int h, int w, float *teacher,
                                struct error *err);
    /* out[students][rows, h, w, channels], `stride` floats from one student to the next = the feature's tensor after
     * forward, with its epilogue applied (see plan.h), averaged in the same way. */
    enum status (*read_student)(struct device *device, const struct plan *plan, const struct network_memory *memory,
                                const struct pass *pass, int index, const struct student_feature *feature, float *out,
                                size_t stride, struct error *err);
    /* The reverse: the tensor's gradient (of plan->dtype) += what gradient[students][rows, h, w, channels] gives it;
     * slots from rows on get nothing. `first`: = instead of +=, and slots from rows to count become 0. */
    enum status (*add_gradient)(struct device *device, const struct plan *plan, const struct network_memory *memory,
                                const struct pass *pass, int index, const struct student_feature *feature,
                                const float *gradient, size_t stride, bool first, struct error *err);
};

struct optimizer_ops {
    enum status (*step)(struct device *device, const struct optimizer *optimizer, const struct optimizer_memory *memory,
                        size_t count, const struct epoch_inputs *inputs, struct error *err);
    /* average[i] = d * average[i] + (1 - d) * values[i]; d is `decay`, and 0 copies. inputs: NULL, or of a step with n
     * steps before it: then d is at most (1 + n) / (10 + n), so that the average forgets the initial weights within a
     * short run, too (as TensorFlow's ExponentialMovingAverage with num_updates). */
    enum status (*ema_update)(struct device *device, float *average, const float *values, size_t count, double decay,
                              const struct epoch_inputs *inputs, struct error *err);
};

struct training_ops {
    const struct device_ops *device; /* the device whose memory and images it works on */
    const struct network_ops *network;
    const struct loss_ops *losses;
    const struct feature_ops *features;
    const struct optimizer_ops *optimizer;
    /* Ends a step: increments the cursor and writes the first student's metrics to the mailbox. */
    enum status (*advance)(struct device *device, const struct epoch_inputs *inputs, const double *metrics,
                           struct mailbox *mailbox, struct error *err);
};

#endif
