/* A student quantised with the pictures of a cache: every way of choosing ranges is tried, and of those that classify
 * as well as the best one, but for a standard error, the one with the smallest error of the logits is kept; or, if they
 * are among those, the ranges with which the student was trained (fit --qat). */
#ifndef STUDENT_TRAIN_QUANTISE_QUANTISED_STUDENT_H
#define STUDENT_TRAIN_QUANTISE_QUANTISED_STUDENT_H

#include "formats/cache/cache.h"
#include "formats/export/model_card.h"
#include "shared/base/progress.h"
#include "student_train/quantise/pictures.h"
#include <cjson/cJSON.h>
#include <stdio.h>

/* How well a network does on pictures. Shares; NAN if there is nothing to count. */
struct quantised_score {
    size_t pictures, labelled;
    double accuracy;
    double agreement; /* with the float network: the same class */
    double error;     /* mean squared difference of the logits to the float network's, relative to their variance */
};

struct quantised_candidate {
    bool trained;             /* the ranges are those of training, ... */
    enum range_method method; /* ... otherwise of calibration */
    bool equalised;
    struct quantised_score choosing;
};
enum { QUANTISED_CANDIDATES = 1 + 2 * RANGE_METHOD_COUNT };

struct quantised_student {
    struct lowered lowered;
    struct int8_net net; /* of lowered */
    struct quantised_candidate candidates[QUANTISED_CANDIDATES];
    int candidate_count, chosen;
    size_t calibration_pictures;
    enum split split;                               /* whose images choose and score */
    struct quantised_score float_score, int8_score; /* on images that chose nothing */
    uint8_t *example;                               /* the pixels of one of them, [h * w * c] */
};

struct quantised_options {
    uint32_t views;              /* training views that calibrate */
    const struct graph *trained; /* a training graph with the ranges of training, or NULL; it may not know them */
};

/* Calibrates on training views, chooses on validation images at even positions (test images if there are none, then
 * training images), and scores on those at odd positions. The struct must not move while it is used. */
enum status quantised_student_init(struct quantised_student *student, const struct graph *graph,
                                   const struct model_card *card, const struct cache *cache,
                                   const struct quantised_options *options, struct thread_pool *pool,
                                   struct progress *progress, struct error *err);
void quantised_student_release(struct quantised_student *student); /* accepts a zeroed struct */

/* ---- quantised_report.c ---- */
/* "min-max", "percentile", "mse", "trained" */
const char *quantised_ranges_name(const struct quantised_candidate *candidate);
/* A table: accuracy, agreement with the float network and bytes, before and after; then the candidates. */
void quantised_student_print(const struct quantised_student *student, FILE *out);
/* The same without the candidates that were not chosen, as fields of an object. */
void quantised_student_json(const struct quantised_student *student, cJSON *object);
/* Bytes of weights and biases, as floats and as integers. */
void quantised_bytes(const struct lowered *lowered, size_t *floats, size_t *integers);

#endif
