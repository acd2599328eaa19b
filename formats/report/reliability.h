/* How well the confidence of a classifier fits its accuracy: reliability diagram and expected calibration error (Guo et
 * al., "On Calibration of Modern Neural Networks", 2017), over bins of equal width. */
#ifndef FORMATS_REPORT_RELIABILITY_H
#define FORMATS_REPORT_RELIABILITY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { RELIABILITY_BINS = 15 };

/* Zeroed: nothing was seen. */
struct reliability {
    struct {
        uint64_t count, right;
        double confidence; /* sum */
    } bins[RELIABILITY_BINS];
};

/* confidence: the probability of the predicted class, in [0, 1]; NAN is not counted. right: it is the true one. */
void reliability_add(struct reliability *reliability, double confidence, bool right);
/* Sum over the bins of their share of all samples times |accuracy - mean confidence|; NAN if nothing was seen. */
double reliability_error(const struct reliability *reliability);

struct reliability_curve {
    const char *name;
    int color; /* of svg_chart.h */
    const struct reliability *reliability;
};
/* Accuracy against mean confidence of each bin, with the standard error of its accuracy; at most CHART_COLORS curves.
 * Those that saw nothing are left out; without any other nothing is drawn. */
void chart_reliability(FILE *out, const char *title, const struct reliability_curve *curves, int count);

#endif
