#define _GNU_SOURCE
#include "shared/base/scratch_file.h"

#include "shared/base/file_calls.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where the file system has no files without a name (NFS): one whose name is removed at once. It looks like one of
 * folder_publish, so that whoever owns the folder removes what a killed process left. */
static int open_unlinked(int folder)
{
    char name[64];
    snprintf(name, sizeof name, "scratch.%ld.tmp", (long)getpid());
    const int file = file_call_open(folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (file >= 0)
        RETRY(unlinkat(folder, name, 0));
    return file;
}

enum status scratch_file_open(struct scratch_file *file, const char *folder, struct error *err)
{
    enum status status = STATUS_OK;
    const int place = file_call_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0);
    file->descriptor = -1;
    file->folder = NULL;
    atomic_init(&file->size, 0);
    if (place < 0)
        return file_call_failed(err, STATUS_CANT_CREATE, folder, "cannot be opened");
    file->descriptor = file_call_open(place, ".", O_RDWR | O_TMPFILE, 0600);
    if (file->descriptor < 0)
        file->descriptor = open_unlinked(place);
    if (file->descriptor < 0)
        status = file_call_failed(err, STATUS_CANT_CREATE, folder, "no file can be made there");
    close(place);
    if (status == STATUS_OK && !(file->folder = strdup(folder)))
        status = error_no_memory(err, strlen(folder), "a path");
    if (status != STATUS_OK)
        scratch_file_close(file);
    return status;
}

void scratch_file_close(struct scratch_file *file)
{
    if (file->descriptor >= 0)
        close(file->descriptor);
    file->descriptor = -1;
    free(file->folder);
    file->folder = NULL;
}

enum status scratch_file_append(struct scratch_file *file, const void *bytes, size_t size, uint64_t *at,
                                struct error *err)
{
    const char *from = bytes;
    *at = atomic_fetch_add(&file->size, size);
    for (size_t done = 0; done < size;) {
        const ssize_t part = RETRY(pwrite(file->descriptor, from + done, size - done, (off_t)(*at + done)));
        if (part < 0)
            return file_call_failed(err, STATUS_IO, file->folder, "a file there cannot be written");
        done += (size_t)part;
    }
    return STATUS_OK;
}

enum status scratch_file_flush(const struct scratch_file *file, struct error *err)
{
    if (RETRY(fdatasync(file->descriptor)) != 0)
        return file_call_failed(err, STATUS_IO, file->folder, "a file there cannot be written");
    return STATUS_OK;
}

enum status scratch_file_read(const struct scratch_file *file, uint64_t at, void *bytes, size_t size, struct error *err)
{
    char *to = bytes;
    for (size_t done = 0; done < size;) {
        const ssize_t part = RETRY(pread(file->descriptor, to + done, size - done, (off_t)(at + done)));
        if (part < 0)
            return file_call_failed(err, STATUS_IO, file->folder, "a file there cannot be read");
        if (part == 0)
            return error_set(err, STATUS_IO, file->folder, "a file there ends after %llu bytes, but %llu were written",
                             (unsigned long long)(at + done), atomic_load(&file->size));
        done += (size_t)part;
    }
    return STATUS_OK;
}
