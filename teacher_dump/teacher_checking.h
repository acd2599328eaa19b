/* The state of a check, for teacher_check*.c only. */
#ifndef TEACHER_DUMP_TEACHER_CHECKING_H
#define TEACHER_DUMP_TEACHER_CHECKING_H

#include "teacher_dump/teacher_check.h"

struct checking {
    const struct dump_job *job;
    struct view_batch *views;
    struct teacher_check *check;
    struct photo_sample sample;
    int classes;
    float *logits;                    /* [count, classes] */
    int *labels, *predicted, *rounds; /* [count] of the sample */
    int *which, *again;               /* [count] photos that are run again; what is predicted for them */
    int *order;                       /* [classes] class of each output; as they are unless another order was found */
    bool ordered;                     /* another order was found */
    bool assumed;                     /* the natural order is only tried, together with other inputs */
    size_t used;                      /* of the message */
};

static inline bool checking_is_right(const struct checking *c, int i, int predicted)
{
    return c->order[predicted] == c->labels[i];
}

/* How many photos of the sample are right. */
int checking_right(const struct checking *c);
/* predicted[count] of logits[count, classes]: the largest, of equal ones the first. */
void checking_predict(const struct checking *c, const float *logits, int count, int *predicted);
/* Adds a finding to the message. */
void checking_find(struct checking *c, enum check_finding finding, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Another order of the classes, another normalisation, or both. teacher_check_search.c */
enum status checking_look_for_mistakes(struct checking *c, struct error *err);

#endif
