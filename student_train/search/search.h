/* A search for a net: many candidates (search_space.h) begin to train on the cached views, and after each round only
 * the best of them go on, from their checkpoints (successive halving: Karnin, Koren, Somekh 2013; Jamieson, Talwalkar
 * 2016). Round r of R + 1 has candidates / eta^r nets, but at least the finalists, and ends after epochs / eta^(R-r)
 * epochs; the last one trains them to their end. All of them follow the schedule of a whole run from the start, so a
 * finalist's run is the one that fit makes of its net.
 *
 * SEARCH/nets/0007.net is a candidate, SEARCH/runs/0007 its run; SEARCH/search.csv and SEARCH/search.html are rewritten
 * after every run, SEARCH/best.net at the end. search.ini holds the options: a search resumes (--resume) only with the
 * same ones. Nothing else is remembered: candidates follow from the seed, and scores are read from the runs. */
#ifndef STUDENT_TRAIN_SEARCH_SEARCH_H
#define STUDENT_TRAIN_SEARCH_SEARCH_H

#include "student_train/run/fit.h"
#include "student_train/run/run_metrics.h"
#include "student_train/search/search_space.h"

enum { SEARCH_MAX_ROUNDS = 16, SEARCH_MAX_CANDIDATES = 9999 };

struct search_run {
    struct candidate net;
    char *folder, *file; /* SEARCH/runs/0007, SEARCH/nets/0007.net */
    int epochs;          /* after which its score was taken; 0: not trained yet */
    double score; /* best accuracy (without labels: agreement) of these epochs on the choosing half; NAN: diverged */
    struct run_metrics metrics; /* loss NULL: not trained to the end */
};

struct search {
    struct fit_options options; /* of all runs, parsed by the command, which releases the table */
    int candidates, eta, finalists;
    double max_macs;
    int argc; /* the command line, for the page; borrowed */
    char **argv;
    struct arena arena;
    struct fit_data data;
    struct search_run *runs; /* [candidates] */
    int rounds;
    struct search_round {
        int count, epochs;
    } round[SEARCH_MAX_ROUNDS];
};

/* ---- search.c ---- */
enum status search_run(struct search *search, struct progress *progress, struct error *err);
void search_release(struct search *search); /* accepts a search that has not run */

/* ---- search_report.c ---- */
/* The trained candidates, those with more epochs first, then those with the better score. malloc'ed [*count]; NULL when
 * out of memory. */
int *search_ranked(const struct search *search, int *count);
/* True if no other net that was trained to the end is at least as good with fewer multiply-accumulates. */
bool search_on_front(const struct search *search, int run);
/* Writes search.csv and search.html. */
enum status search_report(const struct search *search, struct error *err);

/* ---- search_page.c ---- */
void search_page(const struct search *search, FILE *out);

#endif
