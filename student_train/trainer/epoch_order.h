/* Which samples come when in an epoch, and which view of each: a pure function of (seed, epoch), so that an interrupted
 * run goes on as if nothing had happened. */
#ifndef STUDENT_TRAIN_TRAINER_EPOCH_ORDER_H
#define STUDENT_TRAIN_TRAINER_EPOCH_ORDER_H

#include <stdbool.h>
#include <stdint.h>

/* order[count] = the samples in the order of epoch `epoch` (from 0); sequential: 0, 1, 2, ... */
void epoch_order(uint32_t *order, uint32_t count, uint64_t seed, uint32_t epoch, bool sequential);

/* The view of a sample in an epoch: every one of `views` views once in `views` epochs, in another order for every
 * sample and every such cycle. Sequential: 0, 1, 2, ... */
int epoch_view(uint32_t sample, int views, uint64_t seed, uint32_t epoch, bool sequential);

#endif
