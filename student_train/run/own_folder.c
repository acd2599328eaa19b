#define _GNU_SOURCE
#include "student_train/run/own_folder.h"

#include "shared/base/file_calls.h"
#include "shared/base/folder.h"
#include "shared/base/interrupt.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const struct own_folder_kind own_folder_run = {
    .name = "run",
    .mark = "a run of student_train\n",
    .earlier = "run.json",
    .files = {"config.ini", "run.json", "student.net", "student.onnx", "checkpoint", "best.safetensors",
              "last.safetensors", "metrics.json", "report.html", "scratch"},
};
const struct own_folder_kind own_folder_sweep = {
    .name = "sweep",
    .mark = "a sweep of student_train\n",
    .earlier = "sweep.ini",
    .files = {"sweep.ini", "sweep.csv", "sweep.html", "checkpoint*"},
};
const struct own_folder_kind own_folder_search = {
    .name = "search",
    .mark = "a search of student_train\n",
    .earlier = "search.ini",
    .files = {"search.ini", "search.csv", "search.html", "best.net"},
};

static const char LOCK[] = ".lock";
enum { LOCK_LIMIT = 4096 };

/* *ours: .lock has the mark, or it is empty and the file of earlier versions is there. */
static enum status has_mark(const struct open_folder *folder, const struct own_folder_kind *kind, bool *ours,
                            struct error *err)
{
    enum status status = STATUS_OK;
    unsigned char *text = NULL;
    size_t size;
    enum file_kind lock, earlier;
    *ours = false;
    TRY(folder_look(folder, LOCK, &lock, err));
    if (lock != FILE_REGULAR)
        goto cleanup;
    TRY(folder_look(folder, kind->earlier, &earlier, err));
    TRY(folder_read(folder, LOCK, LOCK_LIMIT, &text, &size, err));
    *ours = strcmp((char *)text, kind->mark) == 0 || (size == 0 && earlier == FILE_REGULAR);
cleanup:
    free(text);
    return status;
}

enum status own_folder_is_ours(const char *path, const struct own_folder_kind *kind, bool *ours, struct error *err)
{
    struct open_folder folder;
    enum file_kind there;
    *ours = false;
    enum status status = file_look(path, &there, err);
    if (status != STATUS_OK || there != FILE_FOLDER)
        return status;
    status = folder_open(&folder, path, err);
    if (status == STATUS_OK)
        status = has_mark(&folder, kind, ours, err);
    folder_close(&folder);
    return status;
}

/* A folder without the mark must be empty. */
static enum status check(const struct open_folder *folder, const struct own_folder_kind *kind, struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    struct folder_names foreign = {0};
    size_t count = 0;
    bool ours;
    TRY(has_mark(folder, kind, &ours, err));
    if (ours)
        goto cleanup;
    TRY(folder_entries(folder, &entries, &count, err));
    /* Again: another process may have marked the folder and written into it since. */
    TRY(has_mark(folder, kind, &ours, err));
    for (size_t i = 0; i < count && !ours; i++)
        folder_names_add(&foreign, entries[i].name);
    if (foreign.count > 0)
        status =
            error_set(err, STATUS_CANT_CREATE, folder->path,
                      "holds files that are not of a %s of student_train: %s; choose a new or empty folder for --out",
                      kind->name, folder_names_text(&foreign));
cleanup:
    folder_list_free(entries, count);
    return status;
}

/* Writes the mark into an empty .lock; one with another text is somebody else's. */
static enum status mark(const struct open_folder *folder, const struct own_folder_kind *kind, int lock,
                        struct error *err)
{
    enum status status = STATUS_OK;
    char path[FOLDER_PATH_SIZE];
    unsigned char *text = NULL;
    size_t size;
    TRY(folder_read(folder, LOCK, LOCK_LIMIT, &text, &size, err));
    if (size > 0 && strncmp(kind->mark, (char *)text, size) != 0) /* a beginning: a writer was killed */
        FAIL(error_set(err, STATUS_CANT_CREATE, folder_place(path, folder, LOCK),
                       "is another program's, or another command's; choose a new or empty folder for --out"));
    if (!file_call_write(lock, kind->mark, strlen(kind->mark)) || RETRY(fsync(lock)) != 0)
        FAIL(file_call_failed(err, STATUS_IO, folder_place(path, folder, LOCK), "cannot write"));
    TRY(folder_sync(folder, err));
cleanup:
    free(text);
    return status;
}

/* True for NAME.PID.tmp of a file that is published in such a folder. */
static bool is_temporary(const struct own_folder_kind *kind, const char *entry)
{
    for (const char *const *file = kind->files; *file; file++) {
        const size_t length = strlen(*file);
        if (folder_is_temporary(entry, *file))
            return true;
        if ((*file)[length - 1] == '*' && strncmp(entry, *file, length - 1) == 0) {
            const char *dot = strchr(entry, '.');
            char name[256];
            if (!dot || (size_t)(dot - entry) >= sizeof name)
                continue;
            memcpy(name, entry, (size_t)(dot - entry));
            name[dot - entry] = 0;
            if (folder_is_temporary(entry, name))
                return true;
        }
    }
    return false;
}

static enum status clean(const struct open_folder *folder, const struct own_folder_kind *kind, struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    size_t count = 0;
    TRY(folder_entries(folder, &entries, &count, err));
    for (size_t i = 0; i < count; i++)
        if (is_temporary(kind, entries[i].name))
            TRY(folder_remove(folder, entries[i].name, err));
cleanup:
    folder_list_free(entries, count);
    return status;
}

static enum status wait_for_lock(const struct open_folder *folder, int *lock, struct error *err)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    enum status status;
    while ((status = folder_lock(folder, LOCK, lock, err)) == STATUS_LOCKED) {
        if (interrupt_requested())
            return error_set(err, STATUS_INTERRUPTED, folder->path, "stopped while waiting for another process");
        nanosleep(&pause, NULL);
    }
    return status;
}

static enum status lock_folder(const char *path, const struct own_folder_kind *kind, bool alone, int *lock,
                               struct error *err)
{
    enum status status = STATUS_OK;
    struct open_folder folder = {-1, NULL};
    TRY(folder_make(path, err));
    TRY(folder_open(&folder, path, err));
    TRY(check(&folder, kind, err));
    TRY(alone ? folder_lock(&folder, LOCK, lock, err) : wait_for_lock(&folder, lock, err));
    TRY(mark(&folder, kind, *lock, err));
    if (alone)
        TRY(clean(&folder, kind, err));
cleanup:
    folder_close(&folder);
    return status;
}

enum status own_folder_lock(const char *path, const struct own_folder_kind *kind, int *lock, struct error *err)
{
    return lock_folder(path, kind, true, lock, err);
}

enum status own_folder_join(const char *path, const struct own_folder_kind *kind, int *lock, struct error *err)
{
    return lock_folder(path, kind, false, lock, err);
}
