/* The gate of terms on logits: what takes the place of a teacher that is wrong or unsure of the label. */
#include "shared/training/losses/logit_row.h"

#include <string.h>

static bool is_gated(const struct row_scores *teacher, int label, double gate)
{
    const struct log_softmax softmax = log_softmax_of(teacher, -1, 1);
    return teacher->z[label] < softmax.max || exp(log_probability(&softmax, teacher->z[label])) < gate;
}

void cpu_gate(struct cpu_loss_args *args)
{
    const struct loss_term *term = args->term;
    const size_t classes = (size_t)args->classes;
    float *logits = args->scratch;
    unsigned char *left_out = (unsigned char *)(logits + (size_t)args->shape->batch * classes);
    for (int i = 0; i < args->count; i++) {
        const struct row_scores teacher = logits_of_row(args, args->teacher_logits, i);
        const int label = label_of_row(args, i, args->classes).label;
        const bool gated = label >= 0 && is_gated(&teacher, label, term->gate);
        float *row = logits + (size_t)i * classes;
        left_out[i] = gated && term->gated == GATED_CE;
        memcpy(row, teacher.z, classes * sizeof *row);
        for (int k = 0; gated && term->gated == GATED_LABEL && k < args->classes; k++)
            row[k] = softened_logit(label, k, args->classes, term->soften);
    }
    args->teacher_logits = logits;
    args->left_out = left_out;
    args->scratch = (char *)args->scratch + gate_bytes(term, args->shape);
}
