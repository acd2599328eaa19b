/* The order of the samples in an epoch, and which view of each: pure functions of (seed, epoch), so an interrupted run
 * resumes as if nothing had happened. */
#ifndef STUDENT_TRAIN_TRAINER_EPOCH_ORDER_H
#define STUDENT_TRAIN_TRAINER_EPOCH_ORDER_H

#include <stdbool.h>
#include <stdint.h>

/* order[count] = the samples in the order of epoch `epoch` (counted from 0); sequential: 0, 1, 2, ... */
void epoch_order(uint32_t *order, uint32_t count, uint64_t seed, uint32_t epoch, bool sequential);

/* The view of a sample in an epoch: each of `views` views once in a cycle of `views` epochs, in a different order for
 * every sample and every cycle. Sequential: 0, 1, 2, ... */
int epoch_view(uint32_t sample, int views, uint64_t seed, uint32_t epoch, bool sequential);

#endif
