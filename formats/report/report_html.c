#define _GNU_SOURCE
#include "formats/report/report_html.h"

#include "formats/report/html_page.h"
#include "formats/report/svg_chart.h"
#include "shared/base/files.h"
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TABLE_ROWS = 1000 };
enum { COLOR_TRAIN = 0, COLOR_VALIDATION = 1, COLOR_TEACHER = 2, COLOR_AGREEMENT = 3 };

/* ---- headline ---- */

static void print_duration(FILE *out, double seconds)
{
    long whole = (long)(seconds + 0.5);
    if (whole >= 3600)
        fprintf(out, "%ld h %02ld m", whole / 3600, whole / 60 % 60);
    else if (whole >= 60)
        fprintf(out, "%ld m %02ld s", whole / 60, whole % 60);
    else
        fprintf(out, "%.1f s", seconds);
}

static void accuracy_tiles(FILE *out, const struct report *report)
{
    const char *split = report->split ? report->split : "validation";
    if (isfinite(report->student_accuracy)) {
        html_tile_open(out, "Student accuracy", true);
        fprintf(out, "%.2f %%", 100 * report->student_accuracy);
        html_tile_remark(out);
        fputs("on ", out);
        html_escape(out, split);
        html_tile_close(out);
    }
    if (isfinite(report->teacher_accuracy)) {
        double gap = 100 * (report->student_accuracy - report->teacher_accuracy);
        html_tile_open(out, "Teacher accuracy", false);
        fprintf(out, "%.2f %%", 100 * report->teacher_accuracy);
        html_tile_remark(out);
        if (isfinite(gap))
            fprintf(out, "student %s%.2f points", gap < 0 ? "−" : "+", fabs(gap));
        html_tile_close(out);
    }
    if (isfinite(report->agreement)) {
        html_tile_open(out, "Agreement", false);
        fprintf(out, "%.2f %%", 100 * report->agreement);
        html_tile_remark(out);
        fputs("same answer as the teacher", out);
        html_tile_close(out);
    }
}

static void cost_tiles(FILE *out, const struct report *report)
{
    if (report->parameters > 0) {
        html_tile_open(out, "Parameters", false);
        html_thousands(out, (uint64_t)report->parameters);
        html_tile_remark(out);
        if (report->max_parameters > 0) {
            fputs("of at most ", out);
            html_thousands(out, (uint64_t)report->max_parameters);
        }
        html_tile_close(out);
    }
    if (isfinite(report->images_per_second) && report->images_per_second > 0) {
        html_tile_open(out, "Training speed", false);
        if (report->images_per_second >= 100)
            html_thousands(out, (uint64_t)(report->images_per_second + 0.5));
        else
            fprintf(out, "%.1f", report->images_per_second);
        html_tile_remark(out);
        fputs("images/s", out);
        html_tile_close(out);
    }
    if (isfinite(report->seconds) && report->seconds > 0) {
        html_tile_open(out, "Training time", false);
        print_duration(out, report->seconds);
        html_tile_remark(out);
        fprintf(out, "%d epoch%s", report->epoch_count, report->epoch_count == 1 ? "" : "s");
        html_tile_close(out);
    }
}

/* ---- curves ---- */

/* The columns of the epochs as arrays, for the charts. */
struct curves {
    double *memory;
    double *epoch, *learning_rate, *train_loss, *val_loss, *train_accuracy, *val_accuracy, *agreement; /* [n] */
    double *terms[RUN_MAX_TERMS];                                                                      /* [n] each */
};

static bool curves_init(struct curves *curves, const struct report *report)
{
    size_t n = (size_t)report->epoch_count;
    double **columns[] = {&curves->epoch,          &curves->learning_rate, &curves->train_loss, &curves->val_loss,
                          &curves->train_accuracy, &curves->val_accuracy,  &curves->agreement};
    size_t fixed = sizeof columns / sizeof *columns;
    curves->memory = malloc((fixed + RUN_MAX_TERMS) * (n + 1) * sizeof(double));
    if (!curves->memory)
        return false;
    for (size_t c = 0; c < fixed; c++)
        *columns[c] = curves->memory + c * n;
    for (size_t t = 0; t < RUN_MAX_TERMS; t++)
        curves->terms[t] = curves->memory + (fixed + t) * n;
    for (size_t i = 0; i < n; i++) {
        const struct run_epoch *epoch = &report->epochs[i];
        curves->epoch[i] = epoch->epoch;
        curves->learning_rate[i] = epoch->learning_rate;
        curves->train_loss[i] = epoch->train_loss;
        curves->val_loss[i] = epoch->val_loss;
        curves->train_accuracy[i] = epoch->train_accuracy;
        curves->val_accuracy[i] = epoch->val_accuracy;
        curves->agreement[i] = epoch->agreement;
        for (int t = 0; t < report->term_count; t++)
            curves->terms[t][i] = epoch->terms[t];
    }
    return true;
}

static struct line_chart epoch_chart(const struct report *report, const char *title, const struct chart_series *series,
                                     int count)
{
    return (struct line_chart){.title = title,
                               .x_label = "epoch",
                               .series = series,
                               .series_count = count,
                               .mark = report->best_epoch > 0 ? report->best_epoch : NAN,
                               .mark_label = "best"};
}

static void loss_chart(FILE *out, const struct report *report, const struct curves *curves)
{
    const struct chart_series series[] = {
        {"training", curves->epoch, curves->train_loss, report->epoch_count, COLOR_TRAIN, false},
        {"validation", curves->epoch, curves->val_loss, report->epoch_count, COLOR_VALIDATION, false},
    };
    const struct line_chart chart = epoch_chart(report, "Loss", series, 2);
    chart_lines(out, &chart);
}

static void accuracy_chart(FILE *out, const struct report *report, const struct curves *curves)
{
    int n = report->epoch_count;
    double ends[2] = {curves->epoch[0], curves->epoch[n - 1]};
    double teacher[2] = {report->teacher_accuracy, report->teacher_accuracy};
    const struct chart_series series[] = {
        {"training", curves->epoch, curves->train_accuracy, n, COLOR_TRAIN, false},
        {"validation", curves->epoch, curves->val_accuracy, n, COLOR_VALIDATION, false},
        {"agreement with teacher", curves->epoch, curves->agreement, n, COLOR_AGREEMENT, false},
        {"teacher", ends, teacher, 2, COLOR_TEACHER, true},
    };
    struct line_chart chart = epoch_chart(report, "Accuracy", series, 4);
    chart.percent = true;
    chart_lines(out, &chart);
}

static void terms_chart(FILE *out, const struct report *report, const struct curves *curves)
{
    struct chart_series series[RUN_MAX_TERMS];
    if (report->term_count < 2)
        return;
    for (int t = 0; t < report->term_count; t++)
        series[t] =
            (struct chart_series){report->terms[t], curves->epoch, curves->terms[t], report->epoch_count, t, false};
    const struct line_chart chart = epoch_chart(report, "Loss terms (unweighted)", series, report->term_count);
    chart_lines(out, &chart);
}

static void learning_rate_chart(FILE *out, const struct report *report, const struct curves *curves)
{
    bool varies = false;
    for (int i = 1; i < report->epoch_count; i++)
        varies = varies || curves->learning_rate[i] != curves->learning_rate[0];
    if (!varies)
        return;
    const struct chart_series series = {
        "learning rate", curves->epoch, curves->learning_rate, report->epoch_count, 4, false};
    const struct line_chart chart = epoch_chart(report, "Learning rate", &series, 1);
    chart_lines(out, &chart);
}

static bool write_curves(FILE *out, const struct report *report)
{
    struct curves curves = {0};
    if (report->epoch_count < 1)
        return true;
    if (!curves_init(&curves, report))
        return false;
    fputs("<h2>Training</h2>\n<div class=\"grid\">\n", out);
    loss_chart(out, report, &curves);
    accuracy_chart(out, report, &curves);
    terms_chart(out, report, &curves);
    learning_rate_chart(out, report, &curves);
    fputs("</div>\n", out);
    free(curves.memory);
    return true;
}

/* ---- page ---- */

static void print_cell(FILE *out, double value, double factor, int decimals)
{
    if (isfinite(value))
        fprintf(out, "<td>%.*f</td>", decimals, factor * value);
    else
        fputs("<td>–</td>", out);
}

static void write_epoch_table(FILE *out, const struct report *report)
{
    int first = report->epoch_count > MAX_TABLE_ROWS ? report->epoch_count - MAX_TABLE_ROWS : 0;
    if (report->epoch_count < 1)
        return;
    fputs("<details class=\"panel\"><summary>Epochs</summary>\n<table><thead><tr><th>epoch</th><th>learning rate</th>"
          "<th>training loss</th><th>validation loss</th><th>training accuracy %</th><th>validation accuracy %</th>"
          "<th>agreement %</th></tr></thead><tbody>\n",
          out);
    for (int i = first; i < report->epoch_count; i++) {
        const struct run_epoch *epoch = &report->epochs[i];
        fprintf(out, "<tr><td>%d</td>", epoch->epoch);
        fprintf(out, isfinite(epoch->learning_rate) ? "<td>%.6g</td>" : "<td>–</td>", epoch->learning_rate);
        print_cell(out, epoch->train_loss, 1, 5);
        print_cell(out, epoch->val_loss, 1, 5);
        print_cell(out, epoch->train_accuracy, 100, 2);
        print_cell(out, epoch->val_accuracy, 100, 2);
        print_cell(out, epoch->agreement, 100, 2);
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></details>\n", out);
}

/* ---- student and teacher ---- */

static enum status write_disagreements(FILE *out, const struct report *report, struct error *err)
{
    enum status status = STATUS_OK;
    if (report->disagreement_count == 0)
        return STATUS_OK;
    fputs("<h2>Where student and teacher disagree most</h2>\n<p class=\"note\">Photos that get another class from the "
          "student than from the teacher, those with the largest divergence KL(teacher, student) first. A ✓ marks "
          "the true class.</p>\n<div class=\"photos\">\n",
          out);
    for (int i = 0; i < report->disagreement_count; i++)
        TRY(html_photo(out, &report->disagreements[i], report->classes, err));
    fputs("</div>\n", out);
cleanup:
    return status;
}

static enum status write_page(FILE *out, const struct report *report, struct error *err)
{
    enum status status = STATUS_OK;
    html_page_begin(out, report->title ? report->title : "Training run", report->subtitle ? report->subtitle : "");
    fputs("<div class=\"tiles\">\n", out);
    accuracy_tiles(out, report);
    cost_tiles(out, report);
    fputs("</div>\n", out);
    if (!write_curves(out, report) || !report_classes(out, report))
        FAIL(error_no_memory(err, 0, "report.html"));
    TRY(write_disagreements(out, report, err));
    fputs("<h2>Details</h2>\n", out);
    write_epoch_table(out, report);
    if (report->config) {
        fputs("<details class=\"panel\" open><summary>Configuration</summary>\n<pre>", out);
        html_escape(out, report->config);
        fputs("</pre></details>\n", out);
    }
    html_page_end(out);
cleanup:
    return status;
}

enum status report_html(const struct report *report, char **text, struct error *err)
{
    size_t size = 0;
    *text = NULL;
    FILE *out = open_memstream(text, &size);
    if (!out)
        return error_no_memory(err, 0, "report.html");
    enum status status = write_page(out, report, err);
    const bool failed = ferror(out);
    if ((fclose(out) != 0 || failed) && status == STATUS_OK)
        status = error_no_memory(err, 0, "report.html");
    if (status != STATUS_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}

enum status report_publish(const struct report *report, const char *path, struct error *err)
{
    char *text;
    enum status status = report_html(report, &text, err);
    if (status == STATUS_OK)
        status = file_publish(path, text, strlen(text), err);
    free(text);
    return status;
}
