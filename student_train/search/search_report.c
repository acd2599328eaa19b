/* The ranking of a search's nets, and search.csv; search_page.c has search.html. */
#define _GNU_SOURCE
#include "student_train/search/search.h"

#include "student_train/run/overview_file.h"
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

static void write_csv(const void *source, FILE *out)
{
    const struct search *search = source;
    int count, *ranked = search_ranked(search, &count);
    fputs(
        "net,parameters,multiplies,int8_activation_bytes,epochs,selection,accuracy,agreement,best_epoch,front,design\n",
        out);
    for (int i = 0; ranked && i < count; i++) {
        const struct search_run *run = &search->runs[ranked[i]];
        const bool finished = run->metrics.loss != NULL;
        fprintf(out, "%d,%zu,%.0f,%zu,%d", ranked[i] + 1, run->net.parameters, run->net.multiplies,
                run->net.activation_bytes, run->epochs);
        overview_csv_number(out, run->score);
        overview_csv_number(out, finished ? run->metrics.accuracy : NAN);
        overview_csv_number(out, finished ? run->metrics.agreement : NAN);
        overview_csv_number(out, finished ? run->metrics.best_epoch : NAN);
        fprintf(out, ",%s,\"%s\"\n", search_on_front(search, ranked[i]) ? "yes" : "", run->net.label);
    }
    free(ranked);
}

static void write_page(const void *search, FILE *out)
{
    search_page(search, out);
}

enum status search_report(const struct search *search, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(overview_publish(search->options.out, "search.csv", write_csv, search, err));
    TRY(overview_publish(search->options.out, "search.html", write_page, search, err));
cleanup:
    return status;
}
