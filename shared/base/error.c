#include "shared/base/error.h"

#include <stdarg.h>
#include <stdio.h>

enum status error_set(struct error *err, enum status code, const char *path, const char *format, ...)
{
    if (err && err->code == STATUS_OK) {
        va_list args;
        err->code = code;
        snprintf(err->path, sizeof err->path, "%s", path ? path : "");
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return code;
}

enum status error_pass(struct error *err, const struct error *other)
{
    return error_set(err, other->code, other->path, "%s", other->message);
}

enum status error_no_memory(struct error *err, size_t bytes, const char *what)
{
    return error_set(err, STATUS_INTERNAL, NULL, "out of memory: %zu bytes for %s", bytes, what);
}
