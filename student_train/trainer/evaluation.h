/* What a student does on a split: accuracy, per class, confusion, agreement with the teacher. */
#ifndef STUDENT_TRAIN_TRAINER_EVALUATION_H
#define STUDENT_TRAIN_TRAINER_EVALUATION_H

#include "student_train/trainer/trainer.h"
#include <cjson/cJSON.h>

struct evaluation {
    enum split split;
    int classes;
    uint32_t samples, labelled;
    double loss, accuracy, agreement; /* NAN: no labels, no teacher */
    double teacher_accuracy;
    int32_t *predictions;           /* [samples] */
    uint32_t *confusion;            /* [classes, classes]: row = true class, column = predicted */
    double *class_accuracy;         /* [classes], NAN without samples */
    double *teacher_class_accuracy; /* [classes], NAN without */
};

/* Evaluates the trainer's students (their moving averages where they have them): evaluations[student_count]. */
enum status evaluation_run(struct evaluation *evaluations, struct trainer *trainer, const struct dataset *dataset,
                           struct error *err);
void evaluation_release(struct evaluation *evaluation); /* a zeroed struct is legal */

/* Adds it to a JSON object; numbers that are not known are null. */
void evaluation_json(const struct evaluation *evaluation, const char *const *names, cJSON *object);
void evaluation_print(const struct evaluation *evaluation, const char *const *names, FILE *out);

#endif
