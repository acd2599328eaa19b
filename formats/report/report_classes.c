/* The section of report.html about classes: confusion matrix, accuracy per class, most confused pairs. */
#include "formats/report/report_html.h"

#include "formats/report/svg_chart.h"
#include <math.h>
#include <stdlib.h>

enum { MAX_HEAT_CLASSES = 100, MAX_BAR_CLASSES = 30, MAX_PAIRS = 10 };

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

/* ---- bars: all classes in their order, or the worst if there are too many ---- */

struct ranked {
    double accuracy;
    int index;
};

static int worse_first(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    if (left->accuracy != right->accuracy)
        return left->accuracy < right->accuracy ? -1 : 1;
    return left->index - right->index;
}

static bool class_bars(FILE *out, const struct report *report, const struct class_numbers *numbers)
{
    int count = 0, k = report->class_count;
    struct ranked *ranked = malloc((size_t)k * sizeof *ranked);
    if (!ranked)
        return false;
    for (int i = 0; i < k; i++)
        if (isfinite(numbers->accuracy[i]))
            ranked[count++] = (struct ranked){numbers->accuracy[i], i};
    bool all = count <= MAX_BAR_CLASSES;
    if (!all)
        qsort(ranked, (size_t)count, sizeof *ranked, worse_first);
    count = all ? count : MAX_BAR_CLASSES;
    const char *labels[MAX_BAR_CLASSES];
    double student[MAX_BAR_CLASSES], teacher[MAX_BAR_CLASSES];
    for (int i = 0; i < count; i++) {
        labels[i] = report->classes[ranked[i].index];
        student[i] = ranked[i].accuracy;
        teacher[i] = report->teacher_class_accuracy ? report->teacher_class_accuracy[ranked[i].index] : NAN;
    }
    const struct bar_chart chart = {.title = all ? "Accuracy per class" : "Accuracy per class: the 30 worst",
                                    .labels = labels,
                                    .count = count,
                                    .names = (const char *const[]){"student", "teacher"},
                                    .values = (const double *const[]){student, teacher},
                                    .colors = (const int[]){0, 2},
                                    .series_count = report->teacher_class_accuracy ? 2 : 1};
    chart_bars(out, &chart);
    free(ranked);
    return true;
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
        ok = class_bars(out, report, &numbers);
        confused_pairs(out, report, &numbers);
        fputs("</div>\n", out);
    }
    numbers_release(&numbers);
    return ok;
}
