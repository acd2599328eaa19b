/* SIGINT and SIGTERM ask a long run to save its state and stop; a second one of the same kind ends it at once. */
#ifndef SHARED_BASE_INTERRUPT_H
#define SHARED_BASE_INTERRUPT_H

#include <stdbool.h>

/* Call once, in main. Without it the signals keep their default action. */
void interrupt_install(void);
/* True after the first signal. Any thread; cheap. The work then returns STATUS_INTERRUPTED with its state saved. */
bool interrupt_requested(void);

#endif
