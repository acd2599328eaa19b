/* The rows of `student_train compare`: finished runs, or the means of runs with the same name; as a table of text or
 * Markdown, as JSON, and as a chart. */
#ifndef STUDENT_TRAIN_COMMANDS_COMPARE_ROWS_H
#define STUDENT_TRAIN_COMMANDS_COMPARE_ROWS_H

#include "student_train/run/run_metrics.h"
#include <stdbool.h>
#include <stdio.h>

struct compare_row {
    struct run_metrics metrics; /* texts are borrowed; numbers are means if there are several runs */
    const char *folder;         /* of the first run, borrowed */
    int runs;
    double accuracy_error;              /* standard error of the mean accuracy; NAN for a single run */
    double gain, gain_error;            /* accuracy minus that of the baseline, and its standard error; NAN: none */
    const struct compare_row *baseline; /* the row that the gain is over; NULL: none */
    double x;                           /* its place on a chart; NAN: none */
};

/* runs[count] with their folders and places (x, or NULL) become rows[count], in their order. */
void compare_rows_of(struct compare_row *rows, const struct run_metrics *runs, const char *const *folders,
                     const double *x, int count);
/* Puts rows with the same name (and place) together, where the first of them is; returns how many there are then. */
int compare_rows_average(struct compare_row *rows, int count);
/* Whether a row of one run is part of the mean that compare_rows_average makes: the same name and place. */
bool compare_rows_together(const struct compare_row *a, const struct compare_row *b);
/* Fills in the baselines and gains over the rows with that loss, of the same student (and place). STATUS_CONFIG if
 * there is no gain, or if a student has several such rows. */
enum status compare_rows_gain(struct compare_row *rows, int count, const char *baseline, struct error *err);

void compare_rows_print(const struct compare_row *rows, int count, FILE *out);
/* A table with the standard errors; with places under the title x_label, and with gains, if there are any. */
void compare_rows_markdown(const struct compare_row *rows, int count, const char *x_label, FILE *out);
cJSON *compare_rows_json(const struct compare_row *rows, int count);
/* Publishes a page with the table; after compare_rows_gain also how each class changes. runs[run_count]: the rows of
 * single runs, that the means of rows[count] are of. STATUS_CONFIG: the runs have other classes than one another. */
enum status compare_rows_page(const struct compare_row *runs, int run_count, const struct compare_row *rows, int count,
                              const char *title, const char *path, struct error *err);
/* Publishes an .svg file: accuracy against x, a line for each name. STATUS_CONFIG if nothing can be drawn. */
enum status compare_rows_chart(const struct compare_row *rows, int count, const char *title, const char *x_label,
                               bool logarithmic, const char *path, struct error *err);

#endif
