/* `student_train sweep`: one run for every cell of a grid, each in a folder of its own, SWEEP/runs/NAME, as fit leaves
 * it; and over all of them SWEEP/sweep.csv and SWEEP/sweep.html, rewritten after every group of runs. All runs see the
 * data in the same order, so that they differ in nothing but their cell. sweep.ini holds the options: a sweep goes on
 * (--resume) only with the same. */
#ifndef STUDENT_TRAIN_SWEEP_SWEEP_H
#define STUDENT_TRAIN_SWEEP_SWEEP_H

#include "student_train/run/fit.h"
#include "student_train/run/run_metrics.h"
#include "student_train/sweep/sweep_grid.h"

struct sweep {
    struct fit_options options; /* of all runs */
    struct option_list grids;
    int parallel; /* students side by side; 0: by device */
    int argc;     /* the command line, for the page; borrowed */
    char **argv;
    struct fit_data data; /* of all runs, while they run */
    struct grid grid;
    const char **folders;        /* [grid.cells] SWEEP/runs/NAME */
    struct run_metrics *metrics; /* [grid.cells]; loss NULL: not finished yet */
};

/* ---- sweep_report.c ---- */
/* Writes sweep.csv and sweep.html from the runs that are finished. */
enum status sweep_report(const struct sweep *sweep, struct error *err);
/* The best runs on stdout, or all as JSON. */
enum status sweep_print(const struct sweep *sweep, struct error *err);
bool sweep_finished(const struct sweep *sweep, int cell);
/* What runs are compared by: accuracy, without labels agreement. */
double sweep_score(const struct run_metrics *metrics);
/* Finished cells, the best first. malloc'ed; NULL out of memory. */
int *sweep_ranked(const struct sweep *sweep, int *count);

/* ---- sweep_page.c ---- */
void sweep_page(const struct sweep *sweep, FILE *out);

#endif
