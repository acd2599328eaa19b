/* The photos on which student and teacher disagree most, ready for the report. */
#ifndef STUDENT_TRAIN_RUN_DISAGREEMENT_PHOTOS_H
#define STUDENT_TRAIN_RUN_DISAGREEMENT_PHOTOS_H

#include "student_train/trainer/student_opinions.h"

struct disagreement_photos {
    struct image images[OPINIONS_KEPT];
    struct photo_answer answers[OPINIONS_KEPT][2]; /* the student's, then the teacher's */
    struct photo_card cards[OPINIONS_KEPT];        /* [count] */
    int count;
};

/* Decodes the photos; each shard that has some of them is read once. dataset is borrowed for the names. The struct must
 * not move: its cards point into it. STATUS_BAD_DATA, STATUS_NO_INPUT; release it also after an error. */
enum status disagreement_photos_make(struct disagreement_photos *photos, const struct student_opinions *opinions,
                                     const struct dataset *dataset, struct error *err);
void disagreement_photos_release(struct disagreement_photos *photos); /* accepts a zeroed one */

#endif
