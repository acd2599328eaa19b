/* sweep.html: tiles, a heat map of two keys, all runs' curves, every run in a table, and what was run. */
#define _GNU_SOURCE
#include "student_train/sweep/sweep.h"

#include "formats/report/svg_chart.h"
#include "shared/base/files.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUMMARY_LIMIT = 64 << 20, MAX_CURVES = 200, HUE_FIRST = 225, HUE_LAST = 45 };

/* A click on a column's head sorts by it, another one the other way round. The page is complete without. */
static const char sorting[] =
    "<script>document.querySelectorAll('#runs th').forEach((th,i)=>{th.className='sorts';let up=1;th.onclick=()=>{"
    "const body=document.querySelector('#runs tbody'),key=r=>{const t=r.cells[i].textContent,n=parseFloat(t);"
    "return isNaN(n)?t:n};[...body.rows].sort((a,b)=>{const x=key(a),y=key(b);return(x<y?-1:x>y?1:0)*up})"
    ".forEach(r=>body.append(r));up=-up}})</script>\n";

/* What runs are compared by: accuracy, without labels agreement. */
static bool labelled(const struct sweep *sweep)
{
    for (int cell = 0; cell < sweep->grid.cells; cell++)
        if (sweep_finished(sweep, cell) && isfinite(sweep->metrics[cell].accuracy))
            return true;
    return false;
}

static const char *measure(const struct sweep *sweep)
{
    return labelled(sweep) ? "Accuracy" : "Agreement";
}

/* ---- heat map ---- */

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
    snprintf(title, sizeof title, "%s in %% by %.40s and %.40s%s", measure(sweep), a->name, b->name,
             sweep->grid.key_count > 2 ? ", mean over the others" : "");
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
                                    .low = low - fmax(1e-3, 0.08 * (high - low)), /* the lowest can be read, too */
                                    .high = high,
                                    .decimals = 2,
                                    .mark_highest = true});
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

/* ---- curves ---- */

/* The key whose values' means lie furthest apart: it says most about a run. -1: there is none with several values. */
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

/* From blue to orange, the way past green and not past red. */
static int hue_of(const struct grid_key *key, int value)
{
    return key->count > 1 ? HUE_FIRST + (HUE_LAST - HUE_FIRST) * value / (key->count - 1) : HUE_FIRST;
}

/* A run without a teacher among its terms. */
static bool is_baseline(const struct sweep *sweep, int cell)
{
    const char *loss = sweep->metrics[cell].loss;
    return strncmp(loss, "ce", 2) == 0 && !strstr(loss, " + ");
}

struct curves {
    struct chart_series series[MAX_CURVES];
    char names[MAX_CURVES][180];
    int count;
};

/* cell's curve, called after the cell and, where it stands out, why. */
static void add_curve(struct curves *all, const struct sweep *sweep, int cell, const char *why)
{
    struct chart_series *s = &all->series[all->count];
    char label[140];
    if (all->count == MAX_CURVES || !sweep_finished(sweep, cell))
        return;
    *s = (struct chart_series){.name = all->names[all->count], .faint = !why, .bold = why != NULL};
    s->y = read_curve(sweep->folders[cell], labelled(sweep) ? "val_accuracy" : "agreement", &s->count);
    grid_label(&sweep->grid, cell, label, sizeof label);
    snprintf(all->names[all->count], sizeof all->names[0], "%s%s%s", why ? why : "", why ? ": " : "", label);
    all->count += s->y != NULL;
}

/* All runs over the epochs: of few runs each has its legend; of many the colour says one key, and the best one and the
 * one without a teacher stand out. */
static void draw_curves(const struct sweep *sweep, FILE *out)
{
    const struct grid *grid = &sweep->grid;
    const int telling = telling_key(sweep);
    struct curves *all = calloc(1, sizeof *all);
    struct chart_legend_entry legend[5];
    char names[3][120], title[160];
    int finished, *cells = sweep_ranked(sweep, &finished), legends = 0;
    const bool many = finished > CHART_COLORS && telling >= 0;
    if (!all || !cells)
        goto cleanup;
    for (int cell = 0; cell < grid->cells; cell++) {
        const int before = all->count;
        add_curve(all, sweep, cell, NULL);
        if (all->count == before)
            continue;
        all->series[before].faint = many;
        all->series[before].color = before % CHART_COLORS;
        all->series[before].hue = many ? hue_of(&grid->keys[telling], grid_index(grid, cell, telling)) : 0;
    }
    for (int i = 0; many && i < 3 && i < grid->keys[telling].count; i++) {
        const int last = grid->keys[telling].count - 1, value = i == 0 ? 0 : i == 1 && last > 1 ? last / 2 : last;
        snprintf(names[i], sizeof names[i], "%.40s=%.60s", grid->keys[telling].name, grid->keys[telling].values[value]);
        legend[legends++] = (struct chart_legend_entry){names[i], 0, false, hue_of(&grid->keys[telling], value)};
    }
    for (int i = 0; many && i < finished && legends < 5; i++) {
        const char *why = i == 0 ? "best" : is_baseline(sweep, cells[i]) ? "without a teacher" : NULL;
        const int before = all->count;
        if (why)
            add_curve(all, sweep, cells[i], why);
        if (all->count == before)
            continue;
        all->series[before].color = i == 0 ? 1 : 7;
        legend[legends++] = (struct chart_legend_entry){all->names[before], i == 0 ? 1 : 7, false, 0};
    }
    snprintf(title, sizeof title, "%s%s%s", labelled(sweep) ? "Validation accuracy" : "Agreement with the teacher",
             many ? ", the colour is " : "", many ? grid->keys[telling].name : "");
    if (all->count)
        chart_lines(out, &(struct line_chart){.title = title,
                                              .x_label = "epoch",
                                              .series = all->series,
                                              .series_count = all->count,
                                              .percent = true,
                                              .mark = NAN,
                                              .no_legend = many,
                                              .legend = legend,
                                              .legend_count = legends});
cleanup:
    for (int i = 0; all && i < all->count; i++)
        free((double *)(uintptr_t)all->series[i].y);
    free(all);
    free(cells);
}

/* ---- table ---- */

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
    int count, *cells = sweep_ranked(sweep, &count);
    fputs("<h2>Runs, the best first</h2><div class=\"panel\"><table id=\"runs\"><thead><tr><th>rank</th>", out);
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
    fputs(sorting, out);
    free(cells);
}

/* ---- the page ---- */

static void tile(FILE *out, const char *class, const char *title, const char *value, const char *below)
{
    fprintf(out, "<div class=\"tile%s\"><span>%s</span><b>%s</b><small>", class, title, value);
    html_escape(out, below);
    fputs("</small></div>\n", out);
}

static void tiles(const struct sweep *sweep, FILE *out)
{
    const struct cache_manifest *manifest = &sweep->data.cache.manifest;
    const struct cache_split *split = &manifest->splits[manifest->splits[SPLIT_VAL].samples ? SPLIT_VAL : SPLIT_TEST];
    int count, *cells = sweep_ranked(sweep, &count);
    double seconds = 0;
    char value[64], below[200];
    fputs("<div class=\"tiles\">\n", out);
    for (int i = 0; cells && i < count; i++)
        seconds += sweep->metrics[cells[i]].seconds;
    for (int i = 0; cells && count > 0 && i < 2; i++) {
        const int cell = cells[i == 0 ? 0 : count - 1];
        snprintf(value, sizeof value, "%.2f %%", 100 * sweep_score(&sweep->metrics[cell]));
        grid_label(&sweep->grid, cell, below, sizeof below);
        tile(out, i == 0 ? " main" : "", i == 0 ? "best run" : "worst run", value, below);
    }
    if (cache_has_teacher(manifest) && split->teacher_accuracy >= 0) {
        snprintf(value, sizeof value, "%.2f %%", 100 * split->teacher_accuracy);
        tile(out, "", "teacher", value, manifest->teacher_file);
    }
    snprintf(value, sizeof value, "%d of %d", count, sweep->grid.cells);
    snprintf(below, sizeof below, "%d epochs each", sweep->options.epochs);
    tile(out, "", "runs", value, below);
    if (count > 0) {
        snprintf(value, sizeof value, "%.1f s", seconds / count);
        tile(out, "", "training of a run", value,
             sweep->data.compute.backend->device->describe(sweep->data.compute.device));
    }
    fputs("</div>\n", out);
    free(cells);
}

/* The command line, with quotes where a shell needs them, and the data. */
static void what_was_run(const struct sweep *sweep, FILE *out)
{
    const struct cache_manifest *manifest = &sweep->data.cache.manifest;
    const uint32_t train = (uint32_t)manifest->splits[SPLIT_TRAIN].samples;
    char *resolved = options_resolved(&sweep->options.table);
    fputs("<h2>What was run</h2><div class=\"panel\"><pre>student_train", out);
    for (int i = 0; i < sweep->argc; i++) {
        const bool plain = strcspn(sweep->argv[i], " '\"{}*()$&;|<>") == strlen(sweep->argv[i]);
        fputs(plain ? " " : " '", out);
        html_escape(out, sweep->argv[i]);
        fputs(plain ? "" : "'", out);
    }
    fprintf(out, "</pre><p>Data: %s, %u training images, %d classes, %d views of ", manifest->source_format, train,
            manifest->class_count, manifest->views);
    html_escape(out, *manifest->recipe ? manifest->recipe : "no augmentation");
    fputs(". Teacher: ", out);
    html_escape(out, cache_has_teacher(manifest) ? manifest->teacher_file : "none");
    fputs(". All runs see the same images in the same order.</p><details><summary>All options</summary><pre>", out);
    html_escape(out, resolved ? resolved : "");
    fputs("</pre></details></div>\n", out);
    free(resolved);
}

void sweep_page(const struct sweep *sweep, FILE *out)
{
    const struct grid *grid = &sweep->grid;
    int wide[2] = {-1, -1}, found = 0;
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
    fputs("</h1>\n<p class=\"subtitle\">loss ", out);
    html_escape(out, sweep->options.loss);
    if (sweep->options.student) {
        fputs(", student ", out);
        html_escape(out, sweep->options.student);
    }
    fputs("</p>\n", out);
    tiles(sweep, out);
    fputs("<div class=\"grid below\">\n", out);
    if (found == 2)
        heat_map(sweep, wide[0], wide[1], out);
    draw_curves(sweep, out);
    fputs("</div>\n", out);
    table(sweep, out);
    what_was_run(sweep, out);
    fputs("</main></body></html>\n", out);
}
