/* Charts of lines and dots, in a page or as a file of their own. */
#include "formats/report/svg_chart.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 520, HEIGHT = 276, LEFT = 50, RIGHT = 14, TOP = 18, BOTTOM = 40 };
enum { MAX_POINTS = 1000, MAX_BANDS = 240, Y_TICKS = 5, X_TICKS = 7, MAX_LEGEND = 4 * CHART_COLORS };
/* What a file has above the chart: the title, then a line for each entry of the legend. */
enum { FILE_MARGIN = 14, FILE_TITLE = 26, FILE_ENTRY = 17, FILE_SWATCH = 18, FILE_GAP = 10 };

/* A logarithmic axis counts in powers of 2: low, high and step are exponents. */
struct axis {
    double low, high, step;
    int decimals;
    bool logarithmic;
};

/* ---- axes ---- */

/* The step (1, 2 or 5 times a power of ten) that divides span into about `ticks` parts. */
static double nice_step(double span, int ticks)
{
    double raw = span / ticks, power = pow(10, floor(log10(raw))), part = raw / power;
    return power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
}

static int decimals_of(double step)
{
    int decimals = (int)-floor(log10(step) + 1e-9);
    return decimals < 0 ? 0 : decimals > 8 ? 8 : decimals;
}

/* A vertical axis around [low, high] whose ends are ticks. */
static struct axis value_axis(double low, double high, bool percent)
{
    if (low > 0 && low < 0.4 * high)
        low = 0;
    if (!(high - low > 1e-12 * fabs(high))) {
        double pad = high != 0 ? 0.1 * fabs(high) : 1;
        low -= pad;
        high += pad;
    }
    struct axis axis = {.step = nice_step(high - low, Y_TICKS)};
    axis.low = floor(low / axis.step + 1e-9) * axis.step;
    axis.high = ceil(high / axis.step - 1e-9) * axis.step;
    if (percent && axis.high > 1 && high <= 1)
        axis.high = 1;
    axis.decimals = decimals_of(percent ? 100 * axis.step : axis.step);
    return axis;
}

static double scale(const struct axis *axis, double value, double from, double to)
{
    return from + (value - axis->low) / (axis->high - axis->low) * (to - from);
}

static double to_x(const struct axis *axis, double value)
{
    return scale(axis, axis->logarithmic ? log2(value) : value, LEFT, WIDTH - RIGHT);
}

static double to_y(const struct axis *axis, double value)
{
    return scale(axis, value, HEIGHT - BOTTOM, TOP);
}

static void print_tick(FILE *out, const struct axis *axis, double value, bool percent)
{
    double shown = percent ? 100 * value : value;
    if (axis->decimals > 5 || fabs(shown) >= 1e6)
        fprintf(out, "%.1e", shown);
    else
        fprintf(out, "%.*f", axis->decimals, fabs(shown) < 1e-9 * axis->step ? 0 : shown);
    if (percent)
        fputs(" %", out);
}

static void draw_axes(FILE *out, const struct line_chart *chart, const struct axis *x, const struct axis *y)
{
    for (int i = 0; y->low + i * y->step <= y->high + 0.01 * y->step; i++) {
        double value = y->low + i * y->step, at = to_y(y, value);
        fprintf(out, "<line class=\"gridline\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH - RIGHT, at,
                at);
        fprintf(out, "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 7, at + 4);
        print_tick(out, y, value, chart->percent);
        fputs("</text>\n", out);
    }
    for (double at = ceil(x->low / x->step) * x->step; at <= x->high + 0.01 * x->step; at += x->step) {
        const double value = x->logarithmic ? exp2(at) : at;
        fprintf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">", to_x(x, value),
                HEIGHT - BOTTOM + 17);
        print_tick(out, x, value, false);
        fputs("</text>\n", out);
    }
    fprintf(out, "<line class=\"base\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>", LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM,
            HEIGHT - BOTTOM);
    fprintf(out, "<text class=\"axis\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + WIDTH - RIGHT) / 2,
            HEIGHT - 5);
    html_escape(out, chart->x_label);
    fputs("</text>\n", out);
}

/* ---- lines ---- */

static double x_of(const struct chart_series *series, int i)
{
    return series->x ? series->x[i] : i + 1;
}

/* Half the length of a point's error bar; 0: it has none. */
static double error_of(const struct chart_series *series, int i)
{
    return series->error && isfinite(series->error[i]) ? series->error[i] : 0;
}

/* The end of an error bar: that of a share does not leave 0 .. 1. */
static double bar_end(const struct line_chart *chart, double value, double error)
{
    const double end = value + error;
    return !chart->percent || value < 0 || value > 1 ? end : end < 0 ? 0 : end > 1 ? 1 : end;
}

static bool has_values(const struct chart_series *series)
{
    for (int i = 0; i < series->count; i++)
        if (isfinite(series->y[i]) && isfinite(x_of(series, i)))
            return true;
    return false;
}

/* The ranges of all series; false if there is nothing to draw. */
static bool find_axes(const struct line_chart *chart, struct axis *x, struct axis *y)
{
    double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY, y_high = -INFINITY;
    bool whole = true;
    for (int s = 0; s < chart->series_count; s++)
        for (int i = 0; i < chart->series[s].count; i++) {
            const struct chart_series *series = &chart->series[s];
            const double at = chart->logarithmic ? log2(x_of(series, i)) : x_of(series, i), value = series->y[i];
            const double error = error_of(series, i);
            if (!isfinite(at) || !isfinite(value))
                continue;
            whole = whole && at == floor(at);
            x_low = fmin(x_low, at), x_high = fmax(x_high, at);
            y_low = fmin(y_low, bar_end(chart, value, -error)), y_high = fmax(y_high, bar_end(chart, value, error));
        }
    if (x_low > x_high)
        return false;
    *y = value_axis(y_low, y_high, chart->percent);
    if (x_low == x_high)
        x_low -= 1, x_high += 1;
    double step = nice_step(x_high - x_low, X_TICKS);
    *x = (struct axis){.low = x_low, .high = x_high, .step = whole && step < 1 ? 1 : step};
    x->decimals = decimals_of(x->step);
    if (chart->logarithmic) /* powers of 2 are marked */
        *x = (struct axis){.low = x_low, .high = x_high, .step = fmax(1, round(step)), .logarithmic = true};
    return true;
}

static void draw_dot(FILE *out, const struct line_chart *chart, const struct chart_series *series, int i, double x,
                     double y)
{
    fprintf(out, "<circle class=\"c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"", series->color % CHART_COLORS, x, y,
            series->bold ? "4" : "2.5");
    if (series->hue > 0)
        fprintf(out, " style=\"fill:hsl(%d 75%% 50%%)\"", series->hue);
    fputs("><title>", out);
    html_escape(out, series->name);
    fprintf(out, chart->percent ? ", %.4g: %.2f %%" : ", %.4g: %.5g", x_of(series, i),
            chart->percent ? 100 * series->y[i] : series->y[i]);
    fputs("</title></circle>", out);
}

/* Points with error bars are measurements, so each is a dot. */
static void draw_errors(FILE *out, const struct line_chart *chart, const struct chart_series *series,
                        const struct axis *x, const struct axis *y)
{
    for (int i = 0; i < series->count; i++) {
        const double at = x_of(series, i), value = series->y[i], error = error_of(series, i);
        if (!isfinite(at) || !isfinite(value))
            continue;
        if (error > 0)
            fprintf(out, "<path class=\"error c%d\" d=\"M%.1f %.1fL%.1f %.1f\"/>", series->color % CHART_COLORS,
                    to_x(x, at), to_y(y, bar_end(chart, value, -error)), to_x(x, at),
                    to_y(y, bar_end(chart, value, error)));
        draw_dot(out, chart, series, i, to_x(x, at), to_y(y, value));
    }
    fputc('\n', out);
}

/* A path that starts again after every gap. A single point between gaps would be invisible, so it becomes a dot. */
static void draw_series(FILE *out, const struct line_chart *chart, const struct chart_series *series,
                        const struct axis *x, const struct axis *y)
{
    int stride = (series->count + MAX_POINTS - 1) / MAX_POINTS;
    bool drawing = false;
    fprintf(out, "<path class=\"line c%d%s%s%s\"", series->color % CHART_COLORS, series->dashed ? " dashed" : "",
            series->faint ? " faint" : "", series->bold ? " bold" : "");
    if (series->hue > 0)
        fprintf(out, " style=\"stroke:hsl(%d 75%% 50%%)\"", series->hue);
    fputs(" d=\"", out);
    for (int i = 0; i < series->count; i += stride) {
        bool valid = isfinite(series->y[i]) && isfinite(x_of(series, i));
        if (valid)
            fprintf(out, "%s%.1f %.1f", drawing ? "L" : "M", to_x(x, x_of(series, i)), to_y(y, series->y[i]));
        drawing = valid;
    }
    fputs("\"><title>", out);
    html_escape(out, series->name);
    fputs("</title></path>\n", out);
    if (series->error) {
        draw_errors(out, chart, series, x, y);
        return;
    }
    for (int i = 0; i < series->count; i += stride) {
        bool before = i >= stride && isfinite(series->y[i - stride]);
        bool after = i + stride < series->count && isfinite(series->y[i + stride]);
        if (isfinite(series->y[i]) && isfinite(x_of(series, i)) && !before && !after)
            draw_dot(out, chart, series, i, to_x(x, x_of(series, i)), to_y(y, series->y[i]));
    }
}

/* Prints the value of a series at this x, if it has one. */
static void hover_value(FILE *out, const struct line_chart *chart, const struct chart_series *series, double at)
{
    for (int i = 0; i < series->count; i++) {
        if (x_of(series, i) != at || !isfinite(series->y[i]))
            continue;
        fputc('\n', out);
        html_escape(out, series->name);
        fprintf(out, chart->percent ? ": %.2f %%" : ": %.5g", chart->percent ? 100 * series->y[i] : series->y[i]);
        return;
    }
}

/* Invisible columns over the chart: hovering over one shows the values of all series at that x. */
static void draw_bands(FILE *out, const struct line_chart *chart, const struct axis *x)
{
    const struct chart_series *first = &chart->series[0];
    for (int s = 1; s < chart->series_count; s++)
        if (chart->series[s].count > first->count)
            first = &chart->series[s];
    int stride = (first->count + MAX_BANDS - 1) / MAX_BANDS;
    for (int i = 0; i < first->count; i += stride) {
        double at = x_of(first, i), previous = i >= stride ? x_of(first, i - stride) : at;
        double next = i + stride < first->count ? x_of(first, i + stride) : at;
        double left = to_x(x, 0.5 * (at + previous)), right = to_x(x, 0.5 * (at + next));
        if (!isfinite(at) || !(right > left))
            continue;
        fprintf(out, "<rect class=\"band\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"><title>", left, TOP,
                right - left, HEIGHT - TOP - BOTTOM);
        html_escape(out, chart->x_label);
        fprintf(out, " %g", at);
        for (int s = 0; s < chart->series_count; s++)
            hover_value(out, chart, &chart->series[s], at);
        fputs("</title></rect>\n", out);
    }
}

static void draw_mark(FILE *out, const struct line_chart *chart, const struct axis *x)
{
    if (!(chart->mark >= x->low && chart->mark <= x->high))
        return;
    double at = to_x(x, chart->mark);
    fprintf(out, "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", at, at, TOP, HEIGHT - BOTTOM);
    fprintf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">", at, TOP - 6);
    html_escape(out, chart->mark_label ? chart->mark_label : "");
    fputs("</text>\n", out);
}

static void draw_content(FILE *out, const struct line_chart *chart, const struct axis *x, const struct axis *y)
{
    draw_axes(out, chart, x, y);
    draw_mark(out, chart, x);
    for (int s = 0; s < chart->series_count; s++)
        draw_series(out, chart, &chart->series[s], x, y);
    if (!chart->no_legend)
        draw_bands(out, chart, x);
}

/* The chart's own legend, or one entry per series with values. */
static int legend_of(const struct line_chart *chart, struct chart_legend_entry *entries)
{
    int count = 0;
    if (chart->no_legend) {
        for (; count < chart->legend_count && count < MAX_LEGEND; count++)
            entries[count] = chart->legend[count];
        return count;
    }
    for (int s = 0; s < chart->series_count && count < MAX_LEGEND; s++)
        if (has_values(&chart->series[s]))
            entries[count++] =
                (struct chart_legend_entry){chart->series[s].name, chart->series[s].color, chart->series[s].dashed, 0};
    return count;
}

void chart_lines(FILE *out, const struct line_chart *chart)
{
    struct axis x, y;
    struct chart_legend_entry legend[MAX_LEGEND];
    if (!find_axes(chart, &x, &y))
        return;
    chart_open(out, chart->title, legend, legend_of(chart, legend));
    fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDTH, HEIGHT);
    draw_content(out, chart, &x, &y);
    fputs("</svg>\n", out);
    chart_close(out);
}

bool chart_lines_file(FILE *out, const struct line_chart *chart)
{
    struct axis x, y;
    struct chart_legend_entry legend[MAX_LEGEND];
    if (!find_axes(chart, &x, &y))
        return false;
    const int count = legend_of(chart, legend), above = FILE_TITLE + count * FILE_ENTRY + FILE_GAP;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" "
            "font-family=\"sans-serif\">\n<style>%s</style>\n<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n",
            WIDTH, HEIGHT + above, chart_style(), WIDTH, HEIGHT + above);
    fprintf(out, "<text class=\"title\" x=\"%d\" y=\"%d\">", FILE_MARGIN, FILE_TITLE - 4);
    html_escape(out, chart->title);
    fputs("</text>\n", out);
    for (int i = 0; i < count; i++) {
        const int middle = FILE_TITLE + FILE_GAP / 2 + i * FILE_ENTRY + FILE_ENTRY / 2;
        fprintf(out, "<path class=\"line bold c%d%s\" d=\"M%d %dL%d %d\"/><text x=\"%d\" y=\"%d\">",
                legend[i].color % CHART_COLORS, legend[i].dashed ? " dashed" : "", FILE_MARGIN, middle,
                FILE_MARGIN + FILE_SWATCH, middle, FILE_MARGIN + FILE_SWATCH + 8, middle + 4);
        html_escape(out, legend[i].name);
        fputs("</text>\n", out);
    }
    fprintf(out, "<g transform=\"translate(0,%d)\">\n", above);
    draw_content(out, chart, &x, &y);
    fputs("</g>\n</svg>\n", out);
    return true;
}
