#define _GNU_SOURCE
#include "shared/base/file_calls.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_call_again(int *tries)
{
    enum { MOST = 1000 };
    return errno == EINTR && ++*tries < MOST;
}

enum status file_call_failed(struct error *err, enum status code, const char *path, const char *what)
{
    const int cause = errno;
    const bool unreachable = cause == ENOENT || cause == ENOTDIR || cause == EACCES || cause == EPERM ||
                             cause == ELOOP || cause == ENAMETOOLONG || cause == ENXIO;
    if (cause == ENOMEM)
        code = STATUS_INTERNAL;
    else if (cause == EIO || (code == STATUS_NO_INPUT && !unreachable))
        code = STATUS_IO;
    return error_set(err, code, path, "%s: %s", what, strerror(cause));
}

int file_call_open(int folder, const char *name, int flags, unsigned mode)
{
    return RETRY(openat(folder, name, flags | O_CLOEXEC, mode));
}

enum status file_call_look(int folder, const char *name, int flags, enum file_kind *kind, const char *path,
                           struct error *err)
{
    struct stat info;
    *kind = FILE_ABSENT;
    if (RETRY(fstatat(folder, name, &info, flags)) != 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? STATUS_OK
                   : file_call_failed(err, STATUS_NO_INPUT, path, "cannot be looked at");
    *kind = S_ISREG(info.st_mode) ? FILE_REGULAR : S_ISDIR(info.st_mode) ? FILE_FOLDER : FILE_OTHER;
    return STATUS_OK;
}

static enum status read_all(int file, size_t limit, unsigned char **bytes, size_t *size, const char *path,
                            struct error *err)
{
    struct stat info;
    if (RETRY(fstat(file, &info)) != 0)
        return file_call_failed(err, STATUS_IO, path, "cannot read");
    if (!S_ISREG(info.st_mode))
        return error_set(err, STATUS_NO_INPUT, path, "is not a file");
    if ((size_t)info.st_size > limit)
        return error_set(err, STATUS_BAD_DATA, path, "has %lld bytes, more than the limit of %zu",
                         (long long)info.st_size, limit);
    const size_t length = (size_t)info.st_size;
    unsigned char *content = malloc(length + 1);
    if (!content)
        return error_no_memory(err, length + 1, path);
    for (size_t done = 0; done < length;) {
        ssize_t got = RETRY(read(file, content + done, length - done));
        if (got <= 0) {
            enum status status = got < 0 ? file_call_failed(err, STATUS_IO, path, "cannot read")
                                         : error_set(err, STATUS_IO, path, "cannot read: it became shorter");
            free(content);
            return status;
        }
        done += (size_t)got;
    }
    content[length] = 0;
    *bytes = content;
    *size = length;
    return STATUS_OK;
}

enum status file_call_read(int folder, const char *name, int flags, size_t limit, unsigned char **bytes, size_t *size,
                           const char *path, struct error *err)
{
    *bytes = NULL;
    *size = 0;
    /* O_NONBLOCK: a pipe must not block us; it is refused after it was opened. */
    int file = file_call_open(folder, name, O_RDONLY | O_NONBLOCK | flags, 0);
    if (file < 0)
        return file_call_failed(err, STATUS_NO_INPUT, path, "cannot open");
    enum status status = read_all(file, limit, bytes, size, path, err);
    close(file);
    return status;
}

bool file_call_write(int file, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        const size_t left = size - done;
        ssize_t put = RETRY(pwrite(file, (const char *)bytes + done, left > 1 << 30 ? 1 << 30 : left, (off_t)done));
        if (put < 0)
            return false;
        done += (size_t)put;
    }
    return true;
}

enum status file_call_lock(int file, const char *path, int *descriptor, struct error *err)
{
    if (RETRY(flock(file, LOCK_EX | LOCK_NB)) != 0) {
        enum status status =
            errno == EWOULDBLOCK
                ? error_set(err, STATUS_LOCKED, path, "another process is working on it: wait for it or stop it")
                : file_call_failed(err, STATUS_IO, path, "cannot lock");
        close(file);
        return status;
    }
    *descriptor = file;
    return STATUS_OK;
}
