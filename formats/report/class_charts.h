/* Charts with a bar for each class. Of many classes only those that matter most are shown, and the title says so. */
#ifndef FORMATS_REPORT_CLASS_CHARTS_H
#define FORMATS_REPORT_CLASS_CHARTS_H

#include <stdbool.h>
#include <stdio.h>

enum { CLASS_CHART_LIMIT = 30, CLASS_CHART_SERIES = 4 };

struct class_series {
    const char *name;
    int color;            /* of svg_chart.h */
    const double *values; /* [class_count] shares in [0, 1]; not finite: not measured */
};

/* Accuracy per class, the worst by the first series if there are too many. Classes that the first series has not
 * measured are left out. At most CLASS_CHART_SERIES. False when out of memory. */
bool chart_class_accuracy(FILE *out, const char *const *classes, int class_count, const struct class_series *series,
                          int series_count);

/* after - before for each class in points, the largest gain first; of too many classes those that change most. Nothing
 * if no class was measured in both. [class_count] each. False when out of memory. */
bool chart_class_changes(FILE *out, const char *title, const char *const *classes, int class_count,
                         const double *before, const double *after);

#endif
