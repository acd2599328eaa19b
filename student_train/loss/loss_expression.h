/* Loss expressions: a weighted sum of named terms,
 *
 *     0.5*ce + 0.5*kd(T=4)
 *     ce + 100*hint(student=block5, teacher=layer2, regressor=conv1x1) + 25*rkd_distance + 50*rkd_angle
 *
 * shared/training/losses/losses.h has the formulas; `student_train losses` prints the terms and their parameters. A
 * term without a weight has weight 1. Every term may have warmup=E: its weight rises linearly over the first E epochs;
 * and ramp=R, ramp_epochs=E: then it goes linearly to R times itself in E epochs.
 *
 * student= and teacher= name a value of the student's graph and a feature of the cache, or several pairs as [a, b]; the
 * term is the sum over pairs. Names with other than letters, digits and ._/:- stand in quotes. `logits` is either
 * side's logits. Without both, terms on features take the embeddings: what the student's last linear layer reads, and
 * the cache's vector; the logits where the cache has no vector.
 *
 * To add a term: enum loss_kind and struct loss_term in shared/training/losses/losses.h, a kernel in every backend's
 * loss files, a row in loss_terms.c, an entry in a golden file. */
#ifndef STUDENT_TRAIN_LOSS_LOSS_EXPRESSION_H
#define STUDENT_TRAIN_LOSS_LOSS_EXPRESSION_H

#include "shared/training/losses/losses.h"
#include "shared/base/error.h"

enum { LOSS_MAX_TEXT = 4096, LOSS_MAX_NAME = 64, LOSS_MAX_PAIRS = 8, LOSS_MAX_LAYER = 200 };

enum loss_regressor { REGRESSOR_NONE, REGRESSOR_CONV1X1, REGRESSOR_CONV3X3, REGRESSOR_LINEAR };

/* Which values a term compares. */
struct loss_layers {
    char student[LOSS_MAX_PAIRS][LOSS_MAX_LAYER], teacher[LOSS_MAX_PAIRS][LOSS_MAX_LAYER];
    int student_count, teacher_count; /* equal, or 0: not given */
    enum loss_regressor regressor;    /* that brings the student's value to the teacher's shape */
};

struct loss_entry;

struct loss_expression {
    struct loss_term terms[LOSS_MAX_TERMS];
    struct loss_layers layers[LOSS_MAX_TERMS];
    const struct loss_entry *entries[LOSS_MAX_TERMS]; /* of loss_terms.h */
    char names[LOSS_MAX_TERMS][LOSS_MAX_NAME];        /* "ce", "kd"; a second one of a name is "kd_2" */
    int count;
    bool needs_teacher, needs_labels;
    char text[LOSS_MAX_TEXT]; /* canonical: every parameter that is not at its default; parsing it gives the same */
};

/* STATUS_USAGE names the unknown term or parameter (with a suggestion), or the column of what cannot be read. */
enum status loss_expression_parse(struct loss_expression *expression, const char *text, struct error *err);

/* A term's weight in an epoch (from 0). */
float loss_term_weight(const struct loss_term *term, int epoch);

/* Whether students with these losses can be trained side by side: the same terms on the same values in the same order;
 * numbers may differ. */
bool loss_expression_alike(const struct loss_expression *a, const struct loss_expression *b);

/* Whether term i compares values and not logits. */
bool loss_expression_on_values(const struct loss_expression *expression, int i);

#endif
