/* The section of report.html about classes: confusion matrix, accuracy per class, most confused pairs. */
#include "formats/report/report_html.h"

#include "formats/report/class_charts.h"
#include "formats/report/svg_chart.h"
#include <math.h>
#include <stdlib.h>

enum { MAX_HEAT_CLASSES = 100, MAX_PAIRS = 10 };

struct class_numbers {
    double *counts, *shares; /* [k, k] the confusion matrix, and its rows divided by their sums; empty rows are NAN */
    double *accuracy;        /* [k] of the student */
    double *support;         /* [k] samples */
};

static bool numbers_init(struct class_numbers *numbers, const struct report *report)
{
    size_t k = (size_t)report->class_count;
    numbers->counts = malloc(k * k * sizeof(double));
    numbers->shares = malloc(k * k * sizeof(double));
    numbers->accuracy = malloc(k * sizeof(double));
    numbers->support = calloc(k, sizeof(double));
    if (!numbers->counts || !numbers->shares || !numbers->accuracy || !numbers->support)
        return false;
    for (size_t row = 0; row < k; row++) {
        for (size_t column = 0; column < k; column++)
            numbers->support[row] += report->confusion[row * k + column];
        for (size_t column = 0; column < k; column++) {
            size_t at = row * k + column;
            numbers->counts[at] = report->confusion[at];
            numbers->shares[at] = numbers->support[row] > 0 ? numbers->counts[at] / numbers->support[row] : NAN;
        }
        numbers->accuracy[row] = numbers->shares[row * k + row];
    }
    return true;
}

static void numbers_release(struct class_numbers *numbers)
{
    free(numbers->counts);
    free(numbers->shares);
    free(numbers->accuracy);
    free(numbers->support);
}

static void confusion_map(FILE *out, const struct report *report, const struct class_numbers *numbers)
{
    if (report->class_count > MAX_HEAT_CLASSES)
        return;
    const struct heat_map map = {.title = "Confusion matrix",
                                 .row_title = "true class",
                                 .column_title = "predicted class",
                                 .row_labels = report->classes,
                                 .column_labels = report->classes,
                                 .rows = report->class_count,
                                 .columns = report->class_count,
                                 .values = numbers->shares,
                                 .numbers = numbers->counts,
                                 .low = 0,
                                 .high = 1,
                                 .decimals = 0,
                                 .faint_visible = true};
    chart_heat_map(out, &map);
}

/* ---- the most confused pairs ---- */

struct pair {
    double count;
    int row, column;
};

/* Keeps the MAX_PAIRS largest in descending order, equal ones in the order in which they come. */
static int keep_largest(struct pair *pairs, int count, struct pair next)
{
    int at = count;
    while (at > 0 && pairs[at - 1].count < next.count)
        at--;
    if (at == MAX_PAIRS)
        return count;
    for (int i = count < MAX_PAIRS ? count : MAX_PAIRS - 1; i > at; i--)
        pairs[i] = pairs[i - 1];
    pairs[at] = next;
    return count < MAX_PAIRS ? count + 1 : count;
}

static void confused_pairs(FILE *out, const struct report *report, const struct class_numbers *numbers)
{
    struct pair pairs[MAX_PAIRS];
    int count = 0, k = report->class_count;
    for (int row = 0; row < k; row++)
        for (int column = 0; column < k; column++) {
            double number = numbers->counts[(size_t)row * (size_t)k + (size_t)column];
            if (row != column && number > 0)
                count = keep_largest(pairs, count, (struct pair){number, row, column});
        }
    if (count == 0)
        return;
    fputs("<div class=\"chart\"><h3>Confused most often</h3>\n<table><thead><tr><th>true class</th>"
          "<th class=\"text\">predicted class</th><th>samples</th><th>of the class</th></tr></thead><tbody>\n",
          out);
    for (int i = 0; i < count; i++) {
        fputs("<tr><td>", out);
        chart_label(out, report->classes[pairs[i].row], 40);
        fputs("</td><td class=\"text\">", out);
        chart_label(out, report->classes[pairs[i].column], 40);
        fprintf(out, "</td><td>%.0f</td><td>%.1f %%</td></tr>\n", pairs[i].count,
                100 * pairs[i].count / numbers->support[pairs[i].row]);
    }
    fputs("</tbody></table></div>\n", out);
}

static void reliability(FILE *out, const struct report *report)
{
    static const struct reliability none;
    const struct reliability_curve curves[] = {
        {"student", 0, report->student_reliability ? report->student_reliability : &none},
        {"teacher", 2, report->teacher_reliability ? report->teacher_reliability : &none}};
    chart_reliability(out, "Reliability: accuracy against confidence", curves, 2);
}

bool report_classes(FILE *out, const struct report *report)
{
    struct class_numbers numbers = {0};
    if (!report->confusion || report->class_count < 1)
        return true;
    bool ok = numbers_init(&numbers, report);
    if (ok) {
        fputs("<h2>Classes</h2>\n", out);
        confusion_map(out, report, &numbers);
        fputs("<div class=\"grid below\">\n", out);
        const struct class_series series[] = {{"student", 0, numbers.accuracy},
                                              {"teacher", 2, report->teacher_class_accuracy}};
        ok = chart_class_accuracy(out, report->classes, report->class_count, series,
                                  report->teacher_class_accuracy ? 2 : 1);
        if (report->baseline_class_accuracy)
            ok = ok && chart_class_changes(out, report->baseline_title, report->classes, report->class_count,
                                           report->baseline_class_accuracy, numbers.accuracy);
        confused_pairs(out, report, &numbers);
        reliability(out, report);
        fputs("</div>\n", out);
    }
    numbers_release(&numbers);
    return ok;
}
