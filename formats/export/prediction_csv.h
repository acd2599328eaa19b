/* Predictions as CSV (RFC 4180: a field with a comma, quote or line break is quoted): one row per photo. */
#ifndef FORMATS_EXPORT_PREDICTION_CSV_H
#define FORMATS_EXPORT_PREDICTION_CSV_H

#include "shared/base/error.h"
#include <stdbool.h>
#include <stddef.h>

/* What a row holds after its Id:
 *     otherwise                   the most probable class
 *     top > 0                     the `top` most probable classes, separated by blanks, as Kaggle's MAP@K takes them
 *     probabilities               the probability of every class, a column each
 *     top > 0 and probabilities   those classes, and in another column their probabilities */
struct prediction_csv {
    const char *header; /* column names, separated by commas; NULL: Id,Category or what the form needs. With a
                                * column per class it may be the first name alone: the classes' names follow */
    int top;            /* at most the number of classes counts */
    bool probabilities;
    const char *const *labels; /* [classes] what a class is called; NULL: its index */
    const char *const *names;  /* [classes] for the columns */
    int classes;
};

/* Publishes rows [count] as file `path`: ids[count], probabilities[count, classes]. STATUS_CONFIG: the header does not
 * fit; STATUS_CANT_CREATE, STATUS_IO. */
enum status prediction_csv_publish(const char *path, const struct prediction_csv *csv, const char *const *ids,
                                   const float *probabilities, size_t count, struct error *err);

#endif
