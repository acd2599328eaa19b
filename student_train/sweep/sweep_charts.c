/* The charts of sweep.html: a heat map of two keys of the grid, and the curves of all runs. */
#include "student_train/sweep/sweep.h"

#include "formats/report/class_charts.h"
#include "formats/report/svg_chart.h"
#include "student_train/run/run_curve.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CURVES = 200, MAX_LEGEND = 5, HUE_FIRST = 225, HUE_LAST = 45 };
enum { COLOR_BEST = 1, COLOR_BASELINE = 7 };

bool sweep_labelled(const struct sweep *sweep)
{
    for (int cell = 0; cell < sweep->grid.cells; cell++)
        if (sweep_finished(sweep, cell) && isfinite(sweep->metrics[cell].accuracy))
            return true;
    return false;
}

/* ---- heat map ---- */

/* The mean score of the runs in which two keys have given values; key2 < 0: of one key. */
static double mean_of(const struct sweep *sweep, int key, int value, int key2, int value2)
{
    double sum = 0;
    int count = 0;
    for (int cell = 0; cell < sweep->grid.cells; cell++)
        if (sweep_finished(sweep, cell) && grid_index(&sweep->grid, cell, key) == value &&
            (key2 < 0 || grid_index(&sweep->grid, cell, key2) == value2) &&
            isfinite(sweep_score(&sweep->metrics[cell]))) {
            sum += sweep_score(&sweep->metrics[cell]);
            count++;
        }
    return count ? sum / count : NAN;
}

void sweep_heat_map(const struct sweep *sweep, int row_key, int column_key, FILE *out)
{
    const struct grid_key *a = &sweep->grid.keys[row_key], *b = &sweep->grid.keys[column_key];
    double *values = calloc((size_t)a->count * (size_t)b->count, 2 * sizeof *values), low = INFINITY, high = -INFINITY;
    double *numbers = values ? values + (size_t)a->count * (size_t)b->count : NULL;
    char title[160];
    if (!values)
        return;
    for (int i = 0; i < a->count; i++)
        for (int j = 0; j < b->count; j++) {
            const double value = mean_of(sweep, row_key, i, column_key, j);
            values[i * b->count + j] = value;
            numbers[i * b->count + j] = 100 * value;
            low = isfinite(value) ? fmin(low, value) : low;
            high = isfinite(value) ? fmax(high, value) : high;
        }
    snprintf(title, sizeof title, "%s in %% by %.40s and %.40s%s", sweep_labelled(sweep) ? "Accuracy" : "Agreement",
             a->name, b->name, sweep->grid.key_count > 2 ? ", mean over the others" : "");
    if (low <= high)
        chart_heat_map(
            out, &(struct heat_map){.title = title,
                                    .row_title = a->name,
                                    .column_title = b->name,
                                    .row_labels = a->values,
                                    .column_labels = b->values,
                                    .rows = a->count,
                                    .columns = b->count,
                                    .values = values,
                                    .numbers = numbers,
                                    .low = low - fmax(1e-3, 0.08 * (high - low)), /* the lowest cell stays readable */
                                    .high = high,
                                    .decimals = 2,
                                    .mark_highest = true});
    free(values);
}

/* ---- all curves ---- */

/* The key whose values' means are furthest apart: it says most about a run. -1: no key has several values. */
static int telling_key(const struct sweep *sweep)
{
    int found = -1;
    double widest = -1;
    for (int k = 0; k < sweep->grid.key_count; k++) {
        double low = INFINITY, high = -INFINITY;
        for (int i = 0; i < sweep->grid.keys[k].count; i++) {
            const double mean = mean_of(sweep, k, i, -1, 0);
            low = isfinite(mean) ? fmin(low, mean) : low;
            high = isfinite(mean) ? fmax(high, mean) : high;
        }
        if (sweep->grid.keys[k].count > 1 && high - low > widest) {
            widest = high - low;
            found = k;
        }
    }
    return found;
}

/* From blue to orange by way of green, not red. */
static int hue_of(const struct grid_key *key, int value)
{
    return key->count > 1 ? HUE_FIRST + (HUE_LAST - HUE_FIRST) * value / (key->count - 1) : HUE_FIRST;
}

/* A run whose loss has no term with a teacher. */
static bool is_baseline(const struct sweep *sweep, int cell)
{
    const char *loss = sweep->metrics[cell].loss;
    return strncmp(loss, "ce", 2) == 0 && !strstr(loss, " + ");
}

/* The curves of a chart, and the legend that replaces the names of many curves. */
struct curves {
    struct chart_series series[MAX_CURVES];
    char names[MAX_CURVES][180], hue_names[3][120];
    struct chart_legend_entry legend[MAX_LEGEND];
    int count, legend_count;
    const struct grid_key *telling; /* NULL: few curves, each with its own colour and name */
    int telling_index;
};

/* Adds a cell's curve, named after the cell and, if it stands out, why. NULL if there is no curve. */
static struct chart_series *add_curve(struct curves *all, const struct sweep *sweep, int cell, const char *why)
{
    struct chart_series *s = &all->series[all->count];
    char label[140];
    if (all->count == MAX_CURVES || !sweep_finished(sweep, cell))
        return NULL;
    *s = (struct chart_series){.name = all->names[all->count], .faint = !why, .bold = why != NULL};
    s->y = run_curve(sweep->folders[cell], sweep_labelled(sweep) ? SUMMARY_ACCURACY : SUMMARY_AGREEMENT, &s->count);
    grid_label(&sweep->grid, cell, label, sizeof label);
    snprintf(all->names[all->count], sizeof all->names[0], "%s%s%s", why ? why : "", why ? ": " : "", label);
    if (!s->y)
        return NULL;
    all->count++;
    return s;
}

static void add_cells(struct curves *all, const struct sweep *sweep)
{
    for (int cell = 0; cell < sweep->grid.cells; cell++) {
        const int index = all->count;
        struct chart_series *s = add_curve(all, sweep, cell, NULL);
        if (!s)
            continue;
        s->faint = all->telling != NULL;
        s->color = index % CHART_COLORS;
        s->hue = all->telling ? hue_of(all->telling, grid_index(&sweep->grid, cell, all->telling_index)) : 0;
    }
}

/* The legend of the hues: the first, the middle and the last value of the telling key. */
static void add_hues(struct curves *all)
{
    const struct grid_key *key = all->telling;
    for (int i = 0; i < 3 && i < key->count; i++) {
        const int last = key->count - 1, value = i == 0 ? 0 : i == 1 && last > 1 ? last / 2 : last;
        snprintf(all->hue_names[i], sizeof all->hue_names[i], "%s=%s", key->name, key->values[value]);
        grid_trim(all->hue_names[i]);
        all->legend[all->legend_count++] = (struct chart_legend_entry){all->hue_names[i], 0, false, hue_of(key, value)};
    }
}

/* Draws the best run and the runs without a teacher once more, so that they stand out. */
static void add_highlights(struct curves *all, const struct sweep *sweep, const int *ranked, int finished)
{
    for (int i = 0; i < finished && all->legend_count < MAX_LEGEND; i++) {
        const char *why = i == 0 ? "best" : is_baseline(sweep, ranked[i]) ? "without a teacher" : NULL;
        struct chart_series *s = why ? add_curve(all, sweep, ranked[i], why) : NULL;
        if (!s)
            continue;
        s->color = i == 0 ? COLOR_BEST : COLOR_BASELINE;
        all->legend[all->legend_count++] = (struct chart_legend_entry){s->name, s->color, false, 0};
    }
}

/* Few runs: each has its colour and its name in the legend. Many: the hue tells the value of one key, and the best run
 * and the runs without a teacher stand out. */
void sweep_curves(const struct sweep *sweep, FILE *out)
{
    const int telling = telling_key(sweep);
    struct curves *all = calloc(1, sizeof *all);
    int finished, *ranked = sweep_ranked(sweep, &finished);
    char title[160];
    if (!all || !ranked)
        goto cleanup;
    all->telling_index = telling;
    all->telling = finished > CHART_COLORS && telling >= 0 ? &sweep->grid.keys[telling] : NULL;
    add_cells(all, sweep);
    if (all->telling) {
        add_hues(all);
        add_highlights(all, sweep, ranked, finished);
    }
    snprintf(title, sizeof title, "%s%s%s",
             sweep_labelled(sweep) ? "Validation accuracy" : "Agreement with the teacher",
             all->telling ? ", coloured by " : "", all->telling ? all->telling->name : "");
    if (all->count)
        chart_lines(out, &(struct line_chart){.title = title,
                                              .x_label = "epoch",
                                              .series = all->series,
                                              .series_count = all->count,
                                              .percent = true,
                                              .mark = NAN,
                                              .no_legend = all->telling != NULL,
                                              .legend = all->legend,
                                              .legend_count = all->legend_count});
cleanup:
    for (int i = 0; all && i < all->count; i++)
        free((double *)(uintptr_t)all->series[i].y);
    free(all);
    free(ranked);
}

/* ---- classes ---- */

/* The best run against the best one without a teacher, if both have trained; a run that cannot be read is left out, as
 * the page is only a view of what the runs' files say. */
void sweep_class_changes(const struct sweep *sweep, FILE *out)
{
    const struct cache_manifest *manifest = &sweep->data.cache.manifest;
    const size_t classes = (size_t)manifest->class_count;
    double *accuracy = calloc(classes, 2 * sizeof *accuracy);
    int finished, *ranked = sweep_ranked(sweep, &finished), baseline = 0;
    char title[1100], best[500], other[500];
    while (ranked && baseline < finished && !is_baseline(sweep, ranked[baseline]))
        baseline++;
    if (accuracy && ranked && baseline > 0 && baseline < finished) {
        struct arena arena = {0};
        grid_label(&sweep->grid, ranked[0], best, sizeof best); /* they may differ in more than the loss */
        grid_label(&sweep->grid, ranked[baseline], other, sizeof other);
        snprintf(title, sizeof title, "Change per class in points, of %s against %s", best, other);
        if (run_class_accuracy(sweep->folders[ranked[0]], manifest->classes, manifest->class_count, accuracy + classes,
                               NULL, &arena, NULL) == STATUS_OK &&
            run_class_accuracy(sweep->folders[ranked[baseline]], manifest->classes, manifest->class_count, accuracy,
                               NULL, &arena, NULL) == STATUS_OK)
            chart_class_changes(out, title, manifest->classes, manifest->class_count, accuracy, accuracy + classes);
        arena_release(&arena);
    }
    free(ranked);
    free(accuracy);
}
