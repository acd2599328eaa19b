/* The mean squared difference between the logits of student and teacher. */
#include "shared/training/losses/logit_row.h"

static double logit_mse(const struct cpu_loss_args *args)
{
    const size_t classes = (size_t)args->classes, count = (size_t)args->count * classes;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (row_left_out(args, (int)(i / classes)))
            continue;
        const double difference = (double)args->logits[i] - args->teacher_logits[i];
        sum += difference * difference;
        if (args->gradient)
            args->gradient[i] += (float)(args->weight * 2 * difference / (double)count);
    }
    return sum / (double)count;
}

const struct cpu_loss cpu_logit_mse = {LOSS_LOGIT_MSE, logit_mse, NULL};
