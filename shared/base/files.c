#define _GNU_SOURCE
#include "shared/base/files.h"

#include "shared/base/memory.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum status file_read(const char *path, size_t limit, unsigned char **bytes, size_t *size, struct error *err)
{
    enum status status = STATUS_OK;
    unsigned char *content = NULL;
    struct stat info;
    *bytes = NULL;
    *size = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not block us: it is refused below */
    if (file < 0 || fstat(file, &info) != 0) {
        status = error_set(err, STATUS_NO_INPUT, path, "cannot open: %s", strerror(errno));
        goto cleanup;
    }
    if (!S_ISREG(info.st_mode)) {
        status = error_set(err, STATUS_NO_INPUT, path, "is not a file");
        goto cleanup;
    }
    if ((size_t)info.st_size > limit) {
        status = error_set(err, STATUS_BAD_DATA, path, "has %lld bytes, more than the limit of %zu",
                           (long long)info.st_size, limit);
        goto cleanup;
    }
    size_t length = (size_t)info.st_size, done = 0;
    content = malloc(length + 1);
    if (!content) {
        status = error_no_memory(err, length + 1, path);
        goto cleanup;
    }
    while (done < length) {
        ssize_t got = read(file, content + done, length - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            status =
                error_set(err, STATUS_IO, path, "cannot read: %s", got < 0 ? strerror(errno) : "it became shorter");
            goto cleanup;
        }
        done += (size_t)got;
    }
    content[length] = 0;
    *bytes = content;
    *size = length;
    content = NULL;
cleanup:
    if (file >= 0)
        close(file);
    free(content);
    return status;
}

static bool write_all(int file, const unsigned char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t put = write(file, bytes, size > 1 << 30 ? 1 << 30 : size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        bytes += put;
        size -= (size_t)put;
    }
    return true;
}

static enum status sync_folder_of(const char *path, struct error *err)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    int file = open(folder[0] ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0 || fsync(file) != 0) {
        enum status status = error_set(err, STATUS_IO, folder, "cannot sync the folder: %s", strerror(errno));
        if (file >= 0)
            close(file);
        return status;
    }
    close(file);
    return STATUS_OK;
}

enum status file_publish(const char *path, const void *bytes, size_t size, struct error *err)
{
    char temporary[4096];
    if (snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid()) >= (int)sizeof temporary)
        return error_set(err, STATUS_CANT_CREATE, path, "the path is too long");
    int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0)
        return error_set(err, STATUS_CANT_CREATE, path, "cannot create: %s", strerror(errno));
    if (!write_all(file, bytes, size) || fsync(file) != 0) {
        enum status status = error_set(err, STATUS_IO, path, "cannot write %zu bytes: %s", size, strerror(errno));
        close(file);
        unlink(temporary);
        return status;
    }
    if (close(file) != 0 || rename(temporary, path) != 0) {
        enum status status =
            error_set(err, STATUS_IO, path, "cannot rename the finished file to its name: %s", strerror(errno));
        unlink(temporary);
        return status;
    }
    return sync_folder_of(path, err);
}

enum status folder_make(const char *path, struct error *err)
{
    char part[4096];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return error_set(err, STATUS_CANT_CREATE, path, "the path is too long");
    for (char *at = part + 1;; at++) {
        if (*at != '/' && *at != 0)
            continue;
        char old = *at;
        *at = 0;
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return error_set(err, STATUS_CANT_CREATE, part, "cannot create the folder: %s", strerror(errno));
        *at = old;
        if (old == 0)
            break;
    }
    if (!folder_exists(path))
        return error_set(err, STATUS_CANT_CREATE, path, "exists, but is not a folder");
    return STATUS_OK;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct folder_entry *)a)->name, ((const struct folder_entry *)b)->name);
}

enum status folder_list(const char *path, struct folder_entry **entries, size_t *count, struct error *err)
{
    size_t hidden;
    return folder_list_visible(path, entries, count, &hidden, err);
}

enum status folder_list_visible(const char *path, struct folder_entry **entries, size_t *count, size_t *hidden,
                                struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *list = NULL;
    size_t used = 0, capacity = 0;
    *entries = NULL;
    *count = *hidden = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return error_set(err, STATUS_NO_INPUT, path, "cannot open the folder: %s", strerror(errno));
    for (struct dirent *item; (item = readdir(folder));) {
        struct stat info;
        if (item->d_name[0] == '.') {
            *hidden += strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0;
            continue;
        }
        TRY(array_grow(&list, sizeof *list, used, &capacity, path, err));
        bool is_folder = item->d_type == DT_DIR;
        if (item->d_type == DT_LNK || item->d_type == DT_UNKNOWN)
            is_folder = fstatat(dirfd(folder), item->d_name, &info, 0) == 0 && S_ISDIR(info.st_mode);
        list[used].is_folder = is_folder;
        list[used].name = strdup(item->d_name);
        if (!list[used].name) {
            status = error_no_memory(err, strlen(item->d_name), path);
            goto cleanup;
        }
        used++;
    }
    if (used)
        qsort(list, used, sizeof *list, compare_entries);
    *entries = list;
    *count = used;
    list = NULL;
    used = 0;
cleanup:
    closedir(folder);
    folder_list_free(list, used);
    return status;
}

void folder_list_free(struct folder_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(entries[i].name);
    free(entries);
}

bool file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool folder_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

enum status file_lock(const char *path, int *descriptor, struct error *err)
{
    *descriptor = -1;
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0)
        return error_set(err, STATUS_CANT_CREATE, path, "cannot create: %s", strerror(errno));
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
        enum status status =
            errno == EWOULDBLOCK
                ? error_set(err, STATUS_LOCKED, path, "another process is working on it: wait for it or stop it")
                : error_set(err, STATUS_IO, path, "cannot lock: %s", strerror(errno));
        close(file);
        return status;
    }
    *descriptor = file;
    return STATUS_OK;
}

void file_unlock(int descriptor)
{
    if (descriptor >= 0)
        close(descriptor);
}

char *path_join(const char *folder, const char *name)
{
    char *path = NULL;
    size_t length = strlen(folder);
    const char *separator = length && folder[length - 1] == '/' ? "" : "/";
    return asprintf(&path, "%s%s%s", folder, separator, name) < 0 ? NULL : path;
}
