/* Ends the program when a time is over, whatever it is doing: also in the middle of a call of a library that nothing
 * can stop. What is on the disk is whole or absent at any moment, so nothing is lost by it but the step in progress. */
#ifndef SHARED_BASE_DEADLINE_H
#define SHARED_BASE_DEADLINE_H

#include "shared/base/error.h"

/* Call once, in main, before the others; without it they do nothing. */
void deadline_install(void);
/* The program ends in so many milliseconds with the code, and with the text (a whole line; it must live until then) on
 * stderr. Several may be set, each with a text of its own: the earliest counts. The same text again is a new time for
 * it. Any thread and a signal handler may call both functions. */
void deadline_set(int milliseconds, enum status code, const char *text);
/* Takes back the deadline with this text (its address counts). */
void deadline_clear(const char *text);

#endif
