/* sweep.csv, sweep.html and the table on stdout. */
#define _GNU_SOURCE
#include "student_train/sweep.h"

#include "formats/svg_chart.h"
#include "shared/base/files.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUMMARY_LIMIT = 64 << 20, PRINTED = 10, MAX_CURVES = 200 };

static bool finished(const struct sweep *sweep, int cell)
{
    return sweep->metrics[cell].loss != NULL;
}

/* What runs are compared by: accuracy, without labels agreement. */
static double score(const struct run_metrics *metrics)
{
    return isfinite(metrics->accuracy) ? metrics->accuracy : metrics->agreement;
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

static void csv_number(FILE *out, double number)
{
    if (isfinite(number))
        fprintf(out, ",%.9g", number);
    else
        fputc(',', out);
}

static void write_csv(const struct sweep *sweep, FILE *out)
{
    const struct grid *grid = &sweep->grid;
    for (int k = 0; k < grid->key_count; k++) {
        csv_text(out, grid->keys[k].name);
        fputc(',', out);
    }
    fputs("expression,accuracy,agreement,loss,epochs,best_epoch,parameters,folder\n", out);
    for (int cell = 0; cell < grid->cells; cell++) {
        const struct run_metrics *m = &sweep->metrics[cell];
        if (!finished(sweep, cell))
            continue;
        for (int k = 0; k < grid->key_count; k++) {
            csv_text(out, grid_value(grid, cell, k));
            fputc(',', out);
        }
        csv_text(out, m->loss);
        csv_number(out, m->accuracy);
        csv_number(out, m->agreement);
        csv_number(out, m->loss_value);
        fprintf(out, ",%.0f,%.0f,%.0f,", m->epochs, m->best_epoch, m->parameters);
        csv_text(out, sweep->folders[cell] + strlen(sweep->options.out) + 1);
        fputc('\n', out);
    }
}

/* ---- sweep.html ---- */

static double mean_of(const struct sweep *sweep, int key, int value, int key2, int value2)
{
    double sum = 0;
    int count = 0;
    for (int cell = 0; cell < sweep->grid.cells; cell++)
        if (finished(sweep, cell) && grid_index(&sweep->grid, cell, key) == value &&
            (key2 < 0 || grid_index(&sweep->grid, cell, key2) == value2) && isfinite(score(&sweep->metrics[cell]))) {
            sum += score(&sweep->metrics[cell]);
            count++;
        }
    return count ? sum / count : NAN;
}

/* A heat map of two keys, the mean over all others. */
static void heat_map(const struct sweep *sweep, int rows, int columns, FILE *out)
{
    const struct grid_key *a = &sweep->grid.keys[rows], *b = &sweep->grid.keys[columns];
    double *values = calloc((size_t)a->count * (size_t)b->count, 2 * sizeof *values), low = INFINITY, high = -INFINITY;
    double *numbers = values ? values + (size_t)a->count * (size_t)b->count : NULL;
    char title[160];
    if (!values)
        return;
    for (int i = 0; i < a->count; i++)
        for (int j = 0; j < b->count; j++) {
            const double value = mean_of(sweep, rows, i, columns, j);
            values[i * b->count + j] = value;
            numbers[i * b->count + j] = 100 * value;
            low = isfinite(value) ? fmin(low, value) : low;
            high = isfinite(value) ? fmax(high, value) : high;
        }
    snprintf(title, sizeof title, "Accuracy in %% by %.40s and %.40s%s", a->name, b->name,
             sweep->grid.key_count > 2 ? ", mean over the others" : "");
    if (low <= high)
        chart_heat_map(out, &(struct heat_map){.title = title,
                                               .row_title = a->name,
                                               .column_title = b->name,
                                               .row_labels = a->values,
                                               .column_labels = b->values,
                                               .rows = a->count,
                                               .columns = b->count,
                                               .values = values,
                                               .numbers = numbers,
                                               .low = low == high ? low - 1e-3 : low,
                                               .high = high,
                                               .decimals = 2});
    free(values);
}

/* The column val_accuracy (without labels: agreement) of a run's summary.csv, malloc'ed; NULL where it cannot be read.
 */
static double *read_curve(const char *folder, const char *column, int *count)
{
    char *path = path_join(folder, "summary.csv"), *text = NULL;
    unsigned char *bytes = NULL;
    double *curve = NULL;
    size_t size = 0, rows = 0;
    int wanted = -1, at = 0;
    *count = 0;
    if (path && file_read(path, SUMMARY_LIMIT, &bytes, &size, NULL) == STATUS_OK)
        text = strndup((const char *)bytes, size);
    free(bytes);
    free(path);
    if (!text)
        return NULL;
    char *line = text, *rest = strchr(text, '\n');
    if (rest)
        *rest++ = 0;
    for (char *field; (field = strsep(&line, ",")); at++)
        wanted = strcmp(field, column) == 0 ? at : wanted;
    for (const char *c = rest; c && *c; c++)
        rows += *c == '\n';
    curve = wanted >= 0 ? calloc(rows + 1, sizeof *curve) : NULL;
    while (curve && rest && *rest && (size_t)*count < rows) {
        char *next = strchr(rest, '\n');
        if (next)
            *next++ = 0;
        line = rest;
        at = 0;
        for (char *field; (field = strsep(&line, ",")); at++)
            if (at == wanted)
                curve[(*count)++] = *field ? strtod(field, NULL) : NAN;
        rest = next;
    }
    free(text);
    return curve;
}

/* All runs' accuracy over the epochs; the colour is the value of the first key. */
static void curves(const struct sweep *sweep, FILE *out)
{
    const struct grid *grid = &sweep->grid;
    struct chart_series *series = calloc(MAX_CURVES, sizeof *series);
    char(*names)[160] = calloc(MAX_CURVES, sizeof *names);
    int count = 0;
    bool labelled = false;
    for (int cell = 0; cell < grid->cells; cell++)
        labelled = labelled || (finished(sweep, cell) && isfinite(sweep->metrics[cell].accuracy));
    for (int cell = 0; series && names && cell < grid->cells && count < MAX_CURVES; cell++) {
        if (!finished(sweep, cell))
            continue;
        struct chart_series *s = &series[count];
        s->y = read_curve(sweep->folders[cell], labelled ? "val_accuracy" : "agreement", &s->count);
        grid_label(grid, cell, names[count], sizeof names[count]);
        s->name = names[count];
        s->color = grid->key_count ? grid_index(grid, cell, 0) % CHART_COLORS : 0;
        count += s->y != NULL;
    }
    if (count)
        chart_lines(out, &(struct line_chart){.title = labelled ? "Validation accuracy" : "Agreement with the teacher",
                                              .x_label = "epoch",
                                              .series = series,
                                              .series_count = count,
                                              .percent = true,
                                              .mark = NAN,
                                              .no_legend = count > CHART_COLORS});
    for (int i = 0; i < count; i++)
        free((double *)(uintptr_t)series[i].y);
    free(series);
    free(names);
}

/* Cells in order of their score, the best first. malloc'ed. */
static int by_score(const void *left, const void *right, void *context)
{
    const struct sweep *sweep = context;
    const int a = *(const int *)left, b = *(const int *)right;
    const double x = score(&sweep->metrics[a]), y = score(&sweep->metrics[b]);
    if (x != y && (isfinite(x) || isfinite(y)))
        return !isfinite(y) || x > y ? -1 : 1;
    return a < b ? -1 : a > b;
}

static int *ranked(const struct sweep *sweep, int *count)
{
    int *cells = calloc((size_t)sweep->grid.cells + 1, sizeof *cells);
    *count = 0;
    for (int cell = 0; cells && cell < sweep->grid.cells; cell++)
        if (finished(sweep, cell))
            cells[(*count)++] = cell;
    if (cells)
        qsort_r(cells, (size_t)*count, sizeof *cells, by_score, (void *)(uintptr_t)sweep);
    return cells;
}

static void percent_cell(FILE *out, double value)
{
    if (isfinite(value))
        fprintf(out, "<td>%.2f %%</td>", 100 * value);
    else
        fputs("<td></td>", out);
}

static void table(const struct sweep *sweep, FILE *out)
{
    const struct grid *grid = &sweep->grid;
    int count, *cells = ranked(sweep, &count);
    fputs("<h2>Runs</h2><div class=\"panel\"><table><thead><tr><th>rank</th>", out);
    for (int k = 0; k < grid->key_count; k++) {
        fputs("<th>", out);
        html_escape(out, grid->keys[k].name);
        fputs("</th>", out);
    }
    fputs("<th>accuracy</th><th>agreement</th><th>best epoch</th><th>of</th><th>run</th></tr></thead><tbody>\n", out);
    for (int i = 0; cells && i < count; i++) {
        const struct run_metrics *m = &sweep->metrics[cells[i]];
        const char *folder = sweep->folders[cells[i]] + strlen(sweep->options.out) + 1;
        fprintf(out, "<tr><td>%d</td>", i + 1);
        for (int k = 0; k < grid->key_count; k++) {
            fputs("<td>", out);
            html_escape(out, grid_value(grid, cells[i], k));
            fputs("</td>", out);
        }
        percent_cell(out, m->accuracy);
        percent_cell(out, m->agreement);
        fprintf(out, "<td>%.0f</td><td>%.0f</td><td><a href=\"", m->best_epoch, m->epochs);
        html_escape(out, folder);
        fputs("/report.html\">report</a></td></tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
    free(cells);
}

static void write_html(const struct sweep *sweep, FILE *out)
{
    const struct grid *grid = &sweep->grid;
    int done = 0, wide[2] = {-1, -1}, found = 0;
    for (int cell = 0; cell < grid->cells; cell++)
        done += finished(sweep, cell);
    for (int k = 0; k < grid->key_count && found < 2; k++)
        if (grid->keys[k].count > 1 && strcmp(grid->keys[k].name, "seed") != 0)
            wide[found++] = k;
    fprintf(out,
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
            "content=\"width=device-width, initial-scale=1\"><title>sweep</title><style>%s</style></head><body>"
            "<main><h1>Sweep of ",
            chart_style());
    for (int k = 0; k < grid->key_count; k++) {
        fputs(k ? ", " : "", out);
        html_escape(out, grid->keys[k].name);
    }
    fprintf(out, "</h1>\n<p class=\"subtitle\">%d of %d runs; loss ", done, grid->cells);
    html_escape(out, sweep->options.loss);
    if (sweep->options.student) {
        fputs(", student ", out);
        html_escape(out, sweep->options.student);
    }
    fprintf(out, ", %d epochs</p>\n<div class=\"grid\">\n", sweep->options.epochs);
    if (found == 2)
        heat_map(sweep, wide[0], wide[1], out);
    curves(sweep, out);
    fputs("</div>\n", out);
    table(sweep, out);
    fputs("</main></body></html>\n", out);
}

static enum status publish(const struct sweep *sweep, const char *name,
                           void (*write)(const struct sweep *sweep, FILE *out), struct error *err)
{
    enum status status = STATUS_OK;
    char *text = NULL, *path = path_join(sweep->options.out, name);
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out || !path)
        TRY(error_no_memory(err, 0, name));
    write(sweep, out);
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed)
        status = error_no_memory(err, size, name);
    else
        status = file_publish(path, text, size, err);
    out = NULL;
cleanup:
    if (out)
        fclose(out);
    free(text);
    free(path);
    return status;
}

enum status sweep_report(const struct sweep *sweep, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(publish(sweep, "sweep.csv", write_csv, err));
    TRY(publish(sweep, "sweep.html", write_html, err));
cleanup:
    return status;
}

/* ---- stdout ---- */

static void add_number(cJSON *object, const char *name, double number)
{
    cJSON_AddItemToObject(object, name, isfinite(number) ? cJSON_CreateNumber(number) : cJSON_CreateNull());
}

static enum status print_json(const struct sweep *sweep, const int *cells, int count, struct error *err)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < count; i++) {
        const struct run_metrics *m = &sweep->metrics[cells[i]];
        cJSON *item = cJSON_CreateObject(), *keys = cJSON_AddObjectToObject(item, "grid");
        for (int k = 0; k < sweep->grid.key_count; k++)
            cJSON_AddStringToObject(keys, sweep->grid.keys[k].name, grid_value(&sweep->grid, cells[i], k));
        cJSON_AddStringToObject(item, "run", sweep->folders[cells[i]]);
        cJSON_AddStringToObject(item, "loss", m->loss);
        add_number(item, "accuracy", m->accuracy);
        add_number(item, "agreement", m->agreement);
        cJSON_AddItemToArray(list, item);
    }
    char *text = cJSON_Print(list);
    cJSON_Delete(list);
    if (!text)
        return error_no_memory(err, 0, "a table");
    printf("%s\n", text);
    free(text);
    return STATUS_OK;
}

enum status sweep_print(const struct sweep *sweep, struct error *err)
{
    int count, *cells = ranked(sweep, &count);
    enum status status = STATUS_OK;
    if (!cells)
        return error_no_memory(err, 0, "a table");
    if (sweep->options.json) {
        status = print_json(sweep, cells, count, err);
    } else {
        printf("%-48s %10s %10s\n", "best runs", "accuracy", "agreement");
        for (int i = 0; i < count && i < PRINTED; i++) {
            char label[160];
            const struct run_metrics *m = &sweep->metrics[cells[i]];
            grid_label(&sweep->grid, cells[i], label, sizeof label);
            printf("%-48.48s %8.2f %% %8.2f %%\n", label, 100 * m->accuracy, 100 * m->agreement);
        }
        printf("\n%d runs   table: %s/sweep.csv   page: %s/sweep.html\n", count, sweep->options.out,
               sweep->options.out);
    }
    free(cells);
    return status;
}
