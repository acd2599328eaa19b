/* A file without a name, for more than memory should hold: the system keeps what fits of it in memory that it can take
 * back at any time. It is gone when it is closed, however the process ends. */
#ifndef SHARED_BASE_SCRATCH_FILE_H
#define SHARED_BASE_SCRATCH_FILE_H

#include "shared/base/error.h"
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct scratch_file {
    int descriptor;     /* -1: closed */
    atomic_ullong size; /* bytes */
    char *folder;       /* for messages; owned */
};

/* On the disk of `folder`, which exists. STATUS_CANT_CREATE, STATUS_IO. After an error the file is closed. */
enum status scratch_file_open(struct scratch_file *file, const char *folder, struct error *err);
void scratch_file_close(struct scratch_file *file); /* accepts a closed one */

/* Adds `size` bytes; *at is where they are. Thread-safe. STATUS_IO: for example, the disk is full. */
enum status scratch_file_append(struct scratch_file *file, const void *bytes, size_t size, uint64_t *at,
                                struct error *err);
/* Waits until the disk has what was appended: it may fail at that after the calls have returned. STATUS_IO. */
enum status scratch_file_flush(const struct scratch_file *file, struct error *err);
/* Thread-safe. STATUS_IO. */
enum status scratch_file_read(const struct scratch_file *file, uint64_t at, void *bytes, size_t size,
                              struct error *err);

#endif
