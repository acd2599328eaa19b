/* The tables of `student_train compare`. */
#include "student_train/commands/compare_rows.h"

#include "formats/json.h"
#include "student_train/run/evaluation_report.h"
#include <math.h>
#include <stddef.h>

/* The numbers of a run, as text, Markdown and JSON. */
static const struct column {
    const char *field, *title;
    size_t offset; /* in struct run_metrics */
    double unit;
    int width, decimals; /* width 0: not in the table of text */
    bool percent, timing;
} columns[] = {
    {"accuracy", "accuracy", offsetof(struct run_metrics, accuracy), 1, 10, 2, true, false},
    {"agreement", "agreement", offsetof(struct run_metrics, agreement), 1, 10, 2, true, false},
    {"parameters", "parameters", offsetof(struct run_metrics, parameters), 1, 10, 0, false, false},
    {"multiply_accumulates", "million multiplies", offsetof(struct run_metrics, multiply_accumulates), 1e6, 0, 1, false,
     false},
    {"epochs", "epochs", offsetof(struct run_metrics, epochs), 1, 7, 0, false, false},
    {"images_per_second", "images/s", offsetof(struct run_metrics, images_per_second), 1, 9, 0, false, true},
    {"seconds", "seconds", offsetof(struct run_metrics, seconds), 1, 8, 1, false, true},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static double number_of(const struct compare_row *row, const struct column *column)
{
    const void *number = (const char *)&row->metrics + column->offset;
    return *(const double *)number;
}

/* ---- text ---- */

static void print_number(double value, const struct column *column, FILE *out)
{
    if (!isfinite(value))
        fprintf(out, " %*s", column->width, "-");
    else if (column->percent)
        fprintf(out, " %*.*f %%", column->width - 2, column->decimals, 100 * value);
    else
        fprintf(out, " %*.*f", column->width, column->decimals, value / column->unit);
}

/* " 82.10 ± 0.21" */
static void print_spread(double value, double error, FILE *out)
{
    if (!isfinite(value))
        fprintf(out, " %14s", "-");
    else if (!isfinite(error))
        fprintf(out, " %+7.2f       ", 100 * value);
    else
        fprintf(out, " %+7.2f ± %.2f", 100 * value, 100 * error);
}

void compare_rows_print(const struct compare_row *rows, int count, FILE *out)
{
    bool averages = false, gains = false;
    for (int i = 0; i < count; i++) {
        averages |= rows[i].runs > 1;
        gains |= isfinite(rows[i].gain);
    }
    fprintf(out, "%-32s", averages ? "name" : "loss");
    for (int c = 0; c < COLUMNS; c++)
        if (columns[c].width > 0)
            fprintf(out, " %*s", columns[c].width, columns[c].title);
    fprintf(out, "%s%s\n", averages ? "  runs   ± error" : "", gains ? "    gain, points" : "");
    for (int i = 0; i < count; i++) {
        fprintf(out, "%-32s", averages ? rows[i].metrics.name : rows[i].metrics.loss);
        for (int c = 0; c < COLUMNS; c++)
            if (columns[c].width > 0)
                print_number(number_of(&rows[i], &columns[c]), &columns[c], out);
        if (averages && isfinite(rows[i].accuracy_error))
            fprintf(out, "  %4d %9.2f", rows[i].runs, 100 * rows[i].accuracy_error);
        else if (averages)
            fprintf(out, "  %4d %9s", rows[i].runs, "-");
        if (gains)
            print_spread(rows[i].gain, rows[i].gain_error, out);
        fprintf(out, "\n");
    }
}

/* ---- Markdown ---- */

static void markdown_percent(const char *sign, double value, double error, FILE *out)
{
    if (!isfinite(value))
        fputs(" |", out);
    else if (isfinite(error))
        fprintf(out, *sign ? " %+.2f ± %.2f |" : " %.2f ± %.2f %% |", 100 * value, 100 * error);
    else
        fprintf(out, *sign ? " %+.2f |" : " %.2f %% |", 100 * value);
}

/* A name may hold a |, which would end its cell. */
static void markdown_text(const char *text, FILE *out)
{
    fputs("| ", out);
    for (; *text; text++)
        fprintf(out, *text == '|' ? "\\|" : (unsigned char)*text < 0x20 ? " " : "%c", *text);
    fputs(" |", out);
}

static void markdown_row(const struct compare_row *row, bool places, bool gains, FILE *out)
{
    markdown_text(row->metrics.name, out);
    if (places)
        fprintf(out, isfinite(row->x) ? " %.5g |" : " |", row->x);
    markdown_percent("", row->metrics.accuracy, row->accuracy_error, out);
    if (gains)
        markdown_percent("+", row->gain, row->gain_error, out);
    for (int c = 1; c < COLUMNS; c++) { /* 0: the accuracy */
        const double value = number_of(row, &columns[c]);
        if (columns[c].timing)
            continue;
        if (columns[c].percent)
            markdown_percent("", value, NAN, out);
        else
            fprintf(out, " %.*f |", columns[c].decimals, value / columns[c].unit);
    }
    fprintf(out, " %d |\n", row->runs);
}

void compare_rows_markdown(const struct compare_row *rows, int count, const char *x_label, FILE *out)
{
    bool places = false, gains = false;
    for (int i = 0; i < count; i++) {
        places |= isfinite(rows[i].x);
        gains |= isfinite(rows[i].gain);
    }
    fputs("| run |", out);
    if (places)
        fprintf(out, " %s |", x_label);
    fprintf(out, " accuracy |%s", gains ? " gain, points |" : "");
    for (int c = 1; c < COLUMNS; c++)
        if (!columns[c].timing)
            fprintf(out, " %s |", columns[c].title);
    fprintf(out, " runs |\n|---|---|%s%s", places ? "---|" : "", gains ? "---|" : "");
    for (int c = 1; c < COLUMNS; c++)
        if (!columns[c].timing)
            fputs("---|", out);
    fputs("---|\n", out);
    for (int i = 0; i < count; i++)
        markdown_row(&rows[i], places, gains, out);
}

/* ---- JSON ---- */

cJSON *compare_rows_json(const struct compare_row *rows, int count)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < count; i++) {
        const struct compare_row *row = &rows[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "run", row->folder);
        cJSON_AddStringToObject(item, "name", row->metrics.name);
        cJSON_AddStringToObject(item, "student", row->metrics.student);
        cJSON_AddStringToObject(item, "loss", row->metrics.loss);
        for (int c = 0; c < COLUMNS; c++)
            json_add(item, columns[c].field, json_number_or_null(number_of(row, &columns[c])));
        cJSON_AddNumberToObject(item, "runs", row->runs);
        if (isfinite(row->accuracy_error))
            cJSON_AddNumberToObject(item, "accuracy_error", row->accuracy_error);
        if (isfinite(row->gain))
            cJSON_AddNumberToObject(item, "gain", row->gain);
        if (isfinite(row->gain_error))
            cJSON_AddNumberToObject(item, "gain_error", row->gain_error);
        if (isfinite(row->x))
            cJSON_AddNumberToObject(item, "x", row->x);
        json_append(list, item);
    }
    return list;
}
