/* Errors of library code: it returns a status and fills a struct error. It never prints and never exits. */
#ifndef SHARED_BASE_ERROR_H
#define SHARED_BASE_ERROR_H

#include <stddef.h>

/* Status codes are the exit codes of the programs (sysexits.h), so that main() returns what a function returned. */
enum status {
    STATUS_OK = 0,
    STATUS_USAGE = 64,        /* the command line is wrong */
    STATUS_BAD_DATA = 65,     /* an input file's content is wrong */
    STATUS_NO_INPUT = 66,     /* an input file or folder is missing or unreadable */
    STATUS_INTERNAL = 70,     /* out of memory, or a library failed: not the user's fault */
    STATUS_CANT_CREATE = 73,  /* an output cannot be created */
    STATUS_IO = 74,           /* reading or writing failed halfway (full disk) */
    STATUS_LOCKED = 75,       /* another process is working on the same output */
    STATUS_CONFIG = 78,       /* parts that do not fit together: teacher, recipe, seed, cache, student */
    STATUS_INTERRUPTED = 130, /* SIGINT came, and the state was saved */
};

struct error {
    enum status code;
    char path[512];     /* the file or folder that it is about, or "" */
    char message[1024]; /* lower case; names the place in the file and says what to do */
};

/* Fills err (which may be NULL) and returns code, so that callers write `return error_set(...)`.
 * path may be NULL. The first error wins: a later error_set on a filled err keeps the first. */
enum status error_set(struct error *err, enum status code, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Passes on an error that was kept apart; returns its code. */
enum status error_pass(struct error *err, const struct error *other);

/* STATUS_INTERNAL with "out of memory: N bytes for WHAT". */
enum status error_no_memory(struct error *err, size_t bytes, const char *what);

/* In a function with `enum status status = STATUS_OK;` and a label `cleanup:`. */
#define TRY(expression)          \
    do {                         \
        status = (expression);   \
        if (status != STATUS_OK) \
            goto cleanup;        \
    } while (0)
/* The same for what always returns an error. */
#define FAIL(error)       \
    do {                  \
        status = (error); \
        goto cleanup;     \
    } while (0)

#endif
