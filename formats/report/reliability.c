#include "formats/report/reliability.h"

#include "formats/report/svg_chart.h"
#include <assert.h>
#include <math.h>

enum { NAME_SIZE = 100 };

void reliability_add(struct reliability *reliability, double confidence, bool right)
{
    if (isnan(confidence)) /* of a student that has diverged */
        return;
    int bin = (int)(confidence * RELIABILITY_BINS);
    bin = bin < 0 ? 0 : bin >= RELIABILITY_BINS ? RELIABILITY_BINS - 1 : bin;
    reliability->bins[bin].count++;
    reliability->bins[bin].right += right;
    reliability->bins[bin].confidence += confidence;
}

double reliability_error(const struct reliability *reliability)
{
    double distance = 0, count = 0;
    for (int b = 0; b < RELIABILITY_BINS; b++) {
        distance += fabs((double)reliability->bins[b].right - reliability->bins[b].confidence);
        count += (double)reliability->bins[b].count;
    }
    return count > 0 ? distance / count : NAN;
}

struct points {
    double x[RELIABILITY_BINS], y[RELIABILITY_BINS], error[RELIABILITY_BINS];
};

/* Empty bins have no point. The standard error is that of (right + 1) / (n + 2), so that few samples, all of which are
 * right, do not look certain (Agresti, Coull 1998). Returns the number of points. */
static int points_of(const struct reliability *reliability, struct points *points)
{
    int count = 0;
    for (int b = 0; b < RELIABILITY_BINS; b++) {
        const double n = (double)reliability->bins[b].count;
        if (!(n > 0))
            continue;
        const double accuracy = (double)reliability->bins[b].right / n;
        points->x[count] = reliability->bins[b].confidence / n;
        points->y[count] = accuracy;
        const double middle = ((double)reliability->bins[b].right + 1) / (n + 2);
        points->error[count++] = sqrt(middle * (1 - middle) / (n + 2));
    }
    return count;
}

void chart_reliability(FILE *out, const char *title, const struct reliability_curve *curves, int count)
{
    static const double ends[2] = {0, 1};
    struct points points[CHART_COLORS];
    struct chart_series series[CHART_COLORS + 1] = {
        {.name = "confidence = accuracy", .x = ends, .y = ends, .count = 2}};
    struct chart_legend_entry legend[CHART_COLORS];
    char names[CHART_COLORS][NAME_SIZE];
    int drawn = 0;
    assert(count <= CHART_COLORS);
    series[0].color = CHART_COLORS - 1;
    series[0].dashed = true;
    for (int i = 0; i < count; i++) {
        const int n = points_of(curves[i].reliability, &points[drawn]);
        if (n == 0)
            continue;
        snprintf(names[drawn], NAME_SIZE, "%s (calibration error %.1f %%)", curves[i].name,
                 100 * reliability_error(curves[i].reliability));
        legend[drawn] = (struct chart_legend_entry){names[drawn], curves[i].color, false, 0};
        series[drawn + 1] = (struct chart_series){.name = curves[i].name,
                                                  .x = points[drawn].x,
                                                  .y = points[drawn].y,
                                                  .error = points[drawn].error,
                                                  .count = n,
                                                  .color = curves[i].color};
        drawn++;
    }
    const struct line_chart chart = {.title = title,
                                     .x_label = "mean confidence of 15 bins; bars: standard error of the accuracy",
                                     .series = series,
                                     .series_count = drawn + 1,
                                     .percent = true,
                                     .mark = NAN,
                                     .no_legend = true,
                                     .legend = legend,
                                     .legend_count = drawn};
    if (drawn)
        chart_lines(out, &chart);
}
