/* The pair that is being bound, between the files that bind a loss: loss_binding.c goes through the terms,
 * loss_features.c finds a pair's features by name, loss_layers.c adds what a term trains. Each calls only the next. */
#ifndef STUDENT_TRAIN_LOSS_LOSS_BINDER_H
#define STUDENT_TRAIN_LOSS_LOSS_BINDER_H

#include "student_train/loss/loss_binding.h"
#include "student_train/loss/loss_terms.h"

struct loss_binder {
    struct loss_binding *binding; /* in the making; all pointers are borrowed */
    const struct loss_expression *loss;
    const struct cache_manifest *manifest;
    struct error *err;
    const struct loss_entry *entry;
    const struct feature_names *names;
    int term, part;
    int node, feature;             /* of the training graph, of the cache (or FEATURE_LOGITS, FEATURE_NONE) */
    struct shape student, teacher; /* of the two features; the teacher's is 0 with FEATURE_NONE */
};

/* ---- loss_features.c ---- */
/* Finds the features of pair `part` of the term: node and feature, and their shapes. */
enum status loss_features_find(struct loss_binder *b);
/* STATUS_CONFIG: what does not fit, both shapes, and what to do. */
enum status loss_features_refuse(const struct loss_binder *b, const char *what, const char *cure);

/* ---- loss_layers.c ---- */
/* Adds the layers between the student's feature and what the term compares; b->node becomes the last of them. */
enum status loss_layers_add(struct loss_binder *b);
/* Adds the term's other weights. */
enum status loss_learned_add(struct loss_binder *b, struct feature_pair *pair);
/* Sets them to their initial values. */
void loss_learned_begin(struct loss_binding *binding, const struct loss_expression *loss,
                        const struct feature_pair *pair, uint64_t seed);

#endif
