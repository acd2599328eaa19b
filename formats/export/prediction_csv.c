#define _POSIX_C_SOURCE 200809L
#include "formats/export/prediction_csv.h"

#include "shared/base/files.h"
#include "shared/base/number_text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool needs_quotes(const char *text)
{
    return strpbrk(text, ",\"\r\n") != NULL;
}

/* The inside of a quoted field. */
static void put_escaped(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
}

static void put_field(FILE *out, const char *text)
{
    if (!needs_quotes(text)) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    put_escaped(out, text);
    fputc('"', out);
}

/* One field: the classes order[0..top), separated by blanks. */
static void put_labels(FILE *out, const struct prediction_csv *csv, const int *order, int top)
{
    bool quoted = false;
    for (int i = 0; csv->labels && i < top; i++)
        quoted |= needs_quotes(csv->labels[order[i]]);
    fputs(quoted ? "\"" : "", out);
    for (int i = 0; i < top; i++) {
        fputs(i ? " " : "", out);
        if (csv->labels)
            put_escaped(out, csv->labels[order[i]]);
        else
            fprintf(out, "%d", order[i]);
    }
    fputs(quoted ? "\"" : "", out);
}

static bool has_column_per_class(const struct prediction_csv *csv)
{
    return csv->probabilities && csv->top == 0;
}

static enum status put_header(FILE *out, const struct prediction_csv *csv, struct error *err)
{
    const char *header = csv->header;
    const int columns = has_column_per_class(csv) ? 1 + csv->classes : csv->probabilities ? 3 : 2;
    int found = 1;
    if (!header)
        header = has_column_per_class(csv) ? "Id" : csv->probabilities ? "Id,Category,Probability" : "Id,Category";
    for (const char *c = header; *c; c++)
        found += *c == ',';
    fputs(header, out);
    if (has_column_per_class(csv) && found == 1) {
        for (int k = 0; k < csv->classes; k++) {
            fputc(',', out);
            put_field(out, csv->names[k]);
        }
    } else if (found != columns) {
        return error_set(err, STATUS_CONFIG, NULL, "--header '%s' names %d columns, but the file has %d", header, found,
                         columns);
    }
    fputc('\n', out);
    return STATUS_OK;
}

/* order[0..top) = the most probable classes, best first; the lower index first where two are equal. */
static void find_top(const float *row, int classes, int top, int *order)
{
    for (int i = 0; i < top; i++) {
        int best = -1;
        for (int k = 0; k < classes; k++) {
            bool taken = false;
            for (int j = 0; j < i; j++)
                taken |= order[j] == k;
            if (!taken && (best < 0 || row[k] > row[best]))
                best = k;
        }
        order[i] = best;
    }
}

static void put_row(FILE *out, const struct prediction_csv *csv, const char *id, const float *row, int *order)
{
    char number[FLOAT_TEXT_SIZE];
    const int wanted = csv->top > 0 ? csv->top : 1, top = wanted < csv->classes ? wanted : csv->classes;
    put_field(out, id);
    if (has_column_per_class(csv)) {
        for (int k = 0; k < csv->classes; k++)
            fprintf(out, ",%s", float_text(row[k], number));
        fputc('\n', out);
        return;
    }
    find_top(row, csv->classes, top, order);
    fputc(',', out);
    put_labels(out, csv, order, top);
    for (int i = 0; csv->probabilities && i < top; i++)
        fprintf(out, "%c%s", i ? ' ' : ',', float_text(row[order[i]], number));
    fputc('\n', out);
}

enum status prediction_csv_publish(const char *path, const struct prediction_csv *csv, const char *const *ids,
                                   const float *probabilities, size_t count, struct error *err)
{
    enum status status = STATUS_OK;
    char *text = NULL;
    size_t size;
    int *order = calloc((size_t)csv->classes + 1, sizeof *order);
    FILE *out = order ? open_memstream(&text, &size) : NULL;
    if (!out)
        FAIL(error_no_memory(err, 0, "predictions"));
    TRY(put_header(out, csv, err));
    for (size_t i = 0; i < count; i++)
        put_row(out, csv, ids[i], probabilities + i * (size_t)csv->classes, order);
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        out = NULL;
        FAIL(error_no_memory(err, 0, "predictions"));
    }
    out = NULL;
    TRY(file_publish(path, text, size, err));
cleanup:
    if (out)
        fclose(out);
    free(text);
    free(order);
    return status;
}
