#define _GNU_SOURCE
#include "shared/base/files.h"

#include "shared/base/file_calls.h"
#include "shared/base/folder.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

enum status file_read(const char *path, size_t limit, unsigned char **bytes, size_t *size, struct error *err)
{
    return file_call_read(AT_FDCWD, path, 0, limit, bytes, size, path, err);
}

enum status file_look(const char *path, enum file_kind *kind, struct error *err)
{
    return file_call_look(AT_FDCWD, path, 0, kind, path, err);
}

/* Opens the folder that a path lies in; *name is its last part. */
static enum status open_parent(const char *path, struct open_folder *folder, const char **name, struct error *err)
{
    char parent[PATH_SIZE];
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (!slash)
        return folder_open(folder, ".", err);
    if (snprintf(parent, sizeof parent, "%.*s", slash == path ? 1 : (int)(slash - path), path) >= (int)sizeof parent)
        return error_set(err, STATUS_CANT_CREATE, path, "the path is too long");
    return folder_open(folder, parent, err);
}

enum status file_publish(const char *path, const void *bytes, size_t size, struct error *err)
{
    struct open_folder folder;
    struct error failed = {0};
    const char *name;
    enum status status = open_parent(path, &folder, &name, &failed);
    if (status == STATUS_NO_INPUT)
        status = STATUS_CANT_CREATE;
    if (status != STATUS_OK)
        return error_set(err, status, path, "%s", failed.message);
    status = folder_publish(&folder, name, bytes, size, err);
    folder_close(&folder);
    return status;
}

enum status folder_make(const char *path, struct error *err)
{
    char part[PATH_SIZE];
    enum file_kind kind;
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return error_set(err, STATUS_CANT_CREATE, path, "the path is too long");
    for (char *at = part + 1;; at++) {
        if (*at != '/' && *at != 0)
            continue;
        char old = *at;
        *at = 0;
        if (RETRY(mkdir(part, 0777)) != 0 && errno != EEXIST)
            return file_call_failed(err, STATUS_CANT_CREATE, part, "cannot create the folder");
        *at = old;
        if (old == 0)
            break;
    }
    enum status status = file_look(path, &kind, err);
    if (status == STATUS_OK && kind != FILE_FOLDER)
        return error_set(err, STATUS_CANT_CREATE, path, "exists, but is not a folder");
    return status;
}

enum status folder_list(const char *path, struct folder_entry **entries, size_t *count, struct error *err)
{
    return folder_list_visible(path, entries, count, NULL, err);
}

enum status folder_list_visible(const char *path, struct folder_entry **entries, size_t *count, size_t *hidden,
                                struct error *err)
{
    struct open_folder folder;
    *entries = NULL;
    *count = 0;
    enum status status = folder_open(&folder, path, err);
    if (status == STATUS_OK)
        status = folder_entries_visible(&folder, entries, count, hidden, err);
    folder_close(&folder);
    return status;
}

void folder_list_free(struct folder_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(entries[i].name);
    free(entries);
}

bool file_is_there(const char *path, struct error *err)
{
    enum file_kind kind;
    return file_look(path, &kind, err) == STATUS_OK && kind == FILE_REGULAR;
}

bool file_exists(const char *path)
{
    return file_is_there(path, NULL);
}

bool folder_exists(const char *path)
{
    enum file_kind kind;
    return file_look(path, &kind, NULL) == STATUS_OK && kind == FILE_FOLDER;
}

enum status file_lock(const char *path, int *descriptor, struct error *err)
{
    *descriptor = -1;
    int file = file_call_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0666);
    if (file < 0)
        return file_call_failed(err, STATUS_CANT_CREATE, path, "cannot create");
    return file_call_lock(file, path, descriptor, err);
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
