/* The command `verify`: reads every shard as a student would, and reports everything that is wrong. */
#include "teacher_dump/commands.h"

#include "formats/cache/cache.h"
#include "shared/base/interrupt.h"
#include "shared/base/options.h"
#include "shared/base/progress.h"
#include "teacher_dump/summary.h"
#include <stdlib.h>

struct verify {
    const char *path, *data;
    bool json, quiet, hdf5;
    struct progress progress;
    int shards, faults;
    cJSON *list; /* of faults, with --json */
};

static void note_fault(struct verify *verify, const struct error *fault)
{
    verify->faults++;
    if (!verify->json) {
        printf("%s: %s\n", fault->path, fault->message);
        return;
    }
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "path", fault->path);
    cJSON_AddStringToObject(item, "message", fault->message);
    json_append(verify->list, item);
}

/* Verifies the shard and, if images are linked, the files that it refers to. */
static void verify_shard(struct verify *verify, const struct cache *cache, enum split split, int index)
{
    struct cache_shard shard;
    struct error fault = {0};
    enum status status = cache_read_shard(cache, split, index, CACHE_READ_IMAGES | CACHE_READ_FEATURES, &shard, &fault);
    verify->shards++;
    if (status == STATUS_OK && verify->hdf5)
        status = cache_compare_hdf5(cache, split, index, &fault);
    if (status != STATUS_OK) {
        note_fault(verify, &fault);
        cache_shard_release(&shard);
        return;
    }
    for (uint32_t i = 0; i < shard.count && !cache->manifest.images_embedded; i++) {
        const uint8_t *bytes;
        uint8_t *owned;
        size_t size;
        struct error image_fault = {0};
        if (cache_image(cache, &shard, i, &bytes, &size, &owned, &image_fault) != STATUS_OK)
            note_fault(verify, &image_fault);
        free(owned);
    }
    cache_shard_release(&shard);
}

static enum status verify_all(struct verify *verify, const struct cache *cache, struct error *err)
{
    size_t total = 0, done = 0;
    for (int s = 0; s < SPLIT_COUNT; s++)
        total += (size_t)cache->manifest.splits[s].shard_count;
    progress_begin(&verify->progress, "verify", "shards", total, 0);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        for (int i = 0; i < cache->manifest.splits[s].shard_count; i++) {
            verify_shard(verify, cache, (enum split)s, i);
            progress_update(&verify->progress, ++done, NULL);
            if (interrupt_requested()) {
                progress_end(&verify->progress);
                return error_set(err, STATUS_INTERRUPTED, cache->path, "stopped after %zu of %zu shards", done, total);
            }
        }
    }
    progress_end(&verify->progress);
    return STATUS_OK;
}

enum status verify_command(int argc, char **argv, struct error *err)
{
    struct verify verify = {0};
    struct cache cache = {0};
    enum status status = STATUS_OK;
    const struct option_spec specs[] = {
        {"cache", OPTION_POSITIONAL, &verify.path, "CACHE", NULL, "the cache", .required = true},
        {"data", OPTION_STRING, &verify.data, "DIR", NULL,
         "where the photos of a cache with linked images are now, if they have moved"},
        {"hdf5", OPTION_FLAG, &verify.hdf5, NULL, NULL,
         "also ask libhdf5, in a process that may only read, whether it finds the same data sets in the same places"},
        {"json", OPTION_FLAG, &verify.json, NULL, NULL, "print JSON"},
        {"quiet", OPTION_FLAG, &verify.quiet, NULL, NULL, "no progress"},
    };
    struct options options = {.command = "teacher_dump verify",
                              .summary = "Checks size, digest and content of every shard.",
                              .specs = specs,
                              .count = sizeof specs / sizeof *specs};
    TRY(options_parse(&options, argc, argv, err));
    if (options.help) {
        options_print_help(&options, stdout);
        goto cleanup;
    }
    progress_init(&verify.progress, stderr, verify.quiet || verify.json);
    verify.list = cJSON_CreateArray();
    TRY(cache_open(&cache, verify.path, err));
    TRY(cache_set_data(&cache, verify.data, err));
    TRY(verify_all(&verify, &cache, err));
    if (verify.json) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddNumberToObject(object, "shards", verify.shards);
        json_add(object, "faults", verify.list);
        verify.list = NULL;
        TRY(summary_print_json(object, err));
    } else if (verify.faults == 0) {
        printf("%s: %d shards, all as the manifest says\n", verify.path, verify.shards);
    }
    if (verify.faults)
        status =
            error_set(err, STATUS_BAD_DATA, verify.path,
                      "%d faults: `teacher_dump run` with the same settings makes broken shards again", verify.faults);
cleanup:
    cJSON_Delete(verify.list);
    cache_release(&cache);
    options_release(&options);
    return status;
}
