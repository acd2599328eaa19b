/* search.html: tiles, the Pareto front of accuracy against multiply-accumulates, a table of every net, what was run. */
#include "student_train/search/search.h"

#include "formats/report/svg_chart.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLOR_OTHERS, COLOR_FRONT };

static void percent_cell(FILE *out, double value)
{
    if (isfinite(value))
        fprintf(out, "<td>%.2f %%</td>", 100 * value);
    else
        fputs("<td></td>", out);
}

static void tile(FILE *out, const char *class, const char *title, const char *value, const char *below)
{
    fprintf(out, "<div class=\"tile%s\"><span>%s</span><b>%s</b><small>", class, title, value);
    html_escape(out, below);
    fputs("</small></div>\n", out);
}

static void tiles(const struct search *search, const int *ranked, int count, FILE *out)
{
    char value[80], below[240];
    fputs("<div class=\"tiles\">\n", out);
    if (count > 0 && isfinite(search->runs[ranked[0]].score)) {
        const struct search_run *best = &search->runs[ranked[0]];
        const double accuracy = best->metrics.loss ? best->metrics.accuracy : NAN;
        snprintf(value, sizeof value, "%.2f %%", 100 * (isfinite(accuracy) ? accuracy : best->score));
        snprintf(below, sizeof below, "net %d: %s", ranked[0] + 1, best->net.label);
        tile(out, " main", isfinite(accuracy) ? "best net" : "best net so far", value, below);
        snprintf(value, sizeof value, "%zu", best->net.parameters);
        snprintf(below, sizeof below, "at most %d; %.1f million multiply-accumulates", search->options.max_params,
                 best->net.multiplies / 1e6);
        tile(out, "", "its parameters", value, below);
    }
    snprintf(value, sizeof value, "%d of %d", count, search->candidates);
    snprintf(below, sizeof below, "%d rounds, the last one of %d nets and %d epochs", search->rounds,
             search->round[search->rounds - 1].count, search->options.epochs);
    tile(out, "", "nets", value, below);
    fputs("</div>\n", out);
}

struct point {
    double x, y;
};

static int by_x(const void *left, const void *right)
{
    const struct point *a = left, *b = right;
    return a->x < b->x ? -1 : a->x > b->x;
}

/* Dots: nets whose training ended early, at the score of their last epoch; a line: the front of those trained to the
 * end. */
static void pareto_chart(const struct search *search, const int *ranked, int count, FILE *out)
{
    static const struct chart_legend_entry legend[] = {{"trained to the end", COLOR_FRONT, false, 0},
                                                       {"ended in an earlier round", COLOR_OTHERS, false, 0}};
    struct chart_series *series = calloc((size_t)count + 1, sizeof *series);
    struct point *points = calloc((size_t)count + 1, sizeof *points), *front = calloc((size_t)count + 1, sizeof *front);
    double *x = calloc(2 * ((size_t)count + 1), sizeof *x), *y = x ? x + count + 1 : NULL;
    int on_front = 0;
    if (!series || !points || !front || !x)
        goto cleanup;
    for (int i = 0; i < count; i++) {
        const struct search_run *run = &search->runs[ranked[i]];
        const bool finished = run->metrics.loss != NULL;
        const double accuracy = finished && isfinite(run->metrics.accuracy) ? run->metrics.accuracy : run->score;
        points[i] = (struct point){run->net.multiplies / 1e6, accuracy};
        series[i] = (struct chart_series){.name = run->net.label,
                                          .x = &points[i].x,
                                          .y = &points[i].y,
                                          .count = 1,
                                          .color = finished ? COLOR_FRONT : COLOR_OTHERS,
                                          .bold = finished};
        if (search_on_front(search, ranked[i]))
            front[on_front++] = points[i];
    }
    qsort(front, (size_t)on_front, sizeof *front, by_x);
    for (int i = 0; i < on_front; i++)
        x[i] = front[i].x, y[i] = front[i].y;
    series[count] =
        (struct chart_series){.name = "front", .x = x, .y = y, .count = on_front, .color = COLOR_FRONT, .bold = true};
    if (count > 0)
        chart_lines(out, &(struct line_chart){.title = "Accuracy against millions of multiply-accumulates",
                                              .x_label = "million multiply-accumulates per image",
                                              .series = series,
                                              .series_count = count + (on_front > 1),
                                              .percent = true,
                                              .mark = NAN,
                                              .no_legend = true,
                                              .legend = legend,
                                              .legend_count = 2});
cleanup:
    free(series);
    free(points);
    free(front);
    free(x);
}

static void table(const struct search *search, const int *ranked, int count, FILE *out)
{
    fputs("<h2>Nets, best first</h2><div class=\"panel\"><table><thead><tr><th>rank</th><th>net</th><th>design</th>"
          "<th>parameters</th><th>million multiplies</th><th>kB of RAM in int8</th><th>epochs</th><th>chosen by</th>"
          "<th>accuracy</th><th>on the front</th></tr></thead><tbody>\n",
          out);
    for (int i = 0; i < count; i++) {
        const struct search_run *run = &search->runs[ranked[i]];
        fprintf(out, "<tr><td>%d</td><td>%d</td><td>", i + 1, ranked[i] + 1);
        html_escape(out, run->net.label);
        fprintf(out, "</td><td>%zu</td><td>%.1f</td><td>%.0f</td><td>%d</td>", run->net.parameters,
                run->net.multiplies / 1e6, (double)run->net.activation_bytes / 1e3, run->epochs);
        percent_cell(out, run->score);
        percent_cell(out, run->metrics.loss ? run->metrics.accuracy : NAN);
        fprintf(out, "<td>%s</td></tr>\n", search_on_front(search, ranked[i]) ? "yes" : "");
    }
    fputs("</tbody></table></div>\n", out);
}

static void what_was_run(const struct search *search, FILE *out)
{
    char *resolved = options_resolved(&search->options.table);
    fputs("<h2>What was run</h2><div class=\"panel\"><pre>student_train", out);
    for (int i = 0; i < search->argc; i++) {
        const bool plain = strcspn(search->argv[i], " '\"{}*()$&;|<>") == strlen(search->argv[i]);
        fputs(plain ? " " : " '", out);
        html_escape(out, search->argv[i]);
        fputs(plain ? "" : "'", out);
    }
    fputs("</pre><p>", out);
    for (int r = 0; r < search->rounds; r++)
        fprintf(out, "%s%d nets up to epoch %d", r ? ", then " : "Rounds: ", search->round[r].count,
                search->round[r].epochs);
    fputs(". The nets were chosen by the column <i>chosen by</i>; unless --select-on says otherwise, <i>accuracy</i> "
          "is of the other half "
          "of the validation split, which chose nothing.</p><details><summary>All options</summary><pre>",
          out);
    html_escape(out, resolved ? resolved : "");
    fputs("</pre></details></div>\n", out);
    free(resolved);
}

void search_page(const struct search *search, FILE *out)
{
    int count, *ranked = search_ranked(search, &count);
    if (!ranked)
        return;
    fprintf(out,
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
            "content=\"width=device-width, initial-scale=1\"><title>search</title><style>%s</style></head><body>"
            "<main><h1>Search for a net</h1>\n<p class=\"subtitle\">loss ",
            chart_style());
    html_escape(out, search->options.loss);
    fputs("</p>\n", out);
    tiles(search, ranked, count, out);
    fputs("<div class=\"grid below\">\n", out);
    pareto_chart(search, ranked, count, out);
    fputs("</div>\n", out);
    table(search, ranked, count, out);
    what_was_run(search, out);
    fputs("</main></body></html>\n", out);
    free(ranked);
}
