/* Cross entropy with the labels: F.cross_entropy(logits, labels, label_smoothing). */
#include "shared/training/losses/logit_row.h"

/* Of the logits, or of a student's features [rows, pixels, channels] with their means over the pixels as logits. Rows
 * without a label are left out of sum and mean. */
static double ce(const struct cpu_loss_args *args)
{
    const int classes = args->student ? args->shape->channels : args->classes;
    const int pixels = args->student ? args->shape->pixels : 1;
    const size_t size = (size_t)pixels * (size_t)classes;
    const float *scores = args->student ? args->student : args->logits;
    float *gradient = args->student ? args->student_gradient : args->gradient;
    const int labelled = count_labelled(args, classes);
    const double smoothing = args->term->label_smoothing;
    double sum = 0;
    for (int i = 0; i < args->rows; i++) {
        const struct row_label label = label_of_row(args, i, classes);
        const struct row_scores row = {scores + (size_t)i * size, classes, pixels};
        if (label.label < 0)
            continue;
        const struct log_softmax softmax = log_softmax_of(&row, -1, 1);
        for (int k = 0; k < classes; k++) {
            const double log_q = log_probability(&softmax, score_of(&row, k));
            const double target = smoothed_target(&label, 1 - smoothing, smoothing / classes, k);
            const double derivative = args->weight * (exp(log_q) - target) / labelled / pixels;
            sum -= target * log_q;
            for (size_t at = (size_t)k; gradient && at < size; at += (size_t)classes)
                gradient[(size_t)i * size + at] += (float)derivative;
        }
    }
    return labelled ? sum / labelled : 0;
}

const struct cpu_loss cpu_ce = {LOSS_CE, ce, NULL};
