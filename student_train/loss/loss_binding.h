/* Binds a loss to a student and a cache: which feature of the student each term compares with which feature of the
 * cache, and in which common size; and what the terms themselves train (regressors, embeddings, variances).
 *
 * What they train becomes part of the training graph, which is the student's graph followed by the nodes and weights of
 * the terms. So plan, optimiser and checkpoint treat a regressor like any other layer, and the student remains a prefix
 * that reads nothing behind it. */
#ifndef STUDENT_TRAIN_LOSS_LOSS_BINDING_H
#define STUDENT_TRAIN_LOSS_LOSS_BINDING_H

#include "formats/cache/cache.h"
#include "shared/backend/backend.h"
#include "student_train/loss/loss_expression.h"

enum { BINDING_MAX_PAIRS = 32 /* of all terms */, FEATURE_LOGITS = -1, FEATURE_NONE = -2 };

/* A feature of either side, averaged to h x w. */
struct loss_feature {
    int of; /* the student's: a node of the training graph; the teacher's: a feature of the cache or FEATURE_LOGITS */
    int h, w, channels;
    int term; /* the first term that reads it: the feature has that term's rows */
};

/* A feature of the student, and the teacher's feature that it is compared with. */
struct feature_pair {
    int term, part;             /* of the expression; which of the term's pairs */
    int student_feature;        /* index in student_features */
    int teacher_feature;        /* index in teacher_features; -1: the term needs no teacher */
    int learned[LEARNED_COUNT]; /* weights of the training graph, or -1 */
};

struct loss_binding {
    struct graph graph; /* the training graph */
    int weight_count;   /* the student's weights come first; the rest are the terms' */
    struct loss_feature teacher_features[BINDING_MAX_PAIRS]; /* each is read once, however many pairs have it */
    struct loss_feature student_features[BINDING_MAX_PAIRS];
    struct feature_pair pairs[BINDING_MAX_PAIRS];
    int teacher_feature_count, student_feature_count, pair_count;
    bool cache_features[CACHE_MAX_FEATURES]; /* true: the loss reads this feature of the cache */
    int views[LOSS_MAX_TERMS];               /* the first views[i] views of a sample have what term i needs */
    bool partial;                            /* some term needs features that not every view has */
};

/* The manifest's training split gives the number of samples. STATUS_CONFIG names a feature that does not exist (and
 * lists those that do), or two shapes that do not fit and what to do. The terms' weights are initialised from seed.
 * loss_binding_release accepts a zeroed struct. */
enum status loss_bind(struct loss_binding *binding, const struct loss_expression *loss, const struct graph *student,
                      const struct cache_manifest *manifest, uint64_t seed, struct error *err);
void loss_binding_release(struct loss_binding *binding);

/* Initialises the training graph again: the student's weights from `student`, the terms' from seed. */
void loss_binding_begin(struct loss_binding *binding, const struct loss_expression *loss, const struct graph *student,
                        uint64_t seed);

/* What is compared, one line per pair, for the log: "hint: student hint.0.regressor 24x8x8 (averaged from 16x16),
 * teacher map 24x8x8, int8, on 2 of 4 views". malloc'ed; NULL when out of memory. */
char *loss_binding_describe(const struct loss_binding *binding, const struct loss_expression *loss,
                            const struct cache_manifest *manifest);

#endif
