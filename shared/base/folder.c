#define _GNU_SOURCE
#include "shared/base/folder.h"

#include "shared/base/file_calls.h"
#include "shared/base/memory.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *folder_place(char path[FOLDER_PATH_SIZE], const struct open_folder *folder, const char *name)
{
    size_t length = strlen(folder->path);
    snprintf(path, FOLDER_PATH_SIZE, "%s%s%s", folder->path, length && folder->path[length - 1] == '/' ? "" : "/",
             name);
    return path;
}

static enum status keep(struct open_folder *folder, int descriptor, const char *path, struct error *err)
{
    *folder = (struct open_folder){descriptor, strdup(path)};
    if (folder->path)
        return STATUS_OK;
    folder_close(folder);
    return error_no_memory(err, strlen(path), "a path");
}

enum status folder_open(struct open_folder *folder, const char *path, struct error *err)
{
    *folder = (struct open_folder){-1, NULL};
    int descriptor = file_call_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (descriptor < 0)
        return file_call_failed(err, STATUS_NO_INPUT, path, "cannot open the folder");
    return keep(folder, descriptor, path, err);
}

enum status folder_enter(struct open_folder *folder, const struct open_folder *parent, const char *name, bool make,
                         struct error *err)
{
    char path[FOLDER_PATH_SIZE];
    *folder = (struct open_folder){-1, NULL};
    folder_place(path, parent, name);
    if (make && RETRY(mkdirat(parent->descriptor, name, 0777)) != 0 && errno != EEXIST)
        return file_call_failed(err, STATUS_CANT_CREATE, path, "cannot create the folder");
    int descriptor = file_call_open(parent->descriptor, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (descriptor < 0 && (errno == ELOOP || errno == ENOTDIR))
        return error_set(err, STATUS_CANT_CREATE, path,
                         "is a link or a file, not a folder of ours: move it away, or choose another folder");
    if (descriptor < 0)
        return file_call_failed(err, STATUS_NO_INPUT, path, "cannot open the folder");
    return keep(folder, descriptor, path, err);
}

void folder_close(struct open_folder *folder)
{
    if (folder->descriptor >= 0)
        close(folder->descriptor);
    free(folder->path);
    *folder = (struct open_folder){-1, NULL};
}

enum status folder_look(const struct open_folder *folder, const char *name, enum file_kind *kind, struct error *err)
{
    char path[FOLDER_PATH_SIZE];
    return file_call_look(folder->descriptor, name, AT_SYMLINK_NOFOLLOW, kind, folder_place(path, folder, name), err);
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct folder_entry *)a)->name, ((const struct folder_entry *)b)->name);
}

/* readdir says NULL at the end and after an error; errno tells them apart. */
static struct dirent *next_entry(DIR *stream)
{
    struct dirent *item;
    int tries = 0;
    do {
        errno = 0;
        item = readdir(stream);
    } while (!item && file_call_again(&tries));
    return item;
}

enum status folder_entries(const struct open_folder *folder, struct folder_entry **entries, size_t *count,
                           struct error *err)
{
    return folder_entries_visible(folder, entries, count, NULL, err);
}

enum status folder_entries_visible(const struct open_folder *folder, struct folder_entry **entries, size_t *count,
                                   size_t *hidden, struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *list = NULL;
    size_t used = 0, capacity = 0;
    int again = file_call_open(folder->descriptor, ".", O_RDONLY | O_DIRECTORY, 0); /* closedir closes it */
    DIR *stream = again < 0 ? NULL : fdopendir(again);
    size_t dotted = 0;
    *entries = NULL;
    *count = 0;
    if (!stream) {
        status = file_call_failed(err, STATUS_NO_INPUT, folder->path, "cannot list the folder");
        if (again >= 0)
            close(again);
        return status;
    }
    for (struct dirent *item; (item = next_entry(stream));) {
        struct stat info;
        if (item->d_name[0] == '.') {
            dotted += strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0;
            continue;
        }
        TRY(array_grow(&list, sizeof *list, used, &capacity, folder->path, err));
        bool is_folder = item->d_type == DT_DIR;
        if (item->d_type == DT_LNK || item->d_type == DT_UNKNOWN)
            is_folder = RETRY(fstatat(again, item->d_name, &info, 0)) == 0 && S_ISDIR(info.st_mode);
        list[used].is_folder = is_folder;
        list[used].name = strdup(item->d_name);
        if (!list[used].name)
            FAIL(error_no_memory(err, strlen(item->d_name), folder->path));
        used++;
    }
    if (errno != 0)
        FAIL(file_call_failed(err, STATUS_IO, folder->path, "cannot list the folder"));
    if (used)
        qsort(list, used, sizeof *list, compare_entries);
    *entries = list;
    *count = used;
    if (hidden)
        *hidden = dotted;
    list = NULL;
    used = 0;
cleanup:
    closedir(stream);
    folder_list_free(list, used);
    return status;
}

enum status folder_read(const struct open_folder *folder, const char *name, size_t limit, unsigned char **bytes,
                        size_t *size, struct error *err)
{
    char path[FOLDER_PATH_SIZE];
    return file_call_read(folder->descriptor, name, O_NOFOLLOW, limit, bytes, size, folder_place(path, folder, name),
                          err);
}

enum status folder_lock(const struct open_folder *folder, const char *name, int *descriptor, struct error *err)
{
    char path[FOLDER_PATH_SIZE];
    *descriptor = -1;
    folder_place(path, folder, name);
    int file = file_call_open(folder->descriptor, name, O_RDWR | O_CREAT | O_NOFOLLOW, 0666);
    if (file < 0)
        return file_call_failed(err, STATUS_CANT_CREATE, path, "cannot create");
    return file_call_lock(file, path, descriptor, err);
}

enum status folder_sync(const struct open_folder *folder, struct error *err)
{
    if (RETRY(fsync(folder->descriptor)) != 0)
        return file_call_failed(err, STATUS_IO, folder->path, "cannot sync the folder");
    return STATUS_OK;
}

enum status folder_remove(const struct open_folder *folder, const char *name, struct error *err)
{
    char path[FOLDER_PATH_SIZE];
    if (RETRY(unlinkat(folder->descriptor, name, 0)) != 0 && errno != ENOENT)
        return file_call_failed(err, STATUS_IO, folder_place(path, folder, name), "cannot be removed");
    return STATUS_OK;
}

enum status folder_remove_folder(const struct open_folder *folder, const char *name, struct error *err)
{
    char path[FOLDER_PATH_SIZE];
    if (RETRY(unlinkat(folder->descriptor, name, AT_REMOVEDIR)) != 0 && errno != ENOENT && errno != ENOTEMPTY &&
        errno != EEXIST)
        return file_call_failed(err, STATUS_IO, folder_place(path, folder, name), "cannot be removed");
    return STATUS_OK;
}

/* ---- publishing ---- */

bool folder_is_temporary(const char *entry, const char *name)
{
    const size_t length = strlen(name);
    if (strncmp(entry, name, length) != 0 || entry[length] != '.')
        return false;
    const size_t digits = strspn(entry + length + 1, "0123456789");
    return digits > 0 && strcmp(entry + length + 1 + digits, ".tmp") == 0;
}

void folder_remove_temporary(const struct open_folder *folder, const char *name)
{
    struct folder_entry *entries;
    size_t count;
    if (folder_entries(folder, &entries, &count, NULL) != STATUS_OK)
        return;
    for (size_t i = 0; i < count; i++)
        if (folder_is_temporary(entries[i].name, name))
            folder_remove(folder, entries[i].name, NULL);
    folder_list_free(entries, count);
}

/* Compares the file with what was to be written. The kernel's copy is dropped first, so that the bytes come from the
 * disk wherever the file system allows that. */
static enum status read_back(int file, const unsigned char *bytes, size_t size, const char *path, struct error *err)
{
    enum { PIECE = 1 << 16 };
    unsigned char piece[PIECE];
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    for (size_t done = 0; done < size;) {
        ssize_t got = RETRY(pread(file, piece, size - done < PIECE ? size - done : PIECE, (off_t)done));
        if (got < 0)
            return file_call_failed(err, STATUS_IO, path, "cannot read back what was written");
        if (got == 0 || memcmp(piece, bytes + done, (size_t)got) != 0)
            return error_set(err, STATUS_IO, path,
                             "what was read back is not what was written, near byte %zu: check the disk", done);
        done += (size_t)got;
    }
    return STATUS_OK;
}

/* A file of this name can only be what a dead process with our number left: its place is taken. */
static int open_temporary(const struct open_folder *folder, const char *temporary)
{
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
    int file = file_call_open(folder->descriptor, temporary, flags, 0666);
    if (file < 0 && errno == EEXIST && RETRY(unlinkat(folder->descriptor, temporary, 0)) == 0)
        file = file_call_open(folder->descriptor, temporary, flags, 0666);
    return file;
}

enum status folder_publish(const struct open_folder *folder, const char *name, const void *bytes, size_t size,
                           struct error *err)
{
    enum status status = STATUS_OK;
    char temporary[NAME_MAX + 1], path[FOLDER_PATH_SIZE];
    folder_place(path, folder, name);
    if (snprintf(temporary, sizeof temporary, "%s.%ld.tmp", name, (long)getpid()) >= (int)sizeof temporary)
        return error_set(err, STATUS_CANT_CREATE, path, "the name is too long");
    int file = open_temporary(folder, temporary);
    if (file < 0)
        return file_call_failed(err, STATUS_CANT_CREATE, path, "cannot create");
    if (!file_call_write(file, bytes, size) || RETRY(fsync(file)) != 0) {
        char what[64];
        snprintf(what, sizeof what, "cannot write %zu bytes", size);
        FAIL(file_call_failed(err, STATUS_IO, path, what));
    }
    TRY(read_back(file, bytes, size, path, err));
    const int closed = close(file);
    file = -1;
    if (closed != 0 && errno != EINTR) /* Linux has closed it, also if it says EINTR */
        FAIL(file_call_failed(err, STATUS_IO, path, "cannot finish writing"));
    if (RETRY(renameat(folder->descriptor, temporary, folder->descriptor, name)) != 0)
        FAIL(file_call_failed(err, STATUS_IO, path, "cannot rename the finished file to its name"));
    return folder_sync(folder, err);
cleanup:
    if (file >= 0)
        close(file);
    folder_remove(folder, temporary, NULL);
    return status;
}

/* ---- names for messages ---- */

void folder_names_add(struct folder_names *names, const char *name)
{
    const size_t used = strlen(names->text), room = sizeof names->text - 32; /* "and N more" must fit */
    if (names->listed == names->count && names->listed < 8 && used + strlen(name) + 2 < room) {
        snprintf(names->text + used, sizeof names->text - used, "%s%s", used ? ", " : "", name);
        names->listed++;
    }
    names->count++;
}

const char *folder_names_text(struct folder_names *names)
{
    const size_t used = strlen(names->text);
    if (names->listed < names->count)
        snprintf(names->text + used, sizeof names->text - used, "%s%d more", used ? " and " : "",
                 names->count - names->listed);
    return names->text;
}
