/* Terms with embeddings that are trained beside the student. The student's embedding is a value of the training graph;
 * the teacher's, W x + b, is made here, and so are the gradients of W and b. */
#include "shared/training/losses/learned.h"

#include "shared/training/losses/row_products.h"

#include <math.h>

enum { SIZE = LOSS_EMBEDDING };

/* ---- the teacher's embedding ---- */
static size_t teacher_length(const struct cpu_term *t)
{
    return (size_t)t->shape->teacher_pixels * (size_t)t->shape->teacher_channels;
}

void cpu_embedding(const struct cpu_term *t, double *out)
{
    const float *bias = t->parameters[LEARNED_BIAS];
    cpu_row_products(t->device->pool, t->teacher, t->rows, t->parameters[LEARNED_WEIGHT], SIZE, teacher_length(t), out);
    for (size_t i = 0; i < (size_t)t->rows * SIZE; i++)
        out[i] += (double)bias[i % SIZE];
}

void cpu_embedding_gradients(const struct cpu_term *t, const double *derivatives)
{
    if (!t->parameter_gradients[LEARNED_WEIGHT])
        return;
    cpu_combine_rows(t->device->pool, &(struct cpu_combination){
                                          .m = derivatives,
                                          .row_step = 1,
                                          .column_step = SIZE,
                                          .x = t->teacher,
                                          .out_rows = SIZE,
                                          .x_rows = t->rows,
                                          .length = teacher_length(t),
                                          .scale = t->weight,
                                          .out = t->parameter_gradients[LEARNED_WEIGHT],
                                      });
    for (size_t d = 0; d < SIZE; d++) {
        double sum = 0;
        for (size_t i = 0; i < (size_t)t->rows; i++)
            sum += derivatives[i * SIZE + d];
        t->parameter_gradients[LEARNED_BIAS][d] = (float)(t->weight * sum);
    }
}

/* ---- correlation congruence ---- */
static size_t correlation_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return 2 * (size_t)shape->batch * SIZE * sizeof(double);
}

static double correlation(const struct cpu_term *t)
{
    const size_t n = (size_t)t->rows, count = n * SIZE;
    const double share = n > 1 ? 1.0 / (double)(n - 1) : 0;
    double *difference = t->scratch, *derivatives = difference + count, value = 0;
    cpu_embedding(t, difference);
    for (size_t i = 0; i < count; i++)
        difference[i] = (double)t->student[i] - difference[i];
    for (size_t i = 0; i < count; i++) {
        const double next = i + SIZE < count ? fabs(difference[i + SIZE]) : 0;
        const double before = i >= SIZE ? fabs(difference[i - SIZE]) : 0;
        const double sign = (difference[i] > 0) - (difference[i] < 0), derivative = share * sign * (next + before);
        value += share * fabs(difference[i]) * next;
        derivatives[i] = -derivative;
        if (t->student_gradient)
            t->student_gradient[i] += (float)(t->weight * derivative);
    }
    cpu_embedding_gradients(t, derivatives);
    return value;
}

const struct cpu_term_kind cpu_learned_terms[LOSS_KIND_COUNT] = {
    [LOSS_CC] = {correlation, correlation_scratch},
    [LOSS_CRD] = {cpu_contrast, cpu_contrast_scratch},
};
