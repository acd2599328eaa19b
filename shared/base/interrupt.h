/* SIGINT or SIGTERM tells a long run to save its state and stop; a second signal of the same kind ends it at once. */
#ifndef SHARED_BASE_INTERRUPT_H
#define SHARED_BASE_INTERRUPT_H

#include <stdbool.h>

/* Call once, in main. Without it the signals keep their default action. */
void interrupt_install(void);
/* From now on, work that does not stop within half a second of the signal ends with the program, with
 * STATUS_INTERRUPTED and the text (deadline.h). Call it before interrupt_install, and after deadline_install. */
void interrupt_limit(const char *text);
/* True after the first signal. Any thread may call it; it is cheap. The work then saves its state and returns
 * STATUS_INTERRUPTED. */
bool interrupt_requested(void);

#endif
