/* `student_train fit`: what its files share. fit.c sets a run up and ends it, fit_loop.c is the loop over epochs,
 * fit_result.c what is left at the end. */
#ifndef STUDENT_TRAIN_FIT_H
#define STUDENT_TRAIN_FIT_H

#include "formats/run_log.h"
#include "student_train/checkpoint.h"
#include "student_train/evaluation.h"
#include "student_train/fit_options.h"
#include "student_train/run_folder.h"

struct fit {
    struct fit_options options;
    struct loss_expression loss;
    struct trainer_options trainer_options;
    struct trainer_student trained;
    struct cache cache;
    struct run_info info;
    struct student student; /* its graph's weights: the initial ones, later the best ones */
    struct compute compute;
    struct dataset train, validation;
    bool validates; /* there is a validation split */
    struct trainer trainer;
    struct progress progress;
    struct progress_state state;
    struct run_log *log;
    char *identity, *checkpoint; /* malloc'ed text and path */
    const char *terms[LOSS_MAX_TERMS];
    int lock;   /* descriptor, -1: none */
    bool early; /* patience or time limit ended it before the last epoch */
};

/* Trains from state.epoch on until the last epoch, patience or the time limit. STATUS_INTERRUPTED after a SIGINT, with
 * the last whole epoch kept. */
enum status fit_loop(struct fit *fit, struct error *err);

/* Evaluates the best weights, writes metrics.json and report.html, and prints the result. */
enum status fit_result(struct fit *fit, struct error *err);

#endif
