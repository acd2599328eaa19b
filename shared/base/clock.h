/* Monotonic time for rates and durations. */
#ifndef SHARED_BASE_CLOCK_H
#define SHARED_BASE_CLOCK_H

/* Seconds since an arbitrary start; never decreases. */
double clock_seconds(void);

#endif
