/* What a student says about a split beside its teacher: calibration, and the samples on which both disagree most. */
#ifndef STUDENT_TRAIN_TRAINER_STUDENT_OPINIONS_H
#define STUDENT_TRAIN_TRAINER_STUDENT_OPINIONS_H

#include "formats/report/html_page.h"
#include "formats/report/reliability.h"
#include "student_train/trainer/dataset.h"

enum { OPINIONS_KEPT = 12 };

/* A sample that gets another class from the student than from the teacher. */
struct disagreement {
    uint32_t sample;
    double divergence; /* KL(teacher, student) of their probabilities, in nats */
    struct photo_answer student, teacher;
};

struct student_opinions {
    struct reliability student, teacher;     /* of labelled samples */
    struct disagreement most[OPINIONS_KEPT]; /* [count] the largest divergence first */
    int count;
};

/* Adds one sample of a data set for evaluation. logits[classes]: the student's; scratch[3 * classes]. */
void student_opinions_add(struct student_opinions *opinions, const struct dataset *dataset, uint32_t sample,
                          const float *logits, int classes, double *scratch);

#endif
