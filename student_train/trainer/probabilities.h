/* From logits to probabilities and classes, on the host. */
#ifndef STUDENT_TRAIN_TRAINER_PROBABILITIES_H
#define STUDENT_TRAIN_TRAINER_PROBABILITIES_H

#include <stddef.h>

/* rows[count, classes]: each row of logits becomes its softmax. */
void probabilities_softmax(float *rows, size_t count, size_t classes);
/* rows = the mean of rows and others, both probabilities [count, classes]: what a network says about two pictures of
 * the same thing (Krizhevsky et al. 2012, section 4.1). Returns how many rows have another class than before. */
size_t probabilities_average(float *rows, const float *others, size_t count, size_t classes);
/* The index of the largest of row[classes], the first one where several are equal. */
size_t probabilities_class(const float *row, size_t classes);

#endif
