#define _GNU_SOURCE
#include "student_train/run/run_curve.h"

#include "shared/base/files.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SUMMARY_LIMIT = 64 << 20 };

/* The index of a column in a CSV file's first line, which is cut up; -1 if there is none. */
static int find_column(char *header, const char *column)
{
    int found = -1, at = 0;
    for (char *field; (field = strsep(&header, ",")); at++)
        found = strcmp(field, column) == 0 ? at : found;
    return found;
}

/* A number of a CSV line, which is cut up; NAN if it is empty. False if the line has no such column. */
static bool read_column(char *line, int column, double *number)
{
    int at = 0;
    for (char *field; (field = strsep(&line, ",")); at++)
        if (at == column) {
            *number = *field ? strtod(field, NULL) : NAN;
            return true;
        }
    return false;
}

/* A column of a CSV text, which is cut up. malloc'ed; NULL if there is no such column. */
static double *parse_curve(char *text, const char *column, int *count)
{
    char *rest = strchr(text, '\n');
    size_t rows = 0;
    if (rest)
        *rest++ = 0;
    for (const char *c = rest; c && *c; c++)
        rows += *c == '\n';
    const int wanted = find_column(text, column);
    double *curve = wanted >= 0 ? calloc(rows + 1, sizeof *curve) : NULL;
    while (curve && rest && *rest && (size_t)*count < rows) {
        char *next = strchr(rest, '\n');
        if (next)
            *next++ = 0;
        *count += read_column(rest, wanted, &curve[*count]);
        rest = next;
    }
    return curve;
}

double *run_curve(const char *folder, const char *column, int *count)
{
    char *path = path_join(folder, "summary.csv"), *text = NULL;
    unsigned char *bytes = NULL;
    double *curve = NULL;
    size_t size = 0;
    *count = 0;
    if (path && file_read(path, SUMMARY_LIMIT, &bytes, &size, NULL) == STATUS_OK)
        text = strndup((const char *)bytes, size);
    if (text)
        curve = parse_curve(text, column, count);
    for (int i = 0; curve && i < *count; i++)
        curve[i] /= 100;
    free(bytes);
    free(path);
    free(text);
    return curve;
}
