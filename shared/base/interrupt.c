#define _POSIX_C_SOURCE 200809L
#include "shared/base/interrupt.h"

#include "shared/base/deadline.h"
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

/* A signal handler can do little more than set a flag: this one is set once and never cleared; threads read it. */
static atomic_bool requested;
static const char *last_words;

/* Most work stops within some milliseconds. One call of a library (a batch of a slow teacher) may take minutes. */
enum { PATIENCE_MS = 500 };

static void note_signal(int number)
{
    (void)number;
    requested = true;
    if (last_words)
        deadline_set(PATIENCE_MS, STATUS_INTERRUPTED, last_words);
}

void interrupt_limit(const char *text)
{
    last_words = text;
}

void interrupt_install(void)
{
    /* SA_RESETHAND: the second signal has its default action. */
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool interrupt_requested(void)
{
    return requested;
}
