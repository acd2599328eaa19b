/* Charts made of rectangles: heat maps and bars. */
#include "formats/report/svg_chart.h"

#include <math.h>

enum { LABEL_LIMIT = 18, MAX_NUMBERED = 14, MAX_LABELS = 30 };
static const double character_width =
    7.3; /* pixels of a digit in the 11.5 px label font, of the widest that systems have */

/* ---- heat map ---- */

struct grid {
    double left, top, cell_w, cell_h;
    int label_stride;
    bool slanted; /* column labels do not fit side by side */
};

/* The margin fits the longest label; cells have a side that makes the map about 560 pixels wide. */
static struct grid plan_grid(const struct heat_map *map)
{
    int row_chars = chart_longest(map->row_labels, map->rows, LABEL_LIMIT);
    int column_chars = chart_longest(map->column_labels, map->columns, LABEL_LIMIT);
    int largest = map->rows > map->columns ? map->rows : map->columns;
    struct grid grid = {.left = 30 + row_chars * character_width};
    double cell = 560.0 / map->columns;
    grid.cell_w = cell > 52 ? 52 : cell;
    grid.cell_h = grid.cell_w > 40 ? 40 : grid.cell_w;
    grid.label_stride = (largest + MAX_LABELS - 1) / MAX_LABELS;
    grid.slanted = column_chars * character_width > grid.cell_w * grid.label_stride;
    grid.top = 34 + (grid.slanted ? 0.72 * column_chars * character_width : 10);
    return grid;
}

static double shade_of(const struct heat_map *map, double value)
{
    double part = (value - map->low) / (map->high - map->low);
    part = part > 0 ? part < 1 ? part : 1 : 0;
    return map->faint_visible ? sqrt(part) : part;
}

static void draw_cell(FILE *out, const struct heat_map *map, const struct grid *grid, int row, int column)
{
    size_t at = (size_t)row * (size_t)map->columns + (size_t)column;
    double value = map->values[at], number = map->numbers ? map->numbers[at] : value;
    if (!isfinite(value))
        return;
    double shade = shade_of(map, value), x = grid->left + column * grid->cell_w, y = grid->top + row * grid->cell_h;
    bool numbered = map->columns <= MAX_NUMBERED;
    if (shade <= 0 && !numbered)
        return;
    double gap = grid->cell_w > 12 ? 1 : 0;
    fputs("<g class=\"cell\"><title>", out);
    html_escape(out, map->row_labels[row]);
    fputs(" / ", out);
    html_escape(out, map->column_labels[column]);
    fputs(": ", out);
    fprintf(out, "%.*f", map->decimals, number);
    fprintf(out, "</title><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill-opacity=\"%.3f\"/>", x, y,
            grid->cell_w - gap, grid->cell_h - gap, shade);
    if (numbered) {
        fprintf(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">",
                shade > 0.6 ? "on"
                : shade > 0 ? "off"
                            : "zero",
                x + 0.5 * (grid->cell_w - gap), y + 0.5 * grid->cell_h + 3.5);
        fprintf(out, "%.*f", map->decimals, number);
        fputs("</text>", out);
    }
    fputs("</g>\n", out);
}

static void draw_labels(FILE *out, const struct heat_map *map, const struct grid *grid)
{
    for (int i = 0; i < map->rows; i += grid->label_stride) {
        double y = grid->top + (i + 0.5) * grid->cell_h + 4;
        fprintf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", grid->left - 7, y);
        chart_label(out, map->row_labels[i], LABEL_LIMIT);
        fputs("</text>\n", out);
    }
    for (int i = 0; i < map->columns; i += grid->label_stride) {
        double x = grid->left + (i + 0.5) * grid->cell_w, y = grid->top - 8;
        if (grid->slanted)
            fprintf(out, "<text class=\"tick\" transform=\"translate(%.1f %.1f) rotate(-45)\">", x + 2, y);
        else
            fprintf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", x, y);
        chart_label(out, map->column_labels[i], LABEL_LIMIT);
        fputs("</text>\n", out);
    }
}

static void draw_titles(FILE *out, const struct heat_map *map, const struct grid *grid)
{
    double middle = grid->top + 0.5 * map->rows * grid->cell_h;
    fprintf(out, "<text class=\"axis\" x=\"%.1f\" y=\"13\" text-anchor=\"middle\">",
            grid->left + 0.5 * map->columns * grid->cell_w);
    html_escape(out, map->column_title);
    fprintf(out, "</text><text class=\"axis\" transform=\"translate(13 %.1f) rotate(-90)\" text-anchor=\"middle\">",
            middle);
    html_escape(out, map->row_title);
    fputs("</text>\n", out);
}

/* Marks the cell of the largest value, the first if there are several. */
static void draw_highest(FILE *out, const struct heat_map *map, const struct grid *grid)
{
    int best = -1;
    for (int i = 0; i < map->rows * map->columns; i++)
        if (isfinite(map->values[i]) && (best < 0 || map->values[i] > map->values[best]))
            best = i;
    if (best >= 0)
        fprintf(out, "<rect class=\"highest\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                grid->left + best % map->columns * grid->cell_w - 1,
                grid->top + (best / map->columns) * grid->cell_h - 1, grid->cell_w + 1, grid->cell_h + 1);
}

void chart_heat_map(FILE *out, const struct heat_map *map)
{
    if (map->rows < 1 || map->columns < 1)
        return;
    struct grid grid = plan_grid(map);
    double spill = grid.slanted ? 0.72 * LABEL_LIMIT * character_width : 8; /* of the last slanted label */
    double width = grid.left + map->columns * grid.cell_w + spill, height = grid.top + map->rows * grid.cell_h + 8;
    chart_open(out, map->title, NULL, 0);
    fprintf(out, "<svg class=\"heat\" viewBox=\"0 0 %.0f %.0f\" style=\"max-width:%.0fpx\" role=\"img\">\n", width,
            height, 1.15 * width);
    draw_titles(out, map, &grid);
    draw_labels(out, map, &grid);
    for (int row = 0; row < map->rows; row++)
        for (int column = 0; column < map->columns; column++)
            draw_cell(out, map, &grid, row, column);
    if (map->mark_highest)
        draw_highest(out, map, &grid);
    fprintf(out, "<rect class=\"frame\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n</svg>\n",
            grid.left - 1, grid.top - 1, map->columns * grid.cell_w + 1, map->rows * grid.cell_h + 1);
    chart_close(out);
}

/* ---- bars ---- */

enum { BARS_WIDTH = 520, BAR_HEIGHT = 12, GROUP_GAP = 9, VALUE_WIDTH = 54 };

static void draw_bar(FILE *out, const struct bar_chart *chart, int group, int series, double left, double y)
{
    double value = chart->values[series][group], full = BARS_WIDTH - VALUE_WIDTH - left;
    if (!isfinite(value))
        return;
    value = value < 0 ? 0 : value > 1 ? 1 : value;
    fprintf(out, "<rect class=\"bar c%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"1.5\"><title>",
            chart->colors[series] % CHART_COLORS, left, y, value * full, BAR_HEIGHT - 1);
    html_escape(out, chart->labels[group]);
    fputs(", ", out);
    html_escape(out, chart->names[series]);
    fprintf(out, ": %.2f %%</title></rect>", 100 * value);
    fprintf(out, "<text class=\"value\" x=\"%.1f\" y=\"%.1f\">%.1f %%</text>\n", left + value * full + 5,
            y + BAR_HEIGHT - 2.5, 100 * value);
}

void chart_bars(FILE *out, const struct bar_chart *chart)
{
    struct chart_legend_entry legend[CHART_COLORS];
    if (chart->count < 1 || chart->series_count < 1 || chart->series_count > CHART_COLORS)
        return;
    for (int s = 0; s < chart->series_count; s++)
        legend[s] = (struct chart_legend_entry){chart->names[s], chart->colors[s], false, 0};
    double left = 12 + chart_longest(chart->labels, chart->count, LABEL_LIMIT) * character_width;
    int group_height = chart->series_count * BAR_HEIGHT + GROUP_GAP;
    chart_open(out, chart->title, legend, chart->series_count);
    fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n", BARS_WIDTH, chart->count * group_height + 4);
    for (int i = 0; i < chart->count; i++) {
        double y = 2 + (double)i * group_height;
        fprintf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", left - 7,
                y + 0.5 * (group_height - GROUP_GAP) + 4);
        chart_label(out, chart->labels[i], LABEL_LIMIT);
        fputs("</text>\n", out);
        for (int s = 0; s < chart->series_count; s++)
            draw_bar(out, chart, i, s, left, y + s * BAR_HEIGHT);
    }
    fputs("</svg>\n", out);
    chart_close(out);
}

/* ---- changes ---- */

void chart_changes(FILE *out, const char *title, const char *const *labels, const double *values, int count)
{
    double largest = 0.01; /* of the axis: changes below a point are no long bars */
    if (count < 1)
        return;
    for (int i = 0; i < count; i++)
        largest = fmax(largest, fabs(values[i]));
    const double left = 12 + chart_longest(labels, count, LABEL_LIMIT) * character_width;
    const double half = 0.5 * (BARS_WIDTH - left) - VALUE_WIDTH, middle = left + VALUE_WIDTH + half;
    const int height = BAR_HEIGHT + GROUP_GAP;
    chart_open(out, title, NULL, 0);
    fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n", BARS_WIDTH, count * height + 4);
    for (int i = 0; i < count; i++) {
        const double y = 2 + (double)i * height, length = fabs(values[i]) / largest * half;
        const double from = values[i] < 0 ? middle - length : middle;
        fprintf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", left - 7, y + BAR_HEIGHT - 2);
        chart_label(out, labels[i], LABEL_LIMIT);
        fprintf(out, "</text><rect class=\"bar c%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"><title>",
                values[i] < 0 ? 1 : 0, from, y, length, BAR_HEIGHT - 1);
        html_escape(out, labels[i]);
        fprintf(out, ": %+.2f points</title></rect>", 100 * values[i]);
        fprintf(out, "<text class=\"value\" x=\"%.1f\" y=\"%.1f\"%s>%+.1f</text>\n",
                values[i] < 0 ? from - 5 : middle + length + 5, y + BAR_HEIGHT - 2.5,
                values[i] < 0 ? " text-anchor=\"end\"" : "", 100 * values[i]);
    }
    fprintf(out, "<line class=\"base\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"%d\"/>\n</svg>\n", middle, middle,
            count * height + 4);
    chart_close(out);
}
