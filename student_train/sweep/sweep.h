/* A sweep: one run for every cell of a grid, each in a folder of its own, SWEEP/runs/NAME, which is the same as fit's;
 * and over all of them SWEEP/sweep.csv and SWEEP/sweep.html, rewritten after every group of runs. All runs see the data
 * in the same order, so they differ only by their cell. sweep.ini holds the options: a sweep resumes (--resume) only
 * with the same options.
 *
 * Parts: several processes, also on several machines with one file system, train one sweep among them, each a range
 * of neighbouring cells. Each holds the lock of the run that it trains, and that of the sweep only while it begins or
 * writes the reports, in which it takes in what the others have finished. */
#ifndef STUDENT_TRAIN_SWEEP_SWEEP_H
#define STUDENT_TRAIN_SWEEP_SWEEP_H

#include "student_train/run/fit.h"
#include "student_train/run/run_metrics.h"
#include "student_train/sweep/sweep_grid.h"

struct sweep {
    struct fit_options options; /* of all runs, parsed by the command, which releases the table */
    struct option_list grids;
    int parallel;          /* students side by side; 0: depends on the device */
    const char *part_text; /* --part I/N, or NULL */
    int part, parts;       /* 1 of 1 without it */
    int argc;              /* the command line, for the page; borrowed */
    char **argv;
    struct fit_data data; /* shared by all runs, while they run */
    struct grid grid;
    const char **folders;        /* [grid.cells] SWEEP/runs/NAME */
    struct run_metrics *metrics; /* [grid.cells]; loss NULL: not finished yet */
};

/* ---- sweep.c ---- */
/* Trains what is not finished yet, and writes the reports. */
enum status sweep_run(struct sweep *sweep, struct progress *progress, struct error *err);
void sweep_release(struct sweep *sweep); /* accepts a sweep that has not run */

/* Reads the results that are there; with --overwrite, at the start, removes them. */
enum status sweep_find_finished(struct sweep *sweep, bool start, struct error *err);
/* Writes the reports; as a part, with what the other parts have finished, too. */
enum status sweep_publish(struct sweep *sweep, struct error *err);

/* ---- sweep_groups.c ---- */
/* The options of a cell's run: the sweep's, with the cell's values in their places. Their texts belong to the grid. */
enum status sweep_cell_options(struct sweep *sweep, int cell, struct fit_options *options, struct error *err);
/* Trains all groups that are not finished. */
enum status sweep_train(struct sweep *sweep, struct progress *progress, struct error *err);

/* ---- sweep_report.c ---- */
/* Writes sweep.csv and sweep.html from the runs that are finished. */
enum status sweep_report(const struct sweep *sweep, struct error *err);
bool sweep_finished(const struct sweep *sweep, int cell);
/* What runs are compared by: accuracy, or agreement if there are no labels; with --select-on half on the half that the
 * results are not of. */
double sweep_score(const struct run_metrics *metrics);
/* Finished cells, the best first. malloc'ed; NULL when out of memory. */
int *sweep_ranked(const struct sweep *sweep, int *count);

/* ---- sweep_page.c ---- */
void sweep_page(const struct sweep *sweep, FILE *out);

/* ---- sweep_charts.c ---- */
/* True if the runs are compared by accuracy, false if by agreement. */
bool sweep_labelled(const struct sweep *sweep);
/* A heat map of two keys of the grid, the mean over all others. */
void sweep_heat_map(const struct sweep *sweep, int row_key, int column_key, FILE *out);
/* The validation curves of all runs over the epochs. */
void sweep_curves(const struct sweep *sweep, FILE *out);
/* How the accuracy of each class changes from the best run without a teacher to the best run of all. */
void sweep_class_changes(const struct sweep *sweep, FILE *out);

#endif
