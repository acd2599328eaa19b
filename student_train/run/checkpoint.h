/* RUN/checkpoint: everything that training needs to continue after an epoch as if it had never stopped. Students that
 * are trained side by side share one file.
 *
 * The file has safetensors format (https://github.com/huggingface/safetensors) and is published atomically:
 *   float32 vectors    `parameters`, `running_statistics`, `moment_1`, `moment_2` and, with a moving average,
 *                      `average`, `average_running_statistics`, in the plan's order
 *   __metadata__       the rest, as strings (best_epoch_1, best_score_1, ... are the second student's), and the SHA-256
 *                      of header and vectors
 * Random numbers are counter-based and need no state. */
#ifndef STUDENT_TRAIN_RUN_CHECKPOINT_H
#define STUDENT_TRAIN_RUN_CHECKPOINT_H

#include "shared/base/memory.h"
#include "student_train/trainer/trainer.h"

enum { CHECKPOINT_KERNELS_SIZE = 512 };

struct progress_state {
    int epoch;       /* number of finished epochs */
    double seconds;  /* training time so far, resumed runs included */
    uint64_t images; /* images that each student has been trained on so far */
    /* What computed (device_ops.arithmetic): "AVX-512"; "AVX-512 + AVX2" if the run was resumed on another machine. */
    char kernels[CHECKPOINT_KERNELS_SIZE];
    struct best_epoch {
        int epoch;                 /* 0: none yet */
        double score;              /* of that epoch */
    } best[TRAINING_MAX_STUDENTS]; /* [trainer->student_count] */
};

/* identity: "key = value" lines that must be the same when the checkpoint is read (see fit_identity.h). */
enum status checkpoint_write(const char *path, struct trainer *trainer, const struct progress_state *state,
                             const char *identity, struct error *err);

/* The number of finished epochs: the trainer that takes up the checkpoint may depend on it (fit_form.c). */
enum status checkpoint_epoch(const char *path, int *epoch, struct error *err);

/* Restores trainer and state. STATUS_CONFIG names the first key of identity whose value differs, or says that something
 * else computed (not with `mix`); STATUS_BAD_DATA: the file is damaged. */
enum status checkpoint_read(const char *path, struct trainer *trainer, struct progress_state *state,
                            const char *identity, bool mix, struct error *err);

#endif
