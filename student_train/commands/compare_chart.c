/* The chart of `student_train compare`: accuracy against the place of each run, a line for each name. */
#define _POSIX_C_SOURCE 200809L
#include "student_train/commands/compare_rows.h"

#include "formats/report/svg_chart.h"
#include "shared/base/files.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* By name in the order of their first rows (series), then by place. */
struct point {
    int series;
    double x, y, error;
};

static int by_series(const void *left, const void *right)
{
    const struct point *a = left, *b = right;
    if (a->series != b->series)
        return a->series < b->series ? -1 : 1;
    return a->x < b->x ? -1 : a->x > b->x;
}

static int series_of(const struct compare_row *rows, int row)
{
    int first = 0;
    while (strcmp(rows[first].metrics.name, rows[row].metrics.name) != 0)
        first++;
    return first;
}

/* points[count] sorted; series, x, y, error [count] get what a chart borrows. Returns the number of series. */
static int fill_series(const struct compare_row *rows, const struct point *points, int count,
                       struct chart_series *series, double *x, double *y, double *error)
{
    int lines = 0;
    for (int i = 0; i < count; i++) {
        x[i] = points[i].x, y[i] = points[i].y, error[i] = points[i].error;
        if (i == 0 || points[i].series != points[i - 1].series) {
            series[lines] = (struct chart_series){.name = rows[points[i].series].metrics.name,
                                                  .x = x + i,
                                                  .y = y + i,
                                                  .error = error + i,
                                                  .color = lines % CHART_COLORS};
            lines++;
        }
        series[lines - 1].count++;
    }
    return lines;
}

static enum status publish(const struct line_chart *chart, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return error_no_memory(err, 0, "a chart");
    const bool drawn = chart_lines_file(out, chart);
    if (fclose(out) != 0)
        FAIL(error_no_memory(err, size, "a chart"));
    if (!drawn)
        FAIL(error_set(err, STATUS_CONFIG, NULL,
                       "--chart: no run has both an accuracy and a place; give --x as many times as --run"));
    TRY(file_publish(path, text, size, err));
cleanup:
    free(text);
    return status;
}

enum status compare_rows_chart(const struct compare_row *rows, int count, const char *title, const char *x_label,
                               bool logarithmic, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t size = (size_t)count + 1;
    struct point *points = calloc(size, sizeof *points);
    struct chart_series *series = calloc(size, sizeof *series);
    double *numbers = calloc(3 * size, sizeof *numbers);
    if (!points || !series || !numbers)
        FAIL(error_no_memory(err, size * sizeof *points, "a chart"));
    for (int i = 0; i < count; i++)
        points[i] = (struct point){series_of(rows, i), rows[i].x, rows[i].metrics.accuracy, rows[i].accuracy_error};
    qsort(points, (size_t)count, sizeof *points, by_series);
    const int lines = fill_series(rows, points, count, series, numbers, numbers + size, numbers + 2 * size);
    const struct line_chart chart = {.title = title,
                                     .x_label = x_label,
                                     .series = series,
                                     .series_count = lines,
                                     .percent = true,
                                     .logarithmic = logarithmic,
                                     .mark = NAN};
    TRY(publish(&chart, path, err));
cleanup:
    free(points);
    free(series);
    free(numbers);
    return status;
}
