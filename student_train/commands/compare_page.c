/* The page of `student_train compare --html`: the table, and for each row how the accuracy of each class changes
 * against the runs with the baseline's loss. */
#define _GNU_SOURCE
#include "student_train/commands/compare_rows.h"

#include "formats/report/class_charts.h"
#include "formats/report/html_page.h"
#include "formats/report/svg_chart.h"
#include "shared/base/files.h"
#include "student_train/run/run_folder.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void percent_cell(FILE *out, double value, double error)
{
    if (isnan(value))
        fputs("<td>–</td>", out);
    else if (isnan(error))
        fprintf(out, "<td>%.2f %%</td>", 100 * value);
    else
        fprintf(out, "<td>%.2f ± %.2f %%</td>", 100 * value, 100 * error);
}

static void write_table(const struct compare_row *rows, int count, FILE *out)
{
    fputs("<div class=\"panel\"><table><thead><tr><th>run</th><th>runs</th><th>accuracy</th><th>gain, points</th>"
          "<th>agreement</th><th>parameters</th></tr></thead><tbody>\n",
          out);
    for (int i = 0; i < count; i++) {
        const struct compare_row *row = &rows[i];
        fputs("<tr><td>", out);
        html_escape(out, row->metrics.name);
        if (!isnan(row->x))
            fprintf(out, " at %.5g", row->x);
        fprintf(out, "</td><td>%d</td>", row->runs);
        percent_cell(out, row->metrics.accuracy, row->accuracy_error);
        if (isnan(row->gain))
            fputs("<td>–</td>", out);
        else
            fprintf(out, isnan(row->gain_error) ? "<td>%+.2f</td>" : "<td>%+.2f ± %.2f</td>", 100 * row->gain,
                    100 * row->gain_error);
        percent_cell(out, row->metrics.agreement, NAN);
        fprintf(out, "<td>%.0f</td></tr>\n", row->metrics.parameters);
    }
    fputs("</tbody></table></div>\n", out);
}

/* A name that is in the page once: several rows may have the same name, each at a place of its own. */
static const char *row_name(const struct compare_row *row, struct arena *arena)
{
    return isnan(row->x) ? row->metrics.name : arena_printf(arena, "%s at %.5g", row->metrics.name, row->x);
}

/* accuracy[classes] = the mean over the runs that the row is of; a class counts where all of them measured it. */
static enum status mean_accuracy(const struct compare_row *runs, int run_count, const struct compare_row *row,
                                 const struct model_card *card, double *accuracy, struct error *err)
{
    enum status status = STATUS_OK;
    struct arena arena = {0};
    const size_t classes = (size_t)card->class_count;
    int found = 0;
    double *one = calloc(classes, sizeof *one);
    if (!one)
        return error_no_memory(err, classes * sizeof *one, "accuracies");
    memset(accuracy, 0, classes * sizeof *accuracy);
    for (int i = 0; i < run_count; i++) {
        if (!compare_rows_together(&runs[i], row))
            continue;
        TRY(run_class_accuracy(runs[i].folder, card->classes, card->class_count, one, NULL, &arena, err));
        for (size_t k = 0; k < classes; k++)
            accuracy[k] += one[k];
        found++;
    }
    for (size_t k = 0; k < classes; k++)
        accuracy[k] /= found;
cleanup:
    arena_release(&arena);
    free(one);
    return status;
}

/* A chart for each row that has a gain. */
static enum status write_changes(const struct compare_row *runs, int run_count, const struct compare_row *rows,
                                 int count, FILE *out, struct error *err)
{
    enum status status = STATUS_OK;
    struct run_info info = {0};
    double *accuracy = NULL;
    TRY(run_info_read(&info, runs[0].folder, err));
    const struct model_card *card = &info.card;
    const size_t classes = (size_t)card->class_count;
    accuracy = calloc(classes, 2 * sizeof *accuracy);
    if (!accuracy)
        FAIL(error_no_memory(err, classes * sizeof *accuracy, "accuracies"));
    fputs("<h2>Change per class</h2>\n<div class=\"grid\">\n", out);
    for (int i = 0; i < count; i++) {
        const struct compare_row *base = rows[i].baseline;
        if (!base)
            continue;
        TRY(mean_accuracy(runs, run_count, base, card, accuracy, err));
        TRY(mean_accuracy(runs, run_count, &rows[i], card, accuracy + classes, err));
        const char *name = row_name(&rows[i], &info.arena);
        const char *title =
            name ? arena_printf(&info.arena, "%s against %s, in points", name, base->metrics.name) : NULL;
        if (!title || !chart_class_changes(out, title, card->classes, card->class_count, accuracy, accuracy + classes))
            FAIL(error_no_memory(err, 0, "a chart"));
    }
    fputs("</div>\n", out);
cleanup:
    free(accuracy);
    run_info_release(&info);
    return status;
}

static enum status write_page(const struct compare_row *runs, int run_count, const struct compare_row *rows, int count,
                              const char *title, FILE *out, struct error *err)
{
    enum status status = STATUS_OK;
    char subtitle[64];
    bool changes = false;
    for (int i = 0; i < count; i++)
        changes |= rows[i].baseline != NULL;
    snprintf(subtitle, sizeof subtitle, "%d finished runs", run_count);
    html_page_begin(out, title, subtitle);
    write_table(rows, count, out);
    if (changes)
        TRY(write_changes(runs, run_count, rows, count, out, err));
    html_page_end(out);
cleanup:
    return status;
}

enum status compare_rows_page(const struct compare_row *runs, int run_count, const struct compare_row *rows, int count,
                              const char *title, const char *path, struct error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return error_no_memory(err, 0, "the page");
    enum status status = write_page(runs, run_count, rows, count, title, out, err);
    const bool failed = ferror(out);
    if ((fclose(out) != 0 || failed) && status == STATUS_OK)
        status = error_no_memory(err, 0, "the page");
    if (status == STATUS_OK)
        status = file_publish(path, text, size, err);
    free(text);
    return status;
}
