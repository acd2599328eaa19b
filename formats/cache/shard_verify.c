/* Reads the bytes of a shard again before they are published, and compares them with the content that they were made
 * of: a library that ran out of memory halfway, or a faulty memory cell, must not end up in a cache. */
#include "formats/cache/shard.h"

#include <stdio.h>
#include <string.h>

/* True if a data set differs; `name` gets its name. */
static bool differs(const struct cache_manifest *manifest, const struct cache_shard *a, const struct cache_shard *b,
                    char name[32])
{
    struct shard_field left[SHARD_MAX_FIELDS], right[SHARD_MAX_FIELDS];
    const int count = shard_fields(manifest, a, left);
    shard_fields(manifest, b, right); /* as many, since both are shards of this manifest */
    for (int i = 0; i < count; i++)
        if (memcmp(left[i].data, right[i].data, left[i].bytes) != 0) {
            snprintf(name, 32, "%s", left[i].name);
            return true;
        }
    snprintf(name, 32, "names");
    for (uint32_t i = 0; i < a->count; i++)
        if (strncmp(a->names[i], b->names[i], CACHE_NAME_SIZE) != 0)
            return true;
    snprintf(name, 32, "images");
    return manifest->images_embedded && memcmp(a->image_bytes, b->image_bytes, a->image_offsets[a->count]) != 0;
}

enum status shard_check_bytes(const struct cache_manifest *manifest, const struct cache_shard *content,
                              const struct cache_shard_entry *entry, const unsigned char *bytes, size_t size,
                              struct error *err)
{
    struct cache_shard again = {0};
    struct error failed = {0};
    enum status status = shard_parse(manifest, content->split, entry, bytes, size,
                                     CACHE_READ_IMAGES | CACHE_READ_FEATURES, entry->file, &again, &failed);
    char name[32];
    const bool different = status == STATUS_OK && differs(manifest, content, &again, name);
    cache_shard_release(&again);
    if (status == STATUS_INTERNAL)
        return error_set(err, status, failed.path, "%s", failed.message);
    if (status != STATUS_OK)
        return error_set(err, STATUS_INTERNAL, entry->file, "was not published: it does not read back: %s",
                         failed.message);
    if (different)
        return error_set(err, STATUS_INTERNAL, entry->file,
                         "was not published: data set %s does not read back as it was written", name);
    return STATUS_OK;
}
