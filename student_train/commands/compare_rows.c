/* Means over runs of the same name, and gains over a baseline. */
#include "student_train/commands/compare_rows.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Numbers that are averaged; the others are those of the first run. */
static const size_t averaged[] = {
    offsetof(struct run_metrics, accuracy),          offsetof(struct run_metrics, agreement),
    offsetof(struct run_metrics, loss_value),        offsetof(struct run_metrics, selection),
    offsetof(struct run_metrics, images_per_second), offsetof(struct run_metrics, seconds),
};
enum { AVERAGED = sizeof averaged / sizeof *averaged };

static double *number_at(struct run_metrics *metrics, size_t offset)
{
    return (double *)(void *)((char *)metrics + offset);
}

void compare_rows_of(struct compare_row *rows, const struct run_metrics *runs, const char *const *folders,
                     const double *x, int count)
{
    for (int i = 0; i < count; i++)
        rows[i] = (struct compare_row){.metrics = runs[i],
                                       .folder = folders[i],
                                       .runs = 1,
                                       .accuracy_error = NAN,
                                       .gain = NAN,
                                       .gain_error = NAN,
                                       .x = x ? x[i] : NAN};
}

static bool same_place(const struct compare_row *a, const struct compare_row *b)
{
    return a->x == b->x || (isnan(a->x) && isnan(b->x));
}

bool compare_rows_together(const struct compare_row *a, const struct compare_row *b)
{
    return strcmp(a->metrics.name, b->metrics.name) == 0 && same_place(a, b);
}

/* The mean of `first` and those of rows[count] that belong to it. Two passes: the deviations need the mean. */
static struct compare_row average(const struct compare_row *first, const struct compare_row *rows, int count)
{
    struct compare_row mean = *first;
    double squares = 0;
    mean.runs = 0;
    for (int k = 0; k < AVERAGED; k++)
        *number_at(&mean.metrics, averaged[k]) = 0;
    for (int i = 0; i < count; i++) {
        struct run_metrics metrics = rows[i].metrics;
        if (!compare_rows_together(first, &rows[i]))
            continue;
        mean.runs++;
        for (int k = 0; k < AVERAGED; k++)
            *number_at(&mean.metrics, averaged[k]) += *number_at(&metrics, averaged[k]);
    }
    for (int k = 0; k < AVERAGED; k++)
        *number_at(&mean.metrics, averaged[k]) /= mean.runs;
    for (int i = 0; i < count; i++)
        if (compare_rows_together(first, &rows[i]))
            squares += pow(rows[i].metrics.accuracy - mean.metrics.accuracy, 2);
    if (mean.runs > 1)
        mean.accuracy_error = sqrt(squares / (mean.runs - 1) / mean.runs);
    return mean;
}

int compare_rows_average(struct compare_row *rows, int count)
{
    int means = 0;
    for (int i = 0; i < count; i++) {
        bool seen = false;
        for (int k = 0; k < means && !seen; k++)
            seen = compare_rows_together(&rows[k], &rows[i]);
        if (seen)
            continue;
        /* The means stand before row i, and belong to other names than this one and those behind it. */
        const struct compare_row mean = average(&rows[i], rows + i, count - i);
        rows[means++] = mean;
    }
    return means;
}

enum status compare_rows_gain(struct compare_row *rows, int count, const char *baseline, struct error *err)
{
    bool any = false;
    for (int i = 0; i < count; i++) {
        const struct compare_row *base = NULL;
        if (strcmp(rows[i].metrics.loss, baseline) == 0)
            continue;
        for (int k = 0; k < count; k++) {
            const struct run_metrics *metrics = &rows[k].metrics;
            if (strcmp(metrics->loss, baseline) != 0 || strcmp(metrics->student, rows[i].metrics.student) != 0 ||
                !same_place(&rows[k], &rows[i]))
                continue;
            if (base)
                return error_set(err, STATUS_CONFIG, NULL,
                                 "--baseline '%s': '%s' and '%s' are both runs of student '%s' with this loss; give "
                                 "one of them",
                                 baseline, base->metrics.name, metrics->name, metrics->student);
            base = &rows[k];
        }
        if (!base)
            continue;
        any = true;
        rows[i].baseline = base;
        rows[i].gain = rows[i].metrics.accuracy - base->metrics.accuracy;
        rows[i].gain_error = hypot(rows[i].accuracy_error, base->accuracy_error);
    }
    return any ? STATUS_OK
               : error_set(err, STATUS_CONFIG, NULL,
                           "--baseline '%s': no student has both runs with this loss and runs with another one; the "
                           "first run's loss is '%s'",
                           baseline, rows[0].metrics.loss);
}
