/* Between loss_values.c, which finds a loss's values, and loss_layers.c, which adds what its terms train. */
#ifndef STUDENT_TRAIN_LOSS_LOSS_BINDING_H
#define STUDENT_TRAIN_LOSS_LOSS_BINDING_H

#include "student_train/loss/loss_terms.h"
#include "student_train/loss/loss_values.h"

/* A pair that is being bound. */
struct loss_binding {
    struct loss_values *values;
    const struct loss_expression *loss;
    const struct cache_manifest *manifest;
    struct error *err;
    const struct loss_entry *entry;
    const struct loss_layers *layers;
    int term, part;
    int node, feature;             /* of the student, of the cache */
    struct shape student, teacher; /* of both values; the teacher's of FEATURE_NONE is 0 */
};

/* STATUS_CONFIG: what does not fit, both shapes, and what to do. */
enum status loss_binding_refuse(const struct loss_binding *b, const char *what, const char *cure);

/* ---- loss_layers.c ---- */
/* The layers between the student's value and what the term compares; b->node becomes the last of them. */
enum status loss_layers_add(struct loss_binding *b);
/* Other weights of the term. */
enum status loss_learned_add(struct loss_binding *b, struct loss_pair *pair);
/* Their initial values. */
void loss_learned_begin(struct loss_values *values, const struct loss_expression *loss, const struct loss_pair *pair,
                        uint64_t seed);

#endif
