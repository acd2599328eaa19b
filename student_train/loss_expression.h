/* Loss expressions: a weighted sum of named terms, `0.5*ce + 0.5*kd(T=4)`.
 *
 *     ce(label_smoothing=0)          cross entropy with the labels, F.cross_entropy
 *     kd(T=4, reduction=batchmean)   T^2 * KL(softmax(teacher/T) || softmax(student/T)), F.kl_div; reduction=mean
 * divides by the classes as well
 *
 * A term without a weight has weight 1. To add a term: enum loss_kind and struct loss_term in shared/backend/backend.h,
 * a kernel in every backend's loss file, a row in the table of loss_expression.c, an entry in the golden file. */
#ifndef STUDENT_TRAIN_LOSS_EXPRESSION_H
#define STUDENT_TRAIN_LOSS_EXPRESSION_H

#include "shared/backend/backend.h"

enum { LOSS_MAX_TEXT = 1024, LOSS_MAX_NAME = 64 };

struct loss_expression {
    struct loss_term terms[LOSS_MAX_TERMS];
    char names[LOSS_MAX_TERMS][LOSS_MAX_NAME]; /* "ce", "kd"; a second one of a kind is "kd_2" */
    int count;
    bool needs_teacher, needs_labels;
    char text[LOSS_MAX_TEXT]; /* canonical: every parameter that is not at its default; parsing it gives the same */
};

/* STATUS_USAGE names the unknown term or parameter (with a suggestion), or the column of what cannot be read. */
enum status loss_expression_parse(struct loss_expression *expression, const char *text, struct error *err);

#endif
