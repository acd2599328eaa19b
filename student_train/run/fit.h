/* Training runs, for `student_train fit` and `sweep`.
 *
 * struct fit_data has what all runs of a command share; struct fit_run is one student with its folder; struct fit
 * trains one or several runs side by side. fit_run.c sets a run up, fit.c trains runs, fit_loop.c is the loop over
 * epochs, fit_form.c changes what is trained between two epochs, fit_result.c writes the results. */
#ifndef STUDENT_TRAIN_RUN_FIT_H
#define STUDENT_TRAIN_RUN_FIT_H

#include "formats/report/run_log.h"
#include "student_train/run/checkpoint.h"
#include "student_train/trainer/evaluation.h"
#include "student_train/run/fit_options.h"
#include "student_train/run/run_folder.h"

/* A cache opened on a device; its images are loaded when the first run needs them. */
struct fit_data {
    struct cache cache;
    char cache_digest[DIGEST_HEX_SIZE]; /* of cache.json */
    struct compute compute;
    struct dataset train, validation;
    bool validates; /* there is a validation split */
};

struct fit_run {
    struct fit_options options;
    struct loss_expression loss;
    struct run_info info;
    struct student student; /* its graph's weights: first the initial ones, later the best ones */
    struct run_log *log;
    char *identity; /* malloc'ed, see fit_identity */
    const char *terms[LOSS_MAX_TERMS];
    double *baseline;             /* [classes] of --baseline, in info's arena; NULL: none */
    const char *baseline_title;   /* of its chart */
    int lock;                     /* file descriptor; -1: none */
    bool early;                   /* patience or the time limit ended the run before its last epoch */
    bool fresh;                   /* the graph has the best weights, and they are not on disk yet */
    struct evaluation evaluation; /* of the best weights, by fit_result */
};

struct fit {
    struct fit_data *data; /* borrowed */
    struct fit_run *runs;  /* [count], borrowed */
    int count;
    const char *checkpoint;         /* path, borrowed */
    const char *identity;           /* of all runs together, while they train */
    struct trainer_options options; /* the first run's */
    struct trainer trainer;         /* while they train */
    int size;                       /* of the images that it takes */
    bool quantised;                 /* it trains with fake quantisation, and the runs' graphs are training graphs */
    struct graph graph;             /* of the student at that size, if it is not the last one */
    struct progress *progress;      /* borrowed */
    struct progress_state state;
    double saved;    /* clock_seconds of the last checkpoint */
    int pause_after; /* epochs after which training stops for now, saved and without results; 0: it does not */
    bool paused;     /* it has */
    bool diverged;   /* the error of fit_train is a loss that is not finite */
};

/* ---- fit_data.c ---- */
enum status fit_data_open(struct fit_data *data, const struct fit_options *options, struct error *err);
/* Loads the splits at the run's size; STATUS_CONFIG if the training split has nothing for the loss. */
enum status fit_data_load(struct fit_data *data, const struct fit_run *run, struct progress *progress,
                          struct error *err);
void fit_data_release(struct fit_data *data); /* accepts a zeroed struct */

/* ---- fit_run.c ---- */
/* run->options are parsed. Prepares loss, student, initial weights and identity, with the cheapest checks first; makes
 * no folder. */
enum status fit_run_open(struct fit_run *run, const struct fit_data *data, struct error *err);
/* Makes and locks the folder; refuses one that holds anything but a run. */
enum status fit_run_lock(struct fit_run *run, struct error *err);
/* The same, and decides by the options what becomes of a run that is there. *resumes: it is to be resumed. */
enum status fit_run_folder(struct fit_run *run, bool *resumes, struct error *err);
/* Writes what a new run leaves before it trains. */
enum status fit_run_describe(const struct fit_run *run, struct error *err);
void fit_run_release(struct fit_run *run);
/* The number of epochs that the run has logged when `state` has epochs done: fewer than those if its patience ended it
 * before the runs beside it. */
int fit_run_epochs(const struct fit_run *run, const struct progress_state *state, int student);
/* Not before fake quantisation has begun, if it will. */
bool fit_run_out_of_patience(const struct fit_run *run, const struct progress_state *state, int student);

/* ---- fit.c ---- */
/* Trains the runs side by side to their ends and writes their results, or until they pause. resumes: starts from the
 * checkpoint. */
enum status fit_train(struct fit *fit, bool resumes, struct error *err);
/* Gives fit->trainer the students with the weights of their graphs. graph: of the same structure, which tells the size
 * of the images; manifest NULL: only to evaluate. */
enum status fit_trainer_init(struct fit *fit, const struct graph *graph, const struct trainer_options *options,
                             const struct cache_manifest *manifest, struct error *err);

/* ---- fit_form.c ---- */
/* STATUS_CONFIG if the student cannot be trained on images of the size of the first epochs, or for integers. */
enum status fit_check_forms(const struct fit_run *run, struct error *err);
/* Gives the runs training graphs (shared/quantise/training_graph.h), from which trainers are made. */
enum status fit_quantise(struct fit *fit, struct error *err);
/* Makes fit->trainer one for an epoch, with everything that it has learned: for images of its size, or `evaluates`: of
 * the size that is evaluated; and with fake quantisation, if it is time. */
enum status fit_set_form(struct fit *fit, int epoch, bool evaluates, struct error *err);

/* ---- fit_loop.c ---- */
/* Trains from state.epoch on until the last epoch, until every run is out of patience, or until the time limit.
 * STATUS_INTERRUPTED after a SIGINT; the last whole epoch is saved. */
enum status fit_loop(struct fit *fit, struct error *err);

#endif
