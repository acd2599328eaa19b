#define _GNU_SOURCE
#include "formats/report/report_html.h"

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

static void open_tile(FILE *out, const char *name, bool main)
{
    fprintf(out, "<div class=\"tile%s\"><span>%s</span><b>", main ? " main" : "", name);
}

static void close_tile(FILE *out)
{
    fputs("</small></div>\n", out);
}

/* 51339 -> 51,339 */
static void print_thousands(FILE *out, long number)
{
    if (number >= 1000) {
        print_thousands(out, number / 1000);
        fprintf(out, ",%03ld", number % 1000);
    } else {
        fprintf(out, "%ld", number);
    }
}

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
        open_tile(out, "Student accuracy", true);
        fprintf(out, "%.2f %%</b><small>on ", 100 * report->student_accuracy);
        html_escape(out, split);
        close_tile(out);
    }
    if (isfinite(report->teacher_accuracy)) {
        double gap = 100 * (report->student_accuracy - report->teacher_accuracy);
        open_tile(out, "Teacher accuracy", false);
        fprintf(out, "%.2f %%</b><small>", 100 * report->teacher_accuracy);
        if (isfinite(gap))
            fprintf(out, "student %s%.2f points", gap < 0 ? "−" : "+", fabs(gap));
        close_tile(out);
    }
    if (isfinite(report->agreement)) {
        open_tile(out, "Agreement", false);
        fprintf(out, "%.2f %%</b><small>same answer as the teacher", 100 * report->agreement);
        close_tile(out);
    }
}

static void cost_tiles(FILE *out, const struct report *report)
{
    if (report->parameters > 0) {
        open_tile(out, "Parameters", false);
        print_thousands(out, report->parameters);
        fputs("</b><small>", out);
        if (report->max_parameters > 0) {
            fputs("of at most ", out);
            print_thousands(out, report->max_parameters);
        }
        close_tile(out);
    }
    if (isfinite(report->images_per_second) && report->images_per_second > 0) {
        open_tile(out, "Training speed", false);
        if (report->images_per_second >= 100)
            print_thousands(out, (long)(report->images_per_second + 0.5));
        else
            fprintf(out, "%.1f", report->images_per_second);
        fputs("</b><small>images/s", out);
        close_tile(out);
    }
    if (isfinite(report->seconds) && report->seconds > 0) {
        open_tile(out, "Training time", false);
        print_duration(out, report->seconds);
        fprintf(out, "</b><small>%d epoch%s", report->epoch_count, report->epoch_count == 1 ? "" : "s");
        close_tile(out);
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

static bool write_page(FILE *out, const struct report *report)
{
    const char *title = report->title ? report->title : "Training run";
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
          out);
    html_escape(out, title);
    fprintf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1>", chart_style());
    html_escape(out, title);
    fputs("</h1>\n<p class=\"subtitle\">", out);
    html_escape(out, report->subtitle ? report->subtitle : "");
    fputs("</p>\n<div class=\"tiles\">\n", out);
    accuracy_tiles(out, report);
    cost_tiles(out, report);
    fputs("</div>\n", out);
    if (!write_curves(out, report) || !report_classes(out, report))
        return false;
    fputs("<h2>Details</h2>\n", out);
    write_epoch_table(out, report);
    if (report->config) {
        fputs("<details class=\"panel\" open><summary>Configuration</summary>\n<pre>", out);
        html_escape(out, report->config);
        fputs("</pre></details>\n", out);
    }
    fprintf(out, "<footer>softcache %s</footer>\n</main>\n</body>\n</html>\n", SOFTCACHE_VERSION);
    return true;
}

char *report_html(const struct report *report)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    bool ok = write_page(out, report) && !ferror(out);
    if (fclose(out) != 0 || !ok) {
        free(text);
        return NULL;
    }
    return text;
}

enum status report_publish(const struct report *report, const char *path, struct error *err)
{
    char *text = report_html(report);
    if (!text)
        return error_no_memory(err, 0, "report.html");
    enum status status = file_publish(path, text, strlen(text), err);
    free(text);
    return status;
}
