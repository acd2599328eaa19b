/* What the files of libsoftcache_views.so share. */
#ifndef FORMATS_CACHE_CACHE_LIBRARY_CALL_H
#define FORMATS_CACHE_CACHE_LIBRARY_CALL_H

#include "formats/cache/cache_library.h"
#include "shared/base/error.h"
#include <stdio.h>

/* Writes the error to message[CALL_MESSAGE], and returns the status. */
static inline int library_tell(enum status status, const struct error *err, char *message)
{
    if (status != STATUS_OK)
        snprintf(message, CALL_MESSAGE, "%s%s%s", err->path, err->path[0] ? ": " : "", err->message);
    return (int)status;
}

#endif
