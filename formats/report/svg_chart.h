/* Charts as inline SVG for HTML pages (lines also as files): lines, heat maps, paired bars, changes. Colours, fonts and
 * dark mode come from the page's CSS (chart_style); hovering needs no script: every point and cell has a <title>. All
 * texts are escaped here. */
#ifndef FORMATS_REPORT_SVG_CHART_H
#define FORMATS_REPORT_SVG_CHART_H

#include <stdbool.h>
#include <stdio.h>

enum { CHART_COLORS = 8 }; /* CSS classes c0 .. c7 */

/* Writes text for HTML and SVG: < > & " ' are escaped, control characters replaced by blanks. */
void html_escape(FILE *out, const char *text);

/* CSS of the charts and of the page around them; to be put into <style>. */
const char *chart_style(void);

struct chart_series {
    const char *name;
    const double *x; /* [count] ascending; NULL: 1, 2, ... */
    const double *y; /* [count]; a value that is not finite is a gap */
    int count;
    int color; /* 0 .. CHART_COLORS - 1 */
    bool dashed;
    int hue;    /* 1 .. 360: this hue instead of the palette's colour */
    bool faint; /* one of many: thinner and paler */
    bool bold;  /* thicker: the most important one */
    /* [count] half the lengths of error bars, not finite: none, and every point is a dot; NULL: a plain line */
    const double *error;
};

struct chart_legend_entry {
    const char *name;
    int color;
    bool dashed;
    int hue;
};

struct line_chart {
    const char *title, *x_label;
    const struct chart_series *series; /* [series_count]; those without a finite value are left out */
    int series_count;
    bool percent;                            /* y is a share, shown as a percentage */
    double mark;                             /* a vertical line at this x; NAN: none */
    const char *mark_label;                  /* "best" */
    bool no_legend;                          /* names are shown only when a line is hovered over */
    const struct chart_legend_entry *legend; /* [legend_count] with no_legend: what is shown instead */
    int legend_count;
    bool logarithmic; /* the x axis: every x is above 0 */
};
/* A <figure> with title, legend and chart. */
void chart_lines(FILE *out, const struct line_chart *chart);
/* The same as the content of an .svg file of its own, for Markdown; false if there is nothing to draw. */
bool chart_lines_file(FILE *out, const struct line_chart *chart);

struct heat_map {
    const char *title, *row_title, *column_title; /* "true class", "predicted class" */
    const char *const *row_labels, *const *column_labels;
    int rows, columns;
    const double *values;  /* [rows, columns] shown as colour, low .. high; a cell that is not finite stays empty */
    const double *numbers; /* [rows, columns] shown as text in the cells and on hovering; NULL: values */
    double low, high;
    int decimals;       /* of the numbers */
    bool faint_visible; /* shade by the square root, so that small values are visible */
    bool mark_highest;  /* draws a frame around the cell of the largest value */
};
/* Numbers are written into the cells if they fit, and shown on hovering otherwise; of many labels only some are
 * written. */
void chart_heat_map(FILE *out, const struct heat_map *map);

struct bar_chart {
    const char *title;
    const char *const *labels; /* [count] */
    int count;
    const char *const *names;    /* [series_count] */
    const double *const *values; /* [series_count][count] shares in [0, 1]; not finite: no bar */
    const int *colors;           /* [series_count] */
    int series_count;
};
/* Horizontal bars in groups, one group per label. */
void chart_bars(FILE *out, const struct bar_chart *chart);

/* Horizontal bars to both sides of zero: values[count] are differences of shares in [-1, 1], shown in points. All must
 * be finite. */
void chart_changes(FILE *out, const char *title, const char *const *labels, const double *values, int count);

/* ---- between the chart files ---- */
void chart_open(FILE *out, const char *title, const struct chart_legend_entry *entries, int count);
void chart_close(FILE *out);
/* Writes escaped text of at most limit characters; an ellipsis replaces the rest. */
void chart_label(FILE *out, const char *text, int limit);
/* Number of (UTF-8) characters of the longest label, at most limit. */
int chart_longest(const char *const *labels, int count, int limit);

#endif
