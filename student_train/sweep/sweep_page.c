/* sweep.html: tiles, a heat map of two keys, the curves of all runs, a table of every run, and what was run. */
#include "student_train/sweep/sweep.h"

#include "formats/report/svg_chart.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A click on a column's heading sorts by it, a second click reverses the order. The page is complete without it. */
static const char sorting[] =
    "<script>document.querySelectorAll('#runs th').forEach((th,i)=>{th.className='sorts';let up=1;th.onclick=()=>{"
    "const body=document.querySelector('#runs tbody'),key=r=>{const t=r.cells[i].textContent,n=parseFloat(t);"
    "return isNaN(n)?t:n};[...body.rows].sort((a,b)=>{const x=key(a),y=key(b);return(x<y?-1:x>y?1:0)*up})"
    ".forEach(r=>body.append(r));up=-up}})</script>\n";

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
    fputs("<h2>Runs, best first</h2><div class=\"panel\"><table id=\"runs\"><thead><tr><th>rank</th>", out);
    for (int k = 0; k < grid->key_count; k++) {
        fputs("<th>", out);
        html_escape(out, grid->keys[k].name);
        fputs("</th>", out);
    }
    fputs("<th>accuracy</th><th>agreement</th><th>best epoch</th><th>epochs</th><th>run</th></tr></thead><tbody>\n",
          out);
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
        tile(out, "", "training time per run", value,
             sweep->data.compute.backend->device->describe(sweep->data.compute.device));
    }
    fputs("</div>\n", out);
    free(cells);
}

/* The command line, quoted for a shell, and the data. */
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
        sweep_heat_map(sweep, wide[0], wide[1], out);
    sweep_curves(sweep, out);
    sweep_class_changes(sweep, out);
    fputs("</div>\n", out);
    table(sweep, out);
    what_was_run(sweep, out);
    fputs("</main></body></html>\n", out);
}
