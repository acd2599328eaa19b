/* Text for a manual page: characters that roff would read as its own are escaped. */
#ifndef SHARED_BASE_ROFF_H
#define SHARED_BASE_ROFF_H

#include <stdio.h>

/* Within a line that has begun. */
void roff_text(const char *text, FILE *out);
/* A line of its own. */
void roff_line(const char *text, FILE *out);

#endif
