/* The ranking of a sweep's runs, and sweep.csv; sweep_page.c has sweep.html. */
#define _GNU_SOURCE
#include "student_train/sweep/sweep.h"

#include "student_train/run/overview_file.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool sweep_finished(const struct sweep *sweep, int cell)
{
    return sweep->metrics[cell].loss != NULL;
}

double sweep_score(const struct run_metrics *metrics)
{
    return isfinite(metrics->selection)  ? metrics->selection
           : isfinite(metrics->accuracy) ? metrics->accuracy
                                         : metrics->agreement;
}

static int by_score(const void *left, const void *right, void *context)
{
    const struct sweep *sweep = context;
    const int a = *(const int *)left, b = *(const int *)right;
    const double x = sweep_score(&sweep->metrics[a]), y = sweep_score(&sweep->metrics[b]);
    if (x != y && (isfinite(x) || isfinite(y)))
        return !isfinite(y) || x > y ? -1 : 1;
    return a < b ? -1 : a > b;
}

int *sweep_ranked(const struct sweep *sweep, int *count)
{
    int *cells = calloc((size_t)sweep->grid.cells + 1, sizeof *cells);
    *count = 0;
    for (int cell = 0; cells && cell < sweep->grid.cells; cell++)
        if (sweep_finished(sweep, cell))
            cells[(*count)++] = cell;
    if (cells)
        qsort_r(cells, (size_t)*count, sizeof *cells, by_score, (void *)(uintptr_t)sweep);
    return cells;
}

/* ---- sweep.csv ---- */

static void csv_text(FILE *out, const char *text)
{
    if (!strpbrk(text, ",\"\n")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++)
        fprintf(out, *text == '"' ? "\"\"" : "%c", *text);
    fputc('"', out);
}

static void write_csv(const void *source, FILE *out)
{
    const struct sweep *sweep = source;
    const struct grid *grid = &sweep->grid;
    for (int k = 0; k < grid->key_count; k++) {
        csv_text(out, grid->keys[k].name);
        fputc(',', out);
    }
    fputs("expression,accuracy,agreement,loss,epochs,best_epoch,parameters,selection,folder\n", out);
    for (int cell = 0; cell < grid->cells; cell++) {
        const struct run_metrics *m = &sweep->metrics[cell];
        if (!sweep_finished(sweep, cell))
            continue;
        for (int k = 0; k < grid->key_count; k++) {
            csv_text(out, grid_value(grid, cell, k));
            fputc(',', out);
        }
        csv_text(out, m->loss);
        overview_csv_number(out, m->accuracy);
        overview_csv_number(out, m->agreement);
        overview_csv_number(out, m->loss_value);
        fprintf(out, ",%.0f,%.0f,%.0f", m->epochs, m->best_epoch, m->parameters);
        overview_csv_number(out, m->selection);
        fputc(',', out);
        csv_text(out, sweep->folders[cell] + strlen(sweep->options.out) + 1);
        fputc('\n', out);
    }
}

static void write_page(const void *sweep, FILE *out)
{
    sweep_page(sweep, out);
}

enum status sweep_report(const struct sweep *sweep, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(overview_publish(sweep->options.out, "sweep.csv", write_csv, sweep, err));
    TRY(overview_publish(sweep->options.out, "sweep.html", write_page, sweep, err));
cleanup:
    return status;
}
