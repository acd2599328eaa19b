/* Records and shards of an unfinished cache. */
#include "formats/cache/cache_partial.h"

#include "formats/cache/manifest.h"
#include "shared/base/digest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* train-00000.json, for `end` = ".json", of train-00000.h5 */
static void record_name(char name[CACHE_RECORD_NAME_SIZE], const struct cache_shard_entry *entry, const char *end)
{
    snprintf(name, CACHE_RECORD_NAME_SIZE, "%.*s%s", (int)strcspn(entry->file, "."), entry->file, end);
}

enum status cache_partial_record_read(const struct cache_partial *partial, struct cache_shard_entry *entry, bool *there,
                                      struct error *err)
{
    enum status status = STATUS_OK;
    struct open_folder work;
    struct error failed = {0};
    char name[CACHE_RECORD_NAME_SIZE], path[FOLDER_PATH_SIZE];
    unsigned char *text = NULL;
    enum file_kind kind = FILE_ABSENT;
    size_t size;
    bool begun;
    record_name(name, entry, ".json");
    *there = false;
    TRY(cache_partial_enter_if_there(partial, &work, &begun, err));
    if (begun)
        TRY(folder_look(&work, name, &kind, err));
    if (kind == FILE_ABSENT)
        goto cleanup;
    status = folder_read(&work, name, MANIFEST_LIMIT, &text, &size, &failed);
    if (status == STATUS_OK)
        status = manifest_record_parse(entry, (const char *)text, size, folder_place(path, &work, name), &failed);
    *there = status == STATUS_OK;
    if (status == STATUS_NO_INPUT) /* removed in the meantime, or it cannot be opened */
        status = folder_look(&work, name, &kind, err) == STATUS_OK && kind == FILE_ABSENT ? STATUS_OK : STATUS_NO_INPUT;
    if (status == STATUS_BAD_DATA) /* damaged: as if it were not there, its shard is made again */
        status = STATUS_OK;
    if (status != STATUS_OK)
        error_set(err, failed.code, failed.path, "%s", failed.message);
cleanup:
    free(text);
    folder_close(&work);
    return status;
}

enum status cache_partial_record_write(const struct cache_partial *partial, const struct cache_shard_entry *entry,
                                       struct error *err)
{
    enum status status = STATUS_OK;
    struct open_folder work = {-1, NULL};
    struct cache_shard_entry again = *entry;
    char name[CACHE_RECORD_NAME_SIZE], path[FOLDER_PATH_SIZE];
    char *text = manifest_text(manifest_shard_to_json(entry, true));
    record_name(name, entry, ".json");
    TRY(cache_partial_enter(partial, true, &work, err));
    folder_place(path, &work, name);
    if (!text)
        FAIL(error_no_memory(err, 0, path));
    TRY(manifest_record_parse(&again, text, strlen(text), path, err)); /* what does not read back is not published */
    TRY(folder_publish(&work, name, text, strlen(text), err));
cleanup:
    free(text);
    folder_close(&work);
    return status;
}

enum status cache_partial_has_shard(const struct cache_partial *partial, const struct cache_shard_entry *entry,
                                    bool *there, struct error *err)
{
    enum file_kind kind;
    enum status status = folder_look(&partial->out, entry->file, &kind, err);
    *there = kind != FILE_ABSENT;
    return status;
}

enum status cache_partial_is_whole(const struct cache_partial *partial, const struct cache_shard_entry *entry,
                                   bool *whole, struct error *err)
{
    char digest[DIGEST_HEX_SIZE];
    size_t size;
    enum file_kind kind;
    *whole = false;
    enum status status = folder_look(&partial->out, entry->file, &kind, err);
    if (status != STATUS_OK || kind != FILE_REGULAR)
        return status;
    status = digest_in_folder(&partial->out, entry->file, digest, &size, err);
    *whole = status == STATUS_OK && size == entry->bytes && strcmp(digest, entry->digest) == 0;
    return status;
}

enum status cache_partial_check_shards(const struct cache_partial *partial, const struct cache_manifest *manifest,
                                       struct error *err)
{
    enum status status = STATUS_OK;
    struct open_folder work = {-1, NULL};
    struct folder_names foreign = {0};
    TRY(cache_partial_enter(partial, true, &work, err));
    for (int s = 0; s < SPLIT_COUNT; s++) {
        for (int i = 0; i < manifest->splits[s].shard_count; i++) {
            const struct cache_shard_entry *entry = &manifest->splits[s].shards[i];
            char name[CACHE_RECORD_NAME_SIZE];
            enum file_kind lock = FILE_ABSENT, record = FILE_ABSENT;
            bool there;
            TRY(cache_partial_has_shard(partial, entry, &there, err));
            if (!there)
                continue;
            record_name(name, entry, ".lock");
            TRY(folder_look(&work, name, &lock, err));
            record_name(name, entry, ".json");
            TRY(folder_look(&work, name, &record, err));
            if (lock == FILE_ABSENT && record == FILE_ABSENT)
                folder_names_add(&foreign, entry->file);
        }
    }
    if (foreign.count > 0)
        status = cache_partial_refuse(&partial->out, &foreign, err);
cleanup:
    folder_close(&work);
    return status;
}

enum status cache_partial_discard(const struct cache_partial *partial, const struct cache_shard_entry *entry,
                                  struct error *err)
{
    enum status status = STATUS_OK;
    struct open_folder work = {-1, NULL};
    char name[CACHE_RECORD_NAME_SIZE];
    record_name(name, entry, ".json");
    TRY(cache_partial_enter(partial, true, &work, err));
    TRY(folder_remove(&partial->out, entry->file, err));
    TRY(folder_remove(&work, name, err));
    folder_remove_temporary(&partial->out, entry->file);
cleanup:
    folder_close(&work);
    return status;
}
