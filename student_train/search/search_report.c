/* The ranking of a search's nets, and search.csv; search_page.c has search.html. */
#define _GNU_SOURCE
#include "student_train/search/search.h"

#include "shared/base/files.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_rank(const void *left, const void *right, void *context)
{
    const struct search *search = context;
    const int a = *(const int *)left, b = *(const int *)right;
    const struct search_run *x = &search->runs[a], *y = &search->runs[b];
    if (x->epochs != y->epochs)
        return x->epochs > y->epochs ? -1 : 1;
    if (x->score != y->score && (isfinite(x->score) || isfinite(y->score)))
        return !isfinite(y->score) || x->score > y->score ? -1 : 1;
    return a < b ? -1 : a > b;
}

int *search_ranked(const struct search *search, int *count)
{
    int *runs = calloc((size_t)search->candidates + 1, sizeof *runs);
    *count = 0;
    for (int i = 0; runs && i < search->candidates; i++)
        if (search->runs[i].epochs > 0)
            runs[(*count)++] = i;
    if (runs)
        qsort_r(runs, (size_t)*count, sizeof *runs, by_rank, (void *)(uintptr_t)search);
    return runs;
}

/* What a finished net is reported with. */
static double reported(const struct search_run *run)
{
    return !run->metrics.loss ? NAN : isfinite(run->metrics.accuracy) ? run->metrics.accuracy : run->metrics.agreement;
}

bool search_on_front(const struct search *search, int run)
{
    const struct search_run *own = &search->runs[run];
    bool best = isfinite(reported(own));
    for (int i = 0; i < search->candidates && best; i++) {
        const struct search_run *other = &search->runs[i];
        const double gain = reported(other) - reported(own), saved = own->net.multiplies - other->net.multiplies;
        best = !(gain >= 0 && saved >= 0 && (gain > 0 || saved > 0));
    }
    return best;
}

static void csv_number(FILE *out, double number)
{
    if (isfinite(number))
        fprintf(out, ",%.9g", number);
    else
        fputc(',', out);
}

static void write_csv(const struct search *search, FILE *out)
{
    int count, *ranked = search_ranked(search, &count);
    fputs("net,parameters,multiplies,activation_bytes,epochs,selection,accuracy,agreement,best_epoch,front,design\n",
          out);
    for (int i = 0; ranked && i < count; i++) {
        const struct search_run *run = &search->runs[ranked[i]];
        const bool finished = run->metrics.loss != NULL;
        fprintf(out, "%d,%zu,%.0f,%zu,%d", ranked[i] + 1, run->net.parameters, run->net.multiplies,
                run->net.activation_bytes, run->epochs);
        csv_number(out, run->score);
        csv_number(out, finished ? run->metrics.accuracy : NAN);
        csv_number(out, finished ? run->metrics.agreement : NAN);
        csv_number(out, finished ? run->metrics.best_epoch : NAN);
        fprintf(out, ",%s,\"%s\"\n", search_on_front(search, ranked[i]) ? "yes" : "", run->net.label);
    }
    free(ranked);
}

static enum status publish(const struct search *search, const char *name,
                           void (*write)(const struct search *search, FILE *out), struct error *err)
{
    enum status status = STATUS_OK;
    char *text = NULL, *path = path_join(search->options.out, name);
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out || !path)
        TRY(error_no_memory(err, 0, name));
    write(search, out);
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed)
        status = error_no_memory(err, size, name);
    else
        status = file_publish(path, text, size, err);
    out = NULL;
cleanup:
    if (out)
        fclose(out);
    free(text);
    free(path);
    return status;
}

enum status search_report(const struct search *search, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(publish(search, "search.csv", write_csv, err));
    TRY(publish(search, "search.html", search_page, err));
cleanup:
    return status;
}
