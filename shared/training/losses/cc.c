/* Correlation congruence: the mean over neighbouring rows of sum_d |D_i| |D_{i+1}|, where D is the student's embedding
 * less the teacher's. */
#include "shared/training/losses/embedding.h"

enum { SIZE = LOSS_EMBEDDING };

static size_t cc_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return 2 * (size_t)shape->batch * SIZE * sizeof(double);
}

static double cc(const struct cpu_loss_args *args)
{
    const size_t n = (size_t)args->rows, count = n * SIZE;
    const double share = n > 1 ? 1.0 / (double)(n - 1) : 0;
    double *difference = args->scratch, *derivatives = difference + count; /* [n, SIZE] each */
    double value = 0;
    teacher_embedding(args, difference);
    for (size_t i = 0; i < count; i++)
        difference[i] = (double)args->student[i] - difference[i];
    for (size_t i = 0; i < count; i++) {
        const double next = i + SIZE < count ? fabs(difference[i + SIZE]) : 0;
        const double before = i >= SIZE ? fabs(difference[i - SIZE]) : 0;
        const struct loss_part part = cc_part(share, difference[i], before, next);
        value += part.value;
        derivatives[i] = -part.derivative;
        if (args->student_gradient)
            args->student_gradient[i] += (float)(args->weight * part.derivative);
    }
    teacher_embedding_gradients(args, derivatives);
    return value;
}

const struct cpu_loss cpu_cc = {LOSS_CC, cc, cc_scratch};
