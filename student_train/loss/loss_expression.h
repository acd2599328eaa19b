/* Loss expressions: a weighted sum of named terms. This folder reads them and binds them to a student and a cache; the
 * losses themselves are computed in shared/training/losses, whose losses.h has the formulas.
 *
 *     0.5*ce + 0.5*kd(T=4)
 *     ce + 100*hint(student=block5, teacher=layer2, regressor=conv1x1) + 25*rkd_distance + 50*rkd_angle
 *
 * `student_train losses` prints the terms and their parameters. A term without a weight has weight 1. Every term has
 * warmup=E: its weight rises linearly over the first E epochs; and ramp=R, ramp_epochs=E: after that its weight goes
 * linearly to R times its value within E epochs.
 *
 * student= and teacher= name a feature of the student (a value of its graph) and a feature of the cache, or several
 * pairs of them as [a, b]; the term is the sum over the pairs. A name with characters other than letters, digits and
 * ._/:- must be quoted. `logits` names either side's logits. Without student= and teacher=, a term on features compares
 * the embeddings: what the student's last linear layer reads, and the cache's vector; if the cache has no vector, it
 * compares the logits.
 *
 * To add a term: see ../README.md. */
#ifndef STUDENT_TRAIN_LOSS_LOSS_EXPRESSION_H
#define STUDENT_TRAIN_LOSS_LOSS_EXPRESSION_H

#include "shared/training/losses/losses.h"
#include "shared/base/error.h"

enum { LOSS_MAX_TEXT = 4096, LOSS_MAX_NAME = 64, LOSS_MAX_PAIRS = 8 /* per term */, LOSS_MAX_FEATURE_NAME = 200 };

enum loss_regressor { REGRESSOR_NONE, REGRESSOR_CONV1X1, REGRESSOR_CONV3X3, REGRESSOR_LINEAR };

/* The features that a term compares, by name. */
struct feature_names {
    char student[LOSS_MAX_PAIRS][LOSS_MAX_FEATURE_NAME], teacher[LOSS_MAX_PAIRS][LOSS_MAX_FEATURE_NAME];
    int student_count, teacher_count; /* equal; 0: not given. A term without a teacher has student_count only */
    enum loss_regressor regressor;    /* brings the student's feature to the teacher's channels */
};

struct loss_entry;

struct loss_expression {
    struct loss_term terms[LOSS_MAX_TERMS];
    struct feature_names features[LOSS_MAX_TERMS];
    const struct loss_entry *entries[LOSS_MAX_TERMS]; /* rows of the table in loss_terms.h */
    char names[LOSS_MAX_TERMS][LOSS_MAX_NAME];        /* "ce", "kd"; the second term called kd is "kd_2" */
    int count;
    bool needs_teacher, needs_labels;
    char text[LOSS_MAX_TEXT]; /* canonical: every parameter that is not at its default; parses to the same expression */
};

/* STATUS_USAGE names the unknown term or parameter (with a suggestion), or the column where reading failed. */
enum status loss_expression_parse(struct loss_expression *expression, const char *text, struct error *err);

/* A term's weight in an epoch (counted from 0). */
float loss_term_weight(const struct loss_term *term, int epoch);

/* True if students with these losses can be trained side by side: they have the same terms on the same features in the
 * same order. Numbers may differ. */
bool loss_expression_alike(const struct loss_expression *a, const struct loss_expression *b);

/* True if term i compares features, not logits. */
bool loss_expression_on_features(const struct loss_expression *expression, int i);

#endif
