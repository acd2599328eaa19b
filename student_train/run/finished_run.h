/* A finished run, opened for eval and predict: its student with its weights, ready on a device. */
#ifndef STUDENT_TRAIN_RUN_FINISHED_RUN_H
#define STUDENT_TRAIN_RUN_FINISHED_RUN_H

#include "student_train/run/run_folder.h"
#include "student_train/trainer/trainer.h"

struct finished_run {
    struct run_info info;
    struct student student;
    struct loss_expression loss;
    struct compute compute;
    struct trainer_options options;
    struct trainer trainer; /* only evaluates */
};

/* weights: "best", "last" or a safetensors file. The struct must not move while open. finished_run_release
 * accepts a zeroed one. */
enum status finished_run_open(struct finished_run *run, const char *folder, const char *weights,
                              const struct compute_options *compute, int batch, struct progress *progress,
                              struct error *err);
void finished_run_release(struct finished_run *run);

/* STATUS_CONFIG if the classes or the preprocessing of the cache differ from those of the run. */
enum status finished_run_fits(const struct run_info *info, const struct cache *cache, struct error *err);

#endif
