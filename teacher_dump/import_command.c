/* The command `import`: options, the shards one after the other, and the report. */
#include "teacher_dump/commands.h"

#include "shared/base/interrupt.h"
#include "shared/base/options.h"
#include "teacher_dump/import_job.h"
#include "teacher_dump/summary.h"

struct import {
    const char *out;
    int threads;
    bool json, quiet;
    struct progress progress;
    struct import_job job;
    struct cache_writer *writer;
    struct thread_pool *pool;
};

static enum status do_shard(struct import *import, enum split split, int shard, struct error *err)
{
    enum status status = STATUS_OK;
    struct cache_shard content = {0};
    struct cache_claim claim = {0};
    TRY(cache_writer_claim(import->writer, split, shard, &claim, err));
    if (claim.state == CACHE_CLAIMED) {
        TRY(import_job_shard(&import->job, split, shard, &content, err));
        TRY(cache_writer_put(import->writer, &claim, &content, import->pool, err));
    }
    if (interrupt_requested())
        status = error_set(err, STATUS_INTERRUPTED, import->out,
                           "finished shards are kept: run the same command again to resume");
cleanup:
    cache_writer_unclaim(&claim);
    cache_shard_release(&content);
    return status;
}

static enum status do_shards(struct import *import, struct error *err)
{
    const struct cache_manifest *manifest = &import->job.manifest;
    enum status status = STATUS_OK;
    size_t total = 0, done = 0;
    for (int s = 0; s < SPLIT_COUNT; s++)
        total += (size_t)manifest->splits[s].shard_count;
    progress_begin(&import->progress, "import", "shards", total, 0);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        for (int i = 0; i < manifest->splits[s].shard_count; i++) {
            TRY(do_shard(import, (enum split)s, i, err));
            progress_update(&import->progress, ++done, NULL);
        }
    }
cleanup:
    progress_end(&import->progress);
    return status;
}

static enum status report(const struct import *import, int missing, struct error *err)
{
    enum status status = STATUS_OK;
    struct cache cache = {0};
    if (missing)
        return error_set(err, STATUS_LOCKED, import->out,
                         "another process works on %d of its shards: run the same command again when it has ended",
                         missing);
    TRY(cache_open(&cache, import->out, err));
    if (import->json) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "cache", import->out);
        cJSON_AddStringToObject(object, "teacher", cache.manifest.teacher_file);
        summary_to_json(&cache.manifest, object);
        TRY(summary_print_json(object, err));
    } else {
        printf("%s: complete, with the answers of %s\n", import->out, cache.manifest.teacher_file);
        summary_print(&cache.manifest, stdout);
    }
cleanup:
    cache_release(&cache);
    return status;
}

static enum status fill_cache(struct import *import, struct error *err)
{
    enum status status = STATUS_OK;
    int missing;
    TRY(import_job_open(&import->job, &import->progress, err));
    TRY(thread_pool_new(&import->pool, import->threads, err));
    TRY(cache_writer_open(&import->writer, import->out, &import->job.manifest, err));
    TRY(do_shards(import, err));
    TRY(cache_writer_publish(import->writer, &missing, err));
    TRY(report(import, missing, err));
cleanup:
    return status;
}

enum status import_command(int argc, char **argv, struct error *err)
{
    struct import import = {0};
    enum status status = STATUS_OK;
    const struct option_spec specs[] = {
        {"cache", OPTION_STRING, &import.job.photos_path, "CACHE", NULL,
         "the cache that the answers were written for, such as one of `run --teacher none`", .required = true},
        {"answers", OPTION_STRING, &import.job.answers_path, "DIR", NULL,
         "the answers, as the Python package softcache writes them (python/README.md)", .required = true},
        {"out", OPTION_STRING, &import.out, "CACHE", NULL, "the new cache's folder; an unfinished one is resumed",
         .required = true},
        {"threads", OPTION_INT, &import.threads, "N", "0", "0: all processors; does not change results", .minimum = 0,
         .maximum = 1024},
        {"json", OPTION_FLAG, &import.json, NULL, NULL, "print the summary as JSON"},
        {"quiet", OPTION_FLAG, &import.quiet, NULL, NULL, "no progress"},
    };
    struct options options = {.command = "teacher_dump import",
                              .summary = "Makes a cache from photos and from the answers of a teacher that another "
                                         "program ran on their views.",
                              .specs = specs,
                              .count = sizeof specs / sizeof *specs};
    TRY(options_parse(&options, argc, argv, err));
    if (options.help) {
        options_print_help(&options, stdout);
        goto cleanup;
    }
    progress_init(&import.progress, stderr, import.quiet || import.json);
    TRY(fill_cache(&import, err));
cleanup:
    cache_writer_close(import.writer);
    thread_pool_free(import.pool);
    import_job_release(&import.job);
    options_release(&options);
    return status;
}
