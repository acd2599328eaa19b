/* How well a student does on a split: accuracy (in total and per class), confusion, agreement with the teacher. */
#ifndef STUDENT_TRAIN_TRAINER_EVALUATION_H
#define STUDENT_TRAIN_TRAINER_EVALUATION_H

#include "student_train/trainer/trainer.h"

struct evaluation {
    enum split split;
    int classes;
    uint32_t samples, labelled;
    double loss, accuracy, agreement; /* NAN without labels or without a teacher */
    double teacher_accuracy;
    int32_t *predictions;           /* [samples] */
    uint32_t *confusion;            /* [classes, classes]: row = true class, column = predicted */
    double *class_accuracy;         /* [classes]; NAN for a class without samples */
    double *teacher_class_accuracy; /* [classes]; NAN for a class without samples */
};

/* Evaluates the trainer's students, or their moving averages if they have them: evaluations[student_count]. */
enum status evaluation_run(struct evaluation *evaluations, struct trainer *trainer, const struct dataset *dataset,
                           struct error *err);
void evaluation_release(struct evaluation *evaluation); /* accepts a zeroed struct */

#endif
