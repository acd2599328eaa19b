#define _POSIX_C_SOURCE 200809L
#include "shared/base/out_of_memory.h"

#include "shared/base/error.h"
#include <string.h>
#include <unistd.h>

static const char *last_words;

void out_of_memory_install(const char *text)
{
    last_words = text;
}

bool out_of_memory_installed(void)
{
    return last_words != NULL;
}

void out_of_memory(void)
{
    if (!last_words)
        return;
    if (write(STDERR_FILENO, last_words, strlen(last_words)) < 0)
        _exit(STATUS_INTERNAL); /* nobody listens */
    _exit(STATUS_INTERNAL);
}
