/* Training and evaluating one network, or several of one structure side by side: render views, forward, losses,
 * backward, optimiser. The loop over epochs is fit_loop.c's.
 *
 * An epoch is prepared on the host as epoch inputs (trainer_feed.c), uploaded once, and then runs step by step on the
 * device without waiting for the host (trainer_step.c); the epoch inputs of the next epoch is prepared meanwhile. */
#ifndef STUDENT_TRAIN_TRAINER_TRAINER_H
#define STUDENT_TRAIN_TRAINER_TRAINER_H

#include "shared/training/epoch_inputs.h"
#include "shared/training/network.h"
#include "student_train/trainer/dataset.h"
#include "student_train/loss/loss_values.h"
#include "student_train/trainer/schedule.h"

struct trainer_options {
    int batch;
    enum dtype dtype; /* that activations are stored in */
    struct optimizer optimizer;
    double ema_decay; /* moving average of the weights; 0: none */
    uint64_t seed;    /* of the order of samples and views */
    bool sequential;  /* --order sequential */
};

/* What students side by side may differ in. Their losses are alike (loss_expression_alike). */
struct trainer_student {
    const struct loss_expression *loss; /* borrowed */
    struct schedule schedule;
    uint64_t seed; /* of dropout */
};

/* Device memory, [students][plan.parameter_count] and [students][plan.state_count] floats. What a checkpoint holds. */
struct trainer_memory {
    float *first, *second;          /* moments; SGD: first is the momentum buffer */
    float *average, *average_state; /* moving averages of parameters and running statistics, or NULL */
};

/* The values that the loss's terms compare, in device memory: one buffer each, as loss_values lists them. Absent where
 * the loss looks at logits only, or nothing is trained. */
struct trainer_values {
    float *teacher[LOSS_ALL_PAIRS];                            /* [batch, h, w, channels] of a source */
    float *student[LOSS_ALL_PAIRS], *gradient[LOSS_ALL_PAIRS]; /* [students][batch, h, w, channels] of a tap */
    void *scratch;                                             /* [students][scratch_stride bytes] */
    size_t scratch_stride;
};

/* A step as it was recorded, and what it was recorded for. */
struct trainer_capture {
    const struct device_images *images;
    const uint32_t *cursor; /* of the epoch inputs */
    const float *parameters;
    int count;
    bool training;
    struct graph_capture *capture; /* NULL: done once, not recorded yet */
};
enum { TRAINER_CAPTURES = 8 };

struct trainer {
    const struct compute *compute;         /* borrowed */
    const struct trainer_options *options; /* borrowed */
    struct trainer_student students[TRAINING_MAX_STUDENTS];
    int student_count, classes;
    uint32_t samples;          /* of the training split, where it trains */
    const struct graph *graph; /* borrowed: the student's */
    bool trains;               /* values is bound to the loss and a cache */
    struct loss_values values;
    struct trainer_values buffers;
    struct network network; /* of values.graph, otherwise of graph */
    struct trainer_memory memory;
    uint64_t step;   /* optimiser steps so far */
    double *metrics; /* device [students, METRIC_COUNT] */
    double *norm;    /* device [students] gradient norm */
    struct mailbox *mailbox;
    struct trainer_capture captures[TRAINER_CAPTURES];
    int capture_count;
    /* the training epoch inputs: content is that of epoch `prepared` of data set `prepared_for` (NULL: of none) */
    struct epoch_content content;
    struct epoch_inputs inputs;
    const struct dataset *prepared_for;
    int prepared;
    uint32_t *order; /* [order_room] host: the epoch's samples */
    uint32_t order_capacity;
    /* the evaluation views of one data set, uploaded once */
    struct epoch_inputs evaluation;
    uint32_t *evaluation_samples; /* [evaluation.capacity] host */
    const struct dataset *evaluation_of;
};

/* Sums over a pass, METRIC_* of backend.h. */
struct totals {
    double sums[METRIC_COUNT];
    bool teacher; /* METRIC_AGREE counts */
};

/* The graph's weights are where training starts, for every student (trainer_set_weights gives one its own). compute,
 * graph and options are borrowed, students[student_count] is copied. manifest: of the cache to train from (borrowed for
 * the call); NULL: nothing will be trained, and terms on values are left out. STATUS_CONFIG: the students' losses are
 * not alike, or the cache lacks what they compare. */
enum status trainer_init(struct trainer *trainer, const struct compute *compute, const struct graph *graph,
                         const struct trainer_student *students, int student_count,
                         const struct trainer_options *options, const struct cache_manifest *manifest,
                         struct error *err);
void trainer_release(struct trainer *trainer); /* a zeroed struct is legal */

/* One epoch (from 0). progress (begun by the caller) moves on by dataset->count images. totals[student_count].
 * STATUS_INTERRUPTED after a SIGINT: the epoch is incomplete and its state must not be kept. */
enum status trainer_epoch(struct trainer *trainer, const struct dataset *dataset, int epoch, struct progress *progress,
                          struct totals *totals, struct error *err);

/* A pass over the evaluation views. predictions[student_count, dataset->count] (may be NULL) gets the class of each
 * sample. Uses the moving averages where there are some and use_average. totals[student_count]. */
enum status trainer_evaluate(struct trainer *trainer, const struct dataset *dataset, bool use_average,
                             int32_t *predictions, struct totals *totals, struct error *err);

/* The classes of images without labels: content (one step of `count` slots) says which views of which images.
 * predictions[count] of the first student. */
enum status trainer_predict(struct trainer *trainer, struct device_images *images, const struct epoch_content *content,
                            int count, int size, float table[3][256], int32_t *predictions, struct error *err);

/* Gives a student other initial weights, from a graph of the same structure. */
enum status trainer_set_weights(struct trainer *trainer, int student, const struct graph *graph, struct error *err);
/* A student's weights into a graph of the same structure; the moving averages where there are some. */
enum status trainer_weights(struct trainer *trainer, int student, struct graph *graph, struct error *err);

/* ---- trainer_loss.c ---- */
/* Buffers for the values of trainer->values. */
enum status trainer_values_init(struct trainer *trainer, struct error *err);
void trainer_values_release(struct trainer *trainer);
/* Asks for the losses and metrics of the logits, and in training for those of the values, with all their gradients:
 * what stands between the forward and the backward pass. */
enum status trainer_measure(struct trainer *trainer, const struct feature_store *features,
                            const struct epoch_inputs *inputs, const struct pass *pass, struct error *err);

/* ---- trainer_feed.c ---- */
/* Fills trainer->content for an epoch; nothing if it holds that epoch already. */
enum status trainer_prepare(struct trainer *trainer, const struct dataset *dataset, int epoch, struct error *err);
/* trainer->evaluation gets the data set's evaluation views; nothing if it has them already. */
enum status trainer_prepare_evaluation(struct trainer *trainer, const struct dataset *dataset, struct error *err);
void trainer_epoch_release(struct trainer *trainer);

/* ---- trainer_step.c ---- */
/* Where a step's pixels come from. */
struct pixel_source {
    struct device_images *images;
    int size;
    float (*table)[256];
    const struct feature_store *features; /* [CACHE_MAX_FEATURES] of the data set, or NULL */
};
/* Asks the device for a step over the epoch inputs' next `count` slots, training or evaluating; samples and partners
 * [count] (host; partners NULL where nothing is mixed) are those of the step `step`. */
enum status trainer_step(struct trainer *trainer, const struct pixel_source *source, const struct epoch_inputs *inputs,
                         const uint32_t *samples, const uint32_t *partners, uint32_t step, int count, bool training,
                         struct error *err);
void trainer_captures_release(struct trainer *trainer);

#endif
