#define _POSIX_C_SOURCE 200809L
#include "shared/base/interrupt.h"

#include <signal.h>
#include <stddef.h>

/* A signal handler can do little more than set a flag: this one is set once and never cleared. */
static volatile sig_atomic_t requested;

static void note_signal(int number)
{
    (void)number;
    requested = 1;
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
    return requested != 0;
}
