#include "student_train/trainer/schedule.h"

#include <math.h>
#include <stddef.h>

static const double PI = 3.14159265358979323846;

const char *const schedule_names[] = {"constant", "step", "cosine", "restarts", NULL};

/* Half a cosine wave from rate down to minimum, at share 0..1. */
static double cosine(const struct schedule *schedule, double share)
{
    return schedule->minimum + (schedule->rate - schedule->minimum) * (1 + cos(PI * share)) / 2;
}

double schedule_rate(const struct schedule *schedule, int epoch, uint32_t step, uint32_t steps)
{
    if (epoch < schedule->warmup_epochs) {
        double done = (double)epoch * steps + step + 1, all = (double)schedule->warmup_epochs * steps;
        return schedule->rate * done / all;
    }
    epoch -= schedule->warmup_epochs;
    const double now = epoch + (schedule->by_step ? (double)step / steps : 0);
    switch ((enum schedule_kind)schedule->kind) {
    case SCHEDULE_STEP:
        return schedule->rate * pow(schedule->gamma, epoch / schedule->step_epochs);
    case SCHEDULE_COSINE:
        return cosine(schedule, now / (schedule->epochs - schedule->warmup_epochs));
    case SCHEDULE_RESTARTS: {
        double length = schedule->restart_epochs, since = now;
        while (since >= length) {
            since -= length;
            length *= schedule->restart_factor;
        }
        return cosine(schedule, since / length);
    }
    case SCHEDULE_CONSTANT:
        break;
    }
    return schedule->rate;
}
