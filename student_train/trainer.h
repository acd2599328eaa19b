/* Training and evaluating one network: render views, forward, losses, backward, optimiser. The loop over epochs is
 * fit.c's. */
#ifndef STUDENT_TRAIN_TRAINER_H
#define STUDENT_TRAIN_TRAINER_H

#include "shared/backend/network.h"
#include "student_train/dataset.h"
#include "student_train/loss_expression.h"
#include "student_train/schedule.h"

struct trainer_options {
    int batch;
    struct optimizer_step optimizer; /* learning rate and step number are the trainer's */
    struct schedule schedule;
    uint64_t seed;
    bool sequential; /* --order sequential */
};

/* Device memory, [plan.parameter_count] and [plan.state_count] floats. What a checkpoint holds. */
struct trainer_memory {
    float *first, *second;          /* moments; SGD: first is the momentum buffer */
    float *average, *average_state; /* moving averages of parameters and running statistics, or NULL */
};

struct trainer {
    const struct compute *compute;         /* borrowed */
    const struct loss_expression *loss;    /* borrowed */
    const struct trainer_options *options; /* borrowed */
    struct network network;
    struct trainer_memory memory;
    uint64_t step; /* optimiser steps so far */
    int classes;
    /* scratch */
    struct batch batch;
    uint32_t *order; /* [order_room] host */
    uint32_t order_room;
    float *teacher;     /* device [batch, classes] */
    int32_t *labels;    /* device [batch] */
    int32_t *predicted; /* device [batch] */
    double *metrics;    /* device [METRIC_COUNT] */
    double *norm;       /* device [2] gradient norm; the second is the moving average's, not used */
    float *zeros; /* device [state_count] gradient of the running statistics: none. NULL without a moving average */
};

/* Sums over a pass, METRIC_* of backend.h. */
struct totals {
    double sums[METRIC_COUNT];
    bool teacher; /* METRIC_AGREE counts */
};

/* The graph's weights are where training starts. graph, compute, loss, options are borrowed. */
enum status trainer_init(struct trainer *trainer, const struct compute *compute, const struct graph *graph,
                         const struct loss_expression *loss, const struct trainer_options *options, struct error *err);
void trainer_release(struct trainer *trainer); /* a zeroed struct is legal */

/* One epoch (from 0). progress (begun by the caller) moves on by dataset->count images. STATUS_INTERRUPTED after a
 * SIGINT: the epoch is incomplete and its state must not be kept. */
enum status trainer_epoch(struct trainer *trainer, const struct dataset *dataset, int epoch, struct progress *progress,
                          struct totals *totals, struct error *err);

/* A pass over the evaluation views. predictions[dataset->count] (may be NULL) gets the class of each sample. Uses the
 * moving averages where there are some and use_average. */
enum status trainer_evaluate(struct trainer *trainer, const struct dataset *dataset, bool use_average,
                             int32_t *predictions, struct totals *totals, struct error *err);

/* Weights into a graph of the same structure; the moving averages where there are some. */
enum status trainer_weights(struct trainer *trainer, struct graph *graph, struct error *err);

#endif
