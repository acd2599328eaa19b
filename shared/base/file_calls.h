/* System calls on files that are kept open: made again after a signal, and errors with their right cause. Whoever reads
 * or writes a file at once uses files.h or folder.h. */
#ifndef SHARED_BASE_FILE_CALLS_H
#define SHARED_BASE_FILE_CALLS_H

#include "shared/base/error.h"
#include "shared/base/files.h"
#include <errno.h>

/* Whether a call that failed was interrupted by a signal, and is to be made again: not for ever, that would hang us. */
bool file_call_again(int *tries);

/* The value of a call that returns a negative number on failure, made again while a signal interrupts it. Not for
 * close(), which must never be made again: on Linux the descriptor is gone. */
#define RETRY(call)                                      \
    __extension__({                                      \
        __typeof__(call) result_;                        \
        int tries_ = 0;                                  \
        do                                               \
            result_ = (call);                            \
        while (result_ < 0 && file_call_again(&tries_)); \
        result_;                                         \
    })

/* errno as an error, "WHAT: No such file or directory". `code` is the status of the usual causes; a failing disk is
 * STATUS_IO and a lack of memory STATUS_INTERNAL whatever the call was, and STATUS_NO_INPUT is left only where the path
 * leads nowhere or may not be opened. */
enum status file_call_failed(struct error *err, enum status code, const char *path, const char *what);

/* openat with O_CLOEXEC. */
int file_call_open(int folder, const char *name, int flags, unsigned mode);
/* fstatat; absent is a kind. STATUS_NO_INPUT: it may not be looked at; STATUS_IO: the disk fails. */
enum status file_call_look(int folder, const char *name, int flags, enum file_kind *kind, const char *path,
                           struct error *err);
/* file_read for a name in a folder; flags are added to those of open. */
enum status file_call_read(int folder, const char *name, int flags, size_t limit, unsigned char **bytes, size_t *size,
                           const char *path, struct error *err);
/* Writes all bytes at the beginning of a file; false with errno. */
bool file_call_write(int file, const void *bytes, size_t size);
/* Locks an open file, and takes the descriptor: it is closed on failure. */
enum status file_call_lock(int file, const char *path, int *descriptor, struct error *err);

#endif
