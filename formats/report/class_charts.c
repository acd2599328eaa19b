#include "formats/report/class_charts.h"

#include "formats/report/svg_chart.h"
#include "shared/base/memory.h"
#include <math.h>
#include <stdlib.h>

struct ranked {
    double value;
    int index;
};

static int lowest_first(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    if (left->value != right->value)
        return left->value < right->value ? -1 : 1;
    return left->index - right->index;
}

static int highest_first(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    if (left->value != right->value)
        return left->value > right->value ? -1 : 1;
    return left->index - right->index;
}

static int farthest_first(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    if (fabs(left->value) != fabs(right->value))
        return fabs(left->value) > fabs(right->value) ? -1 : 1;
    return left->index - right->index;
}

bool chart_class_accuracy(FILE *out, const char *const *classes, int class_count, const struct class_series *series,
                          int series_count)
{
    int count = 0;
    struct ranked *ranked = calloc((size_t)class_count + 1, sizeof *ranked);
    if (!ranked)
        return false;
    for (int i = 0; i < class_count; i++)
        if (isfinite(series[0].values[i]))
            ranked[count++] = (struct ranked){series[0].values[i], i};
    const bool all = count <= CLASS_CHART_LIMIT;
    if (!all)
        qsort(ranked, (size_t)count, sizeof *ranked, lowest_first);
    count = all ? count : CLASS_CHART_LIMIT;
    const char *labels[CLASS_CHART_LIMIT], *names[CLASS_CHART_SERIES];
    double values[CLASS_CHART_SERIES][CLASS_CHART_LIMIT];
    const double *rows[CLASS_CHART_SERIES];
    int colors[CLASS_CHART_SERIES];
    for (int s = 0; s < series_count; s++) {
        names[s] = series[s].name;
        colors[s] = series[s].color;
        rows[s] = values[s];
        for (int i = 0; i < count; i++)
            values[s][i] = series[s].values[ranked[i].index];
    }
    for (int i = 0; i < count; i++)
        labels[i] = classes[ranked[i].index];
    const struct bar_chart chart = {.title = all ? "Accuracy per class" : "Accuracy per class: the 30 worst",
                                    .labels = labels,
                                    .count = count,
                                    .names = names,
                                    .values = rows,
                                    .colors = colors,
                                    .series_count = series_count};
    chart_bars(out, &chart);
    free(ranked);
    return true;
}

bool chart_class_changes(FILE *out, const char *title, const char *const *classes, int class_count,
                         const double *before, const double *after)
{
    int count = 0;
    struct ranked *ranked = calloc((size_t)class_count + 1, sizeof *ranked);
    if (!ranked)
        return false;
    for (int i = 0; i < class_count; i++)
        if (isfinite(before[i]) && isfinite(after[i]))
            ranked[count++] = (struct ranked){after[i] - before[i], i};
    const bool all = count <= CLASS_CHART_LIMIT;
    qsort(ranked, (size_t)count, sizeof *ranked, farthest_first);
    count = all ? count : CLASS_CHART_LIMIT;
    qsort(ranked, (size_t)count, sizeof *ranked, highest_first);
    const char *labels[CLASS_CHART_LIMIT];
    double values[CLASS_CHART_LIMIT];
    struct arena arena = {0};
    const char *whole = all ? title : arena_printf(&arena, "%s: the 30 classes that change most", title);
    for (int i = 0; i < count; i++) {
        labels[i] = classes[ranked[i].index];
        values[i] = ranked[i].value;
    }
    if (whole)
        chart_changes(out, whole, labels, values, count);
    arena_release(&arena);
    free(ranked);
    return whole != NULL;
}
