/* The values that a loss's terms compare: which of the student's graph, which of the cache, in which common size; and
 * what the terms themselves train (regressors, embeddings, variances), which becomes part of the training graph.
 *
 * The training graph is the student's graph, and after it the nodes and weights of the terms: so regressors are layers
 * like all others to plan, optimiser and checkpoint, and the student itself stays a prefix that nothing else reads. */
#ifndef STUDENT_TRAIN_LOSS_LOSS_VALUES_H
#define STUDENT_TRAIN_LOSS_LOSS_VALUES_H

#include "formats/cache/cache.h"
#include "shared/backend/backend.h"
#include "student_train/loss/loss_expression.h"

enum { LOSS_ALL_PAIRS = 32, FEATURE_LOGITS = -1, FEATURE_NONE = -2 };

/* A value of either side, averaged to h x w. */
struct loss_value {
    int of; /* a feature of the cache or FEATURE_LOGITS; or a node of the training graph */
    int h, w, channels;
    int term; /* the first one that reads it: its rows are this value's rows */
};
struct loss_pair {
    int term, part; /* of the expression; which of the term's pairs */
    int student_value;
    int source;                 /* -1: the term needs no teacher's value */
    int learned[LEARNED_COUNT]; /* weights of the training graph, or -1 */
};

struct loss_values {
    struct graph graph;                               /* the training graph */
    int weight_count;                                 /* of the student: the others are the terms' */
    struct loss_value sources[LOSS_ALL_PAIRS];        /* of the teacher */
    struct loss_value student_values[LOSS_ALL_PAIRS]; /* of the student */
    struct loss_pair pairs[LOSS_ALL_PAIRS];
    int source_count, student_value_count, pair_count;
    bool features[CACHE_MAX_FEATURES]; /* of the cache that are read */
    int views[LOSS_MAX_TERMS];         /* the first views[i] views of a sample have what term i needs */
    bool partial;                      /* some of them are fewer than all */
};

/* Binds a loss to a student and a cache. `samples` of the training split. STATUS_CONFIG names the value that is not
 * there (with what there is), or both shapes that do not fit and what to do. The graph's terms are initialised from
 * seed. A zeroed struct is legal to release. */
enum status loss_values_bind(struct loss_values *values, const struct loss_expression *loss,
                             const struct graph *student, const struct cache_manifest *manifest, uint64_t seed,
                             struct error *err);
void loss_values_release(struct loss_values *values);

/* The training graph begins from a student's weights, and its terms from a seed. */
void loss_values_begin(struct loss_values *values, const struct loss_expression *loss, const struct graph *student,
                       uint64_t seed);

/* What is compared, a line a pair, for the log: "hint: block5 96x14x14 -> regressor ..., teacher add46 96x14x14, 2 of 8
 * views". malloc'ed; NULL out of memory. */
char *loss_values_describe(const struct loss_values *values, const struct loss_expression *loss,
                           const struct cache_manifest *manifest);

#endif
