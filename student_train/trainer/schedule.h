/* Learning-rate schedules, like PyTorch's schedulers that step once per epoch; by_step: with every optimiser step, as
 * scheduler.step(epoch + step / steps), which makes cosine and restarts smooth:
 *   constant
 *   step       StepLR(step_size=step_epochs, gamma)
 *   cosine     CosineAnnealingLR(T_max=epochs - warmup_epochs, eta_min=minimum)
 *   restarts   CosineAnnealingWarmRestarts(T_0=restart_epochs, T_mult=restart_factor, eta_min=minimum)
 * Before them the rate rises linearly from 0 during warmup_epochs epochs, with every optimiser step. */
#ifndef STUDENT_TRAIN_TRAINER_SCHEDULE_H
#define STUDENT_TRAIN_TRAINER_SCHEDULE_H

#include <stdint.h>

enum schedule_kind { SCHEDULE_CONSTANT, SCHEDULE_STEP, SCHEDULE_COSINE, SCHEDULE_RESTARTS };
extern const char *const schedule_names[]; /* ends with NULL */

struct schedule {
    int kind; /* enum schedule_kind */
    double rate, minimum;
    int epochs, warmup_epochs;
    int step_epochs;
    double gamma;
    int restart_epochs, restart_factor;
    int by_step; /* SCHEDULE_BY_* */
};
enum { SCHEDULE_BY_EPOCH, SCHEDULE_BY_STEP };

/* The rate of step `step` of epoch `epoch` (both counted from 0), with `steps` steps per epoch. */
double schedule_rate(const struct schedule *schedule, int epoch, uint32_t step, uint32_t steps);

#endif
