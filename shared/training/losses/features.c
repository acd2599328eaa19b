/* Terms that compare a student's value with a teacher's, element by element: one task a sample, its sums in double, and
 * the samples' sums added in order. */
#include "shared/training/cpu/cpu_loss.h"

#include <math.h>

static const double NORM_SHORTEST = 1e-12;  /* F.normalize's */
static const double COSINE_EPSILON = 1e-12; /* F.cosine_embedding_loss's, on squared norms */
static const double VID_EPSILON = 1e-5;     /* on variances */

/* A term that is being computed. */
struct value_run {
    const struct cpu_term *t;
    size_t pixels, channels, size; /* of a row; size = pixels * channels */
    double share;                  /* of a row, or of an element, in the mean */
    double *sums;                  /* hint, at, cosine: [rows]; vid: [rows, channels] */
    double *maps;                  /* at: [rows, 2, pixels] Q of student and teacher */
    double *inverse;               /* vid: [channels] 1 / v */
};

static struct value_run value_run_of(const struct cpu_term *t)
{
    const struct loss_shape *s = t->shape;
    struct value_run r = {.t = t,
                          .pixels = (size_t)s->pixels,
                          .channels = (size_t)s->channels,
                          .size = (size_t)s->pixels * (size_t)s->channels,
                          .sums = t->scratch};
    r.maps = r.inverse = r.sums + s->batch;
    return r;
}

static size_t row_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return (size_t)shape->batch * sizeof(double);
}

/* Runs the task on every row; the sum of what they left in sums. */
static double sum_rows(struct value_run *r, void (*task)(void *run, int row, int worker))
{
    double sum = 0;
    thread_pool_run(r->t->device->pool, r->t->rows, task, r);
    for (int row = 0; row < r->t->rows; row++)
        sum += r->sums[row];
    return sum;
}

static float *gradient_row(const struct value_run *r, int row)
{
    return r->t->student_gradient ? r->t->student_gradient + (size_t)row * r->size : NULL;
}

/* Four sums, so that no addition waits for the one before. */
static double dot(const float *a, const float *b, size_t count)
{
    double first = 0, second = 0, third = 0, fourth = 0;
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        first += (double)a[i] * (double)b[i];
        second += (double)a[i + 1] * (double)b[i + 1];
        third += (double)a[i + 2] * (double)b[i + 2];
        fourth += (double)a[i + 3] * (double)b[i + 3];
    }
    for (; i < count; i++)
        first += (double)a[i] * (double)b[i];
    return first + second + (third + fourth);
}

/* ---- hint ---- */
static void hint_row(void *run, int row, int worker)
{
    const struct value_run *r = run;
    const float *student = r->t->student + (size_t)row * r->size, *teacher = r->t->teacher + (size_t)row * r->size;
    const bool huber = r->t->term->distance == DISTANCE_HUBER;
    const double derivative = r->t->weight * r->share;
    float *gradient = gradient_row(r, row);
    double sum = 0;
    (void)worker;
    for (size_t i = 0; i < r->size; i++) {
        const double d = (double)student[i] - (double)teacher[i];
        if (!huber) {
            sum += d * d;
            if (gradient)
                gradient[i] += (float)(derivative * 2 * d);
            continue;
        }
        sum += fabs(d) < 1 ? d * d / 2 : fabs(d) - 0.5;
        if (gradient)
            gradient[i] += (float)(derivative * (d > 1 ? 1 : d < -1 ? -1 : d));
    }
    r->sums[row] = sum;
}

static double hint(const struct cpu_term *t)
{
    struct value_run r = value_run_of(t);
    r.share = t->rows ? 1.0 / ((double)t->rows * (double)r.size) : 0;
    return r.share * sum_rows(&r, hint_row);
}

/* ---- attention transfer ---- */
static size_t attention_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    return row_scratch(term, shape) * (1 + 2 * (size_t)shape->pixels);
}

/* map[pixels] = F.normalize(mean over channels of value^2). Returns the norm, 0 where it was clamped. */
static double attention_map(const float *value, size_t pixels, size_t channels, double *map)
{
    double squares = 0;
    for (size_t i = 0; i < pixels; i++) {
        map[i] = dot(value + i * channels, value + i * channels, channels) / (double)channels;
        squares += map[i] * map[i];
    }
    const double norm = sqrt(squares);
    for (size_t i = 0; i < pixels; i++)
        map[i] /= norm > NORM_SHORTEST ? norm : NORM_SHORTEST;
    return norm > NORM_SHORTEST ? norm : 0;
}

/* dL/dq = (g - Q <g, Q>) / norm, where g = dL/dQ; a clamped norm is a constant. */
static void attention_row(void *run, int row, int worker)
{
    const struct value_run *r = run;
    const size_t n = (size_t)row, pixels = r->pixels, teacher_channels = (size_t)r->t->shape->teacher_channels;
    const float *student = r->t->student + n * r->size, *teacher = r->t->teacher + n * pixels * teacher_channels;
    double *map = r->maps + n * 2 * pixels, *target = map + pixels, along = 0, sum = 0;
    const double norm = attention_map(student, pixels, r->channels, map);
    float *gradient = gradient_row(r, row);
    (void)worker;
    if (teacher_channels > 1)
        attention_map(teacher, pixels, teacher_channels, target);
    for (size_t i = 0; i < pixels; i++) {
        target[i] = map[i] - (teacher_channels > 1 ? target[i] : (double)teacher[i]);
        sum += target[i] * target[i];
        along += target[i] * map[i];
    }
    r->sums[row] = sum;
    for (size_t i = 0; gradient && i < pixels; i++) {
        const double across = norm > 0 ? (target[i] - along * map[i]) / norm : target[i] / NORM_SHORTEST;
        const double derivative = r->t->weight * r->share * 2 * across * 2 / (double)r->channels;
        for (size_t c = i * r->channels; c < (i + 1) * r->channels; c++)
            gradient[c] += (float)(derivative * (double)student[c]);
    }
}

static double attention(const struct cpu_term *t)
{
    struct value_run r = value_run_of(t);
    r.share = t->rows ? 1.0 / ((double)t->rows * (double)r.pixels) : 0;
    return r.share * sum_rows(&r, attention_row);
}

/* ---- cosine ---- */
static void cosine_row(void *run, int row, int worker)
{
    const struct value_run *r = run;
    const float *student = r->t->student + (size_t)row * r->size, *teacher = r->t->teacher + (size_t)row * r->size;
    const double squares = dot(student, student, r->size) + COSINE_EPSILON;
    const double length = sqrt(squares * (dot(teacher, teacher, r->size) + COSINE_EPSILON));
    const double cosine = dot(student, teacher, r->size) / length, derivative = r->t->weight * r->share;
    float *gradient = gradient_row(r, row);
    (void)worker;
    r->sums[row] = 1 - cosine;
    for (size_t i = 0; gradient && i < r->size; i++)
        gradient[i] += (float)(derivative * ((double)student[i] * cosine / squares - (double)teacher[i] / length));
}

static double cosine(const struct cpu_term *t)
{
    struct value_run r = value_run_of(t);
    r.share = t->rows ? 1.0 / t->rows : 0;
    return r.share * sum_rows(&r, cosine_row);
}

/* ---- variational information distillation ---- */
static size_t variational_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    return row_scratch(term, shape) * (size_t)shape->channels + (size_t)shape->channels * sizeof(double);
}

static double variance_of(float log_scale)
{
    const double x = (double)log_scale;
    return fmax(x, 0) + log1p(exp(-fabs(x))) + VID_EPSILON;
}

/* sums[row, c] = sum over pixels of (f_s - f_t)^2 */
static void variational_row(void *run, int row, int worker)
{
    const struct value_run *r = run;
    const float *student = r->t->student + (size_t)row * r->size, *teacher = r->t->teacher + (size_t)row * r->size;
    const double derivative = r->t->weight * r->share;
    double *sums = r->sums + (size_t)row * r->channels;
    float *gradient = gradient_row(r, row);
    (void)worker;
    for (size_t c = 0; c < r->channels; c++)
        sums[c] = 0;
    for (size_t i = 0; i < r->size; i += r->channels)
        for (size_t c = 0; c < r->channels; c++) {
            const double d = (double)student[i + c] - (double)teacher[i + c];
            sums[c] += d * d;
            if (gradient)
                gradient[i + c] += (float)(derivative * d * r->inverse[c]);
        }
}

static double variational(const struct cpu_term *t)
{
    struct value_run r = value_run_of(t);
    const float *log_scale = t->parameters[LEARNED_SCALE];
    float *scale_gradient = t->parameter_gradients[LEARNED_SCALE];
    const double count = (double)t->rows * (double)r.pixels; /* of a channel */
    double value = 0;
    r.share = t->rows ? 1.0 / (count * (double)r.channels) : 0;
    r.inverse = r.sums + (size_t)t->shape->batch * r.channels;
    for (size_t c = 0; c < r.channels; c++)
        r.inverse[c] = 1 / variance_of(log_scale[c]);
    thread_pool_run(t->device->pool, t->rows, variational_row, &r);
    for (size_t c = 0; c < r.channels; c++) {
        const double bend = 1 / (1 + exp(-(double)log_scale[c])); /* dv/dlog_scale */
        double squares = 0;
        for (int row = 0; row < t->rows; row++)
            squares += r.sums[(size_t)row * r.channels + c];
        value += (squares * r.inverse[c] - count * log(r.inverse[c])) / 2;
        if (scale_gradient)
            scale_gradient[c] =
                (float)(t->weight * r.share * bend * (count - squares * r.inverse[c]) * r.inverse[c] / 2);
    }
    return r.share * value;
}

const struct cpu_term_kind cpu_feature_terms[LOSS_KIND_COUNT] = {
    [LOSS_HINT] = {hint, row_scratch},
    [LOSS_AT] = {attention, attention_scratch},
    [LOSS_COSINE] = {cosine, row_scratch},
    [LOSS_VID] = {variational, variational_scratch},
};
