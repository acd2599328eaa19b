/* How well a student does on a split: accuracy (in total and per class), confusion, agreement with the teacher. */
#ifndef STUDENT_TRAIN_TRAINER_EVALUATION_H
#define STUDENT_TRAIN_TRAINER_EVALUATION_H

#include "student_train/trainer/student_opinions.h"
#include "student_train/trainer/trainer.h"

/* Which samples of a split count: all; those at even positions (0, 2, ...); those at odd ones. A split in the order of
 * its classes is cut into halves with the same classes by that. */
enum evaluation_part { PART_ALL, PART_EVEN, PART_ODD };

struct evaluation {
    enum split split;
    enum evaluation_part part;
    int classes;
    uint32_t samples, labelled;
    double loss, accuracy, agreement; /* NAN without labels or without a teacher; loss: only of PART_ALL */
    double teacher_accuracy;
    int32_t *predictions;             /* [dataset->count], whatever the part */
    uint32_t *confusion;              /* [classes, classes]: row = true class, column = predicted */
    double *class_accuracy;           /* [classes]; NAN for a class without samples */
    double *teacher_class_accuracy;   /* [classes]; NAN for a class without samples */
    struct student_opinions opinions; /* of the samples of the part */
    bool mirrored;                    /* evaluation_mirror has filled in the next three */
    double mirrored_accuracy, mirrored_agreement;
    size_t mirrored_changed; /* samples that get another class */
};

/* Evaluates the trainer's students, or their moving averages if they have them: evaluations[student_count]. */
enum status evaluation_run(struct evaluation *evaluations, struct trainer *trainer, const struct dataset *dataset,
                           enum evaluation_part part, struct error *err);
/* Accuracy and agreement of predictions[dataset->count] on a part; NAN without labels or without a teacher. */
enum status evaluation_score(const struct dataset *dataset, int classes, const int32_t *predictions,
                             enum evaluation_part part, double *accuracy, double *agreement, struct error *err);
/* rows[dataset->count, classes] = the first student's probabilities of the evaluation images; mirrored: the mean of
 * those of the image and of its mirror image, and *changed is how many samples get another class by that. */
enum status evaluation_probabilities(struct trainer *trainer, struct dataset *dataset, bool mirrored, float *rows,
                                     size_t *changed, struct error *err);
/* Adds to an evaluation of the first student how well it does with the mean of image and mirror image. */
enum status evaluation_mirror(struct evaluation *evaluation, struct trainer *trainer, struct dataset *dataset,
                              struct error *err);
void evaluation_release(struct evaluation *evaluation); /* accepts a zeroed struct */

#endif
