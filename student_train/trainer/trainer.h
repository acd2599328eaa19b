/* Trains and evaluates one network, or several of the same structure side by side: render views, forward pass, losses,
 * backward pass, optimiser. fit_loop.c has the loop over epochs.
 *
 * The inputs of an epoch are prepared on the host (trainer_epoch.c) and uploaded once. Then the epoch runs step by step
 * on the device without waiting for the host (trainer_step.c), while the host prepares the next epoch's inputs. */
#ifndef STUDENT_TRAIN_TRAINER_TRAINER_H
#define STUDENT_TRAIN_TRAINER_TRAINER_H

#include "shared/training/epoch_inputs.h"
#include "shared/training/network.h"
#include "student_train/trainer/dataset.h"
#include "student_train/loss/loss_binding.h"
#include "student_train/trainer/schedule.h"

struct trainer_options {
    int batch;
    enum dtype dtype; /* of stored activations */
    struct optimizer optimizer;
    bool spare_vectors; /* weight decay only on weights of rank 2 and more, not on biases, norms and scales */
    double ema_decay;   /* moving average of the weights; 0: none */
    uint64_t seed;      /* of the order of samples and views */
    bool sequential;    /* --order sequential */
};

/* What may differ between students side by side. Their losses are alike (loss_expression_alike). */
struct trainer_student {
    const struct loss_expression *loss; /* borrowed */
    struct schedule schedule;
    uint64_t seed; /* of dropout */
};

/* Device memory of [students][plan.parameter_count] and [students][plan.state_count] floats. A checkpoint holds it. */
struct trainer_memory {
    float *first, *second;          /* moments; for SGD first is the momentum buffer */
    float *average, *average_state; /* moving averages of parameters and running statistics, or NULL */
    unsigned char *decays;          /* see struct optimizer_memory */
};

/* The features that the loss's terms compare, in device memory: one buffer each, in the order of struct loss_binding.
 * Absent if the loss compares only logits, or if nothing is trained. */
struct feature_buffers {
    float *teacher[BINDING_MAX_PAIRS];                               /* [batch, h, w, channels] */
    float *student[BINDING_MAX_PAIRS], *gradient[BINDING_MAX_PAIRS]; /* [students][batch, h, w, channels] */
    void *scratch;                                                   /* [students][scratch_stride bytes] */
    size_t scratch_stride;
};

/* A captured step, and what it was captured for. */
struct trainer_capture {
    const struct device_images *images;
    const uint32_t *cursor; /* of the epoch inputs */
    const float *parameters;
    int count;
    bool training, settled;
    struct graph_capture *capture; /* NULL: the step ran once and is not captured yet */
};
enum { TRAINER_CAPTURES = 8 };

struct trainer {
    const struct compute *compute;         /* borrowed */
    const struct trainer_options *options; /* borrowed */
    struct trainer_student students[TRAINING_MAX_STUDENTS];
    int student_count, classes;
    uint32_t samples;          /* of the training split, if it trains */
    const struct graph *graph; /* borrowed: the student's */
    bool trains;               /* binding is bound to the loss and a cache */
    struct loss_binding binding;
    struct feature_buffers features;
    struct network network; /* of binding.graph if it trains, otherwise of graph */
    struct trainer_memory memory;
    uint64_t step;   /* number of optimiser steps so far */
    bool settled;    /* training leaves statistics and ranges as they are: struct pass */
    double *metrics; /* device [students, METRIC_COUNT] */
    double *norm;    /* device [students]: norms of the gradients */
    struct mailbox *mailbox;
    struct trainer_capture captures[TRAINER_CAPTURES];
    int capture_count;
    /* Inputs of training epochs: content is that of epoch `prepared` of data set `prepared_for` (NULL: none). */
    struct epoch_content content;
    struct epoch_inputs inputs;
    const struct dataset *prepared_for;
    int prepared;
    uint32_t *order; /* [order_capacity] host: the epoch's samples */
    uint32_t order_capacity;
    /* The evaluation views of one data set, uploaded once. */
    struct epoch_inputs evaluation;
    uint32_t *evaluation_samples; /* [evaluation.capacity] host */
    const struct dataset *evaluation_of;
    bool evaluation_mirrored; /* what dataset->mirrored was */
};

/* Sums over a pass: METRIC_* of shared/training. */
struct totals {
    double sums[METRIC_COUNT];
    bool teacher; /* the pass had the teacher's logits, so METRIC_AGREE is valid */
};
/* Means over a pass; NAN if there is nothing to average. */
double totals_loss(const struct totals *totals);
double totals_term(const struct totals *totals, int term);
double totals_accuracy(const struct totals *totals);
double totals_agreement(const struct totals *totals); /* of the student's classes with the teacher's */

/* Every student starts from the graph's weights (trainer_set_weights gives one other weights). compute, graph and
 * options are borrowed; students[student_count] is copied. manifest: of the cache to train from, borrowed for the
 * call; NULL: nothing will be trained, and terms on features are left out. STATUS_CONFIG: the students' losses are
 * not alike, or the cache lacks what they compare. */
enum status trainer_init(struct trainer *trainer, const struct compute *compute, const struct graph *graph,
                         const struct trainer_student *students, int student_count,
                         const struct trainer_options *options, const struct cache_manifest *manifest,
                         struct error *err);
void trainer_release(struct trainer *trainer); /* accepts a zeroed struct */

/* Trains one epoch (counted from 0). The caller has begun progress, which advances by dataset->count images.
 * totals[student_count]. STATUS_INTERRUPTED after a SIGINT: the epoch is incomplete and its state must not be kept. */
enum status trainer_epoch(struct trainer *trainer, const struct dataset *dataset, int epoch, struct progress *progress,
                          struct totals *totals, struct error *err);

/* Gets the logits of an evaluation step by step: logits[count, classes] of samples [first, first + count). */
struct logits_reader {
    void (*read)(void *context, int student, uint32_t first, int count, const float *logits);
    void *context;
};

/* A pass over the evaluation views. predictions[student_count, dataset->count] (may be NULL) gets the class of each
 * sample. use_average: with the moving averages of the weights, if there are any. totals[student_count]. reader (may be
 * NULL) sees the logits of every student. */
enum status trainer_evaluate(struct trainer *trainer, const struct dataset *dataset, bool use_average,
                             int32_t *predictions, struct totals *totals, const struct logits_reader *reader,
                             struct error *err);

/* The first student's logits[dataset->count, classes] of the evaluation views. */
enum status trainer_logits(struct trainer *trainer, const struct dataset *dataset, float *logits, struct error *err);

/* The same of images that belong to no data set: content (one step of `count` slots) says which views of which images.
 * logits[count, classes]. */
enum status trainer_predict(struct trainer *trainer, struct device_images *images, const struct epoch_content *content,
                            int count, int size, float table[3][256], float *logits, struct error *err);

/* Gives a student other initial weights, those of a graph of the same structure. */
enum status trainer_set_weights(struct trainer *trainer, int student, const struct graph *graph, struct error *err);
/* Copies a student's weights into a graph of the same structure; the moving averages, if there are any. */
enum status trainer_weights(struct trainer *trainer, int student, struct graph *graph, struct error *err);

/* Everything that training changes and that does not depend on the size of the images: vectors in device memory, with
 * the names that they have in a checkpoint. values NULL: this trainer does not have it (count 0). */
enum { TRAINER_VECTORS = 6 };
struct trainer_vector {
    const char *name;
    float *values;
    size_t count;
    bool state; /* [students][plan.state_count] */
};
void trainer_vectors(const struct trainer *trainer, struct trainer_vector vectors[TRAINER_VECTORS]);
/* Copies them to and from host memory, one after the other; the caller frees *floats (memory_free). trainer_restore
 * needs a trainer with as many of each. But of a student's state only state_count floats were saved, and what the
 * trainer has more of (ranges) stays as it is. */
enum status trainer_save(const struct trainer *trainer, float **floats, struct error *err);
enum status trainer_restore(struct trainer *trainer, const float *floats, size_t state_count, struct error *err);

/* ---- trainer.c ---- */
/* Exchanges the weights with their moving averages. */
void trainer_swap_average(struct trainer *trainer);

/* ---- trainer_loss.c ---- */
/* Allocates the buffers for the features of trainer->binding. */
enum status trainer_features_init(struct trainer *trainer, struct error *err);
void trainer_features_release(struct trainer *trainer);
/* What happens between the forward and the backward pass: requests losses and metrics of the logits and, in training,
 * losses of the features, with all their gradients. */
enum status trainer_measure(struct trainer *trainer, const struct feature_store *features,
                            const struct epoch_inputs *inputs, const struct pass *pass, struct error *err);

/* ---- trainer_epoch.c ---- */
/* Fills trainer->content for an epoch; does nothing if it already holds that epoch. */
enum status trainer_prepare(struct trainer *trainer, const struct dataset *dataset, int epoch, struct error *err);
/* Fills trainer->evaluation with the data set's evaluation views; does nothing if it already holds them. */
enum status trainer_prepare_evaluation(struct trainer *trainer, const struct dataset *dataset, struct error *err);
void trainer_epoch_release(struct trainer *trainer);

/* ---- trainer_step.c ---- */
/* Where a step's pixels and the teacher's features come from. */
struct pixel_source {
    struct device_images *images;
    int size;
    float (*table)[256];
    const struct feature_store *features; /* [CACHE_MAX_FEATURES] of the data set; NULL: nothing is trained */
};
/* Requests a step over the next `count` slots of the inputs from the device, training or evaluating. samples and
 * partners[count] (host memory; partners NULL: nothing is mixed) are those of step `step`, for prefetching. */
enum status trainer_step(struct trainer *trainer, const struct pixel_source *source, const struct epoch_inputs *inputs,
                         const uint32_t *samples, const uint32_t *partners, uint32_t step, int count, bool training,
                         struct error *err);
void trainer_captures_release(struct trainer *trainer);

#endif
