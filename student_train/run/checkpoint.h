/* RUN/checkpoint (of students side by side one file for all): everything that training needs to go on after an epoch as
 * if it had never stopped. One file in safetensors form (https://github.com/huggingface/safetensors), published
 * atomically: float32 vectors `parameters`, `running_statistics`, `moment_1`, `moment_2` and, with a moving average,
 * `average`, `average_running_statistics`, in the plan's order; the rest as strings in __metadata__ (of a second
 * student best_epoch_1, best_score_1, ...), with the SHA-256 of header and vectors. Random numbers are counter-based
 * and need no state. */
#ifndef STUDENT_TRAIN_RUN_CHECKPOINT_H
#define STUDENT_TRAIN_RUN_CHECKPOINT_H

#include "shared/base/memory.h"
#include "student_train/trainer/trainer.h"

struct progress_state {
    int epoch;       /* epochs done */
    double seconds;  /* training time so far, of all starts */
    uint64_t images; /* trained on so far, by each student */
    struct best_epoch {
        int epoch;                 /* 0: none yet */
        double score;              /* of the best epoch */
    } best[TRAINING_MAX_STUDENTS]; /* [trainer->student_count] */
};

/* identity: text that must be equal when training goes on, "key = value" lines (see checkpoint_read). */
enum status checkpoint_write(const char *path, struct trainer *trainer, const struct progress_state *state,
                             const char *identity, struct error *err);

/* Restores trainer and state. STATUS_CONFIG names the first key of identity whose value differs; STATUS_BAD_DATA for a
 * damaged file. */
enum status checkpoint_read(const char *path, struct trainer *trainer, struct progress_state *state,
                            const char *identity, struct error *err);

#endif
