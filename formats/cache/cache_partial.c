#define _POSIX_C_SOURCE 200809L
#include "formats/cache/cache_partial.h"

#include "formats/cache/manifest.h"
#include "shared/base/digest.h"
#include "shared/base/file_calls.h"
#include "shared/base/files.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char FINAL[] = "cache.json", WORK[] = "partial", IDENTITY[] = "identity.json", LOCK[] = "lock";

/* ---- what is ours ---- */

/* SPLIT-NNNNN followed by `end`, as in train-00000.json. */
static bool is_shard_name(const char *name, const char *end)
{
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const size_t length = strlen(split_name((enum split)s));
        if (strncmp(name, split_name((enum split)s), length) != 0 || name[length] != '-')
            continue;
        const size_t digits = strspn(name + length + 1, "0123456789");
        if (digits >= 5 && strcmp(name + length + 1 + digits, end) == 0)
            return true;
    }
    return false;
}

/* NAME.PID.tmp, where NAME is `fixed` or SPLIT-NNNNN followed by `end`. */
static bool is_temporary(const char *name, const char *fixed, const char *end)
{
    char stem[CACHE_RECORD_NAME_SIZE];
    const char *at = strstr(name, end);
    const size_t length = at ? (size_t)(at - name) + strlen(end) : sizeof stem;
    if (length >= sizeof stem)
        return false;
    memcpy(stem, name, length);
    stem[length] = 0;
    return folder_is_temporary(name, stem) && (strcmp(stem, fixed) == 0 || is_shard_name(stem, end));
}

static bool is_record(const char *name)
{
    return is_shard_name(name, ".json") || is_shard_name(name, ".lock");
}

/* An entry of `partial` that we make. */
static bool is_ours(const struct folder_entry *entry)
{
    return !entry->is_folder && (strcmp(entry->name, LOCK) == 0 || strcmp(entry->name, IDENTITY) == 0 ||
                                 is_record(entry->name) || is_temporary(entry->name, IDENTITY, ".json"));
}

enum status cache_partial_enter(const struct cache_partial *partial, bool make, struct open_folder *work,
                                struct error *err)
{
    return folder_enter(work, &partial->out, WORK, make, err);
}

enum status cache_partial_refuse(const struct open_folder *folder, struct folder_names *foreign, struct error *err)
{
    return error_set(err, STATUS_CANT_CREATE, folder->path,
                     "holds what teacher_dump did not make there: %s; move it away, or choose another --out",
                     folder_names_text(foreign));
}

enum status cache_partial_enter_if_there(const struct cache_partial *partial, struct open_folder *work, bool *there,
                                         struct error *err)
{
    struct error failed = {0};
    enum file_kind kind;
    *work = (struct open_folder){-1, NULL};
    *there = false;
    enum status status = folder_look(&partial->out, WORK, &kind, err);
    if (status != STATUS_OK || kind == FILE_ABSENT)
        return status;
    status = cache_partial_enter(partial, false, work, &failed);
    *there = status == STATUS_OK;
    if (status == STATUS_NO_INPUT && folder_look(&partial->out, WORK, &kind, NULL) == STATUS_OK && kind == FILE_ABSENT)
        return STATUS_OK;
    return status == STATUS_OK ? status : error_set(err, failed.code, failed.path, "%s", failed.message);
}

/* `partial` must hold our names only, and no records before there is an identity. */
static enum status check_work(const struct cache_partial *partial, struct error *err)
{
    enum status status = STATUS_OK;
    struct open_folder work;
    struct folder_entry *entries = NULL;
    struct folder_names foreign = {0};
    enum file_kind before, after;
    size_t count = 0;
    bool there;
    TRY(cache_partial_enter_if_there(partial, &work, &there, err));
    if (!there)
        goto cleanup;
    /* Other processes may start or finish the cache meanwhile: records come after identity.json and go before it. */
    TRY(folder_look(&work, IDENTITY, &before, err));
    TRY(folder_entries(&work, &entries, &count, err));
    TRY(folder_look(&work, IDENTITY, &after, err));
    const bool identity = before == FILE_REGULAR || after == FILE_REGULAR;
    for (size_t i = 0; i < count; i++)
        if (!is_ours(&entries[i]) || (!identity && is_record(entries[i].name)))
            folder_names_add(&foreign, entries[i].name);
    if (foreign.count > 0)
        status = cache_partial_refuse(&work, &foreign, err);
cleanup:
    folder_list_free(entries, count);
    folder_close(&work);
    return status;
}

/* The folder must be empty, or hold our cache.json or our `partial`. */
static enum status check_out(const struct cache_partial *partial, struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    struct folder_names foreign = {0};
    struct cache_manifest manifest = {0};
    bool work = false, final = false;
    size_t count;
    TRY(folder_entries(&partial->out, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        work |= strcmp(entries[i].name, WORK) == 0;
        final |= strcmp(entries[i].name, FINAL) == 0;
        folder_names_add(&foreign, entries[i].name);
    }
    folder_list_free(entries, count);
    if (foreign.count > 0 && !work && !final)
        TRY(cache_partial_refuse(&partial->out, &foreign, err));
    if (work)
        TRY(check_work(partial, err));
    if (final) {
        bool there; /* not any more if another process has just begun to repair the cache */
        TRY(cache_partial_read(partial, &manifest, true, &there, err));
    }
cleanup:
    arena_release(&manifest.arena);
    return status;
}

enum status cache_partial_open(struct cache_partial *partial, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    partial->out = (struct open_folder){-1, NULL};
    TRY(folder_make(path, err));
    TRY(folder_open(&partial->out, path, err));
    TRY(check_out(partial, err));
cleanup:
    return status;
}

void cache_partial_release(struct cache_partial *partial)
{
    folder_close(&partial->out);
}

enum status cache_is_begun(const char *path, bool *begun, struct error *err)
{
    static const char *const names[] = {"cache.json", "partial/identity.json"};
    *begun = false;
    for (int i = 0; i < 2 && !*begun; i++) {
        char *file = path_join(path, names[i]);
        if (!file)
            return error_no_memory(err, strlen(path), "a path");
        enum file_kind kind;
        const enum status status = file_look(file, &kind, err);
        free(file);
        if (status != STATUS_OK)
            return status;
        *begun = kind == FILE_REGULAR;
    }
    return STATUS_OK;
}

enum status cache_partial_is_finished(const struct cache_partial *partial, bool *finished, struct error *err)
{
    enum file_kind kind;
    enum status status = folder_look(&partial->out, FINAL, &kind, err);
    *finished = kind == FILE_REGULAR;
    if (status == STATUS_OK && kind != FILE_REGULAR && kind != FILE_ABSENT) {
        struct folder_names foreign = {0};
        folder_names_add(&foreign, FINAL);
        status = cache_partial_refuse(&partial->out, &foreign, err);
    }
    return status;
}

/* ---- locks ---- */

/* A lock on a file that another process removed when it finished the cache locks nothing. A disk that fails to say so
 * is no other process. */
static enum status check_current(const struct cache_partial *partial, const char *name, int descriptor, bool *current,
                                 struct error *err)
{
    struct stat held, there;
    struct open_folder work;
    char path[FOLDER_PATH_SIZE];
    *current = false;
    enum status status = cache_partial_enter(partial, false, &work, err);
    if (status != STATUS_OK)
        return status == STATUS_NO_INPUT ? STATUS_OK : status;
    const bool is_held = RETRY(fstat(descriptor, &held)) == 0;
    const bool is_there = is_held && RETRY(fstatat(work.descriptor, name, &there, AT_SYMLINK_NOFOLLOW)) == 0;
    if (is_there)
        *current = held.st_ino == there.st_ino && held.st_dev == there.st_dev;
    else if (!is_held || errno != ENOENT)
        status = file_call_failed(err, STATUS_IO, folder_place(path, &work, name), "cannot look at the lock");
    folder_close(&work);
    return status;
}

static enum status try_lock(const struct cache_partial *partial, const char *name, int *descriptor, struct error *err)
{
    struct open_folder work;
    enum status status = cache_partial_enter(partial, true, &work, err);
    if (status == STATUS_OK)
        status = folder_lock(&work, name, descriptor, err);
    /* The lock says whose a shard's file is: it must be on the disk before the shard is. */
    if (status == STATUS_OK)
        status = folder_sync(&work, err);
    folder_close(&work);
    return status;
}

/* `partial` may vanish while we work, when another process finishes the cache: so creating is tried again. */
enum status cache_partial_lock(const struct cache_partial *partial, const char *name, int tries, int *descriptor,
                               struct error *err)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    enum status status = STATUS_LOCKED;
    struct error last = {0};
    for (int i = 0, failures = 0; i < tries && failures < 5; i++) {
        last = (struct error){0};
        *descriptor = -1;
        bool current = false;
        status = try_lock(partial, name, descriptor, &last);
        if (status == STATUS_OK)
            status = check_current(partial, name, *descriptor, &current, &last);
        if (status == STATUS_OK && current)
            return STATUS_OK;
        failures += status != STATUS_OK && status != STATUS_LOCKED;
        file_unlock(*descriptor);
        if (i + 1 < tries)
            nanosleep(&pause, NULL);
    }
    *descriptor = -1;
    if (status == STATUS_OK)
        return error_set(err, STATUS_LOCKED, partial->out.path,
                         "another process is finishing this cache: run the same command again");
    return error_set(err, status, last.path, "%s", last.message);
}

/* ---- manifests ---- */

enum status cache_partial_read(const struct cache_partial *partial, struct cache_manifest *manifest, bool published,
                               bool *there, struct error *err)
{
    enum status status = STATUS_OK;
    struct open_folder work = {-1, NULL};
    const struct open_folder *folder = &partial->out;
    const char *name = published ? FINAL : IDENTITY;
    char path[FOLDER_PATH_SIZE];
    unsigned char *text = NULL;
    size_t size;
    enum file_kind kind = FILE_REGULAR;
    arena_release(&manifest->arena);
    *manifest = (struct cache_manifest){0};
    if (!published) {
        TRY(cache_partial_enter(partial, true, &work, err));
        folder = &work;
    }
    if (there) {
        TRY(folder_look(folder, name, &kind, err));
        *there = kind != FILE_ABSENT;
    }
    if (kind != FILE_ABSENT) {
        TRY(folder_read(folder, name, MANIFEST_LIMIT, &text, &size, err));
        TRY(manifest_parse(manifest, (const char *)text, size, published, folder_place(path, folder, name), err));
    }
cleanup:
    free(text);
    folder_close(&work);
    return status;
}

enum status cache_partial_write(const struct cache_partial *partial, const struct cache_manifest *manifest,
                                bool published, struct error *err)
{
    enum status status = STATUS_OK;
    struct open_folder work = {-1, NULL};
    const struct open_folder *folder = &partial->out;
    const char *name = published ? FINAL : IDENTITY;
    char path[FOLDER_PATH_SIZE], *text = NULL;
    if (!published) {
        TRY(cache_partial_enter(partial, true, &work, err));
        folder = &work;
    }
    folder_place(path, folder, name);
    text = manifest_text(manifest_to_json(manifest, published));
    if (!text)
        FAIL(error_no_memory(err, 0, path));
    TRY(manifest_check_text(manifest, text, published, path, err));
    TRY(folder_publish(folder, name, text, strlen(text), err));
cleanup:
    free(text);
    folder_close(&work);
    return status;
}

enum status cache_partial_unpublish(const struct cache_partial *partial, struct error *err)
{
    return folder_remove(&partial->out, FINAL, err);
}

/* ---- the end ---- */

/* identity.json goes last but one and the lock last: what is left of a removal that was killed is still ours. */
static enum status remove_work(const struct cache_partial *partial, struct error *err)
{
    enum status status = STATUS_OK;
    struct open_folder work;
    struct folder_entry *entries = NULL;
    size_t count = 0;
    TRY(cache_partial_enter(partial, false, &work, err));
    TRY(folder_entries(&work, &entries, &count, err));
    for (size_t i = 0; i < count; i++)
        if (is_ours(&entries[i]) && strcmp(entries[i].name, IDENTITY) != 0 && strcmp(entries[i].name, LOCK) != 0)
            TRY(folder_remove(&work, entries[i].name, err));
    TRY(folder_remove(&work, IDENTITY, err));
    TRY(folder_remove(&work, LOCK, err));
    TRY(folder_remove_folder(&partial->out, WORK, err));
cleanup:
    folder_list_free(entries, count);
    folder_close(&work);
    return status;
}

enum status cache_partial_remove(const struct cache_partial *partial, struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    size_t count = 0;
    bool work = false;
    TRY(folder_entries(&partial->out, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        work |= strcmp(entries[i].name, WORK) == 0;
        if (is_temporary(entries[i].name, FINAL, ".h5") || folder_is_temporary(entries[i].name, FINAL))
            TRY(folder_remove(&partial->out, entries[i].name, err));
    }
    if (work)
        TRY(remove_work(partial, err));
cleanup:
    folder_list_free(entries, count);
    return status;
}
