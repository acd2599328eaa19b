/* Speed of what both programs do with the files of a cache, on all of their threads: photos decoded to base images,
 * views rendered from these, a shard read, a shard written. All calls are those of the programs, so reading checks
 * size, SHA-256 and every value, and writing decodes the shard again, compares it, and waits for the disk.
 *
 * usage: bench_cache --cache CACHE --work FOLDER [options]; --help lists them
 *
 * For each line of the standard input that says decode, render, read or write, one line of JSON: images of the training
 * split's first shard a second and a processor second. scripts/bench_cpu.py asks in turn with other programs. */
#define _POSIX_C_SOURCE 200809L
#include "shared/base/clock.h"
#include "shared/base/options.h"
#include "student_train/trainer/dataset.h"
#include "tests/helper_images.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 128 };

struct settings {
    const char *cache, *work;
    double seconds;
    int size, threads;
};

struct bench {
    struct cache cache;
    struct compute compute;
    struct cache_shard shard;
    struct dataset dataset;   /* of the training split, when views are rendered */
    struct view views[BATCH]; /* of one step */
    uint32_t samples[BATCH], cursor;
    float *out;                                     /* [BATCH, size, size, channels] */
    char work[4096];                                /* where shards are written, a new folder each time */
    struct cache_manifest plain;                    /* the cache's, without what is known of published shards */
    struct cache_shard_entry *entries[SPLIT_COUNT]; /* of plain */
};

static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static enum status decode_one(void *context, int index, int worker, struct error *err)
{
    const struct bench *bench = context;
    const struct cache_shard *shard = &bench->shard;
    enum status status = STATUS_OK;
    struct image image = {0};
    const uint8_t *bytes;
    uint8_t *owned = NULL;
    size_t size;
    (void)worker;
    TRY(cache_image(&bench->cache, shard, (uint32_t)index, &bytes, &size, &owned, err));
    TRY(cache_base_image(&bench->cache.manifest, bytes, size, shard->names[index], &image, err));
cleanup:
    free(owned);
    image_release(&image);
    return status;
}

static enum status decode(struct bench *bench, uint32_t *images, struct error *err)
{
    *images = bench->shard.count;
    return thread_pool_try(bench->compute.pool, (int)bench->shard.count, decode_one, bench, err);
}

static enum status render(struct bench *bench, uint32_t *images, struct error *err)
{
    struct dataset *dataset = &bench->dataset;
    const struct epoch_views views = {
        .batch = BATCH, .cursor = &bench->cursor, .views = bench->views, .samples = bench->samples};
    *images = BATCH;
    return backend_cpu.device->images->render(bench->compute.device, dataset->images, &views, BATCH,
                                              dataset->cache_views.size, dataset->cache_views.table, DTYPE_FP32,
                                              bench->out, err);
}

static enum status read_shard(struct bench *bench, uint32_t *images, struct error *err)
{
    struct cache_shard shard = {0};
    const enum status status =
        cache_read_shard(&bench->cache, SPLIT_TRAIN, 0, CACHE_READ_IMAGES | CACHE_READ_FEATURES, &shard, err);
    *images = shard.count;
    cache_shard_release(&shard);
    return status;
}

static enum status write_shard(struct bench *bench, uint32_t *images, struct error *err)
{
    struct cache_writer *writer = NULL;
    struct cache_claim claim = {0};
    enum status status = STATUS_OK;
    remove_folder(bench->work);
    TRY(cache_writer_open(&writer, bench->work, &bench->plain, err));
    if (bench->plain.kernel_count > 0)
        TRY(cache_writer_join(writer, bench->plain.kernels[0], false, err));
    TRY(cache_writer_claim(writer, SPLIT_TRAIN, 0, &claim, err));
    TRY(cache_writer_put(writer, &claim, &bench->shard, bench->compute.pool, err));
    *images = bench->shard.count;
cleanup:
    cache_writer_close(writer);
    return status;
}

/* As a writer takes it: the layout alone. */
static enum status forget_published(struct bench *bench, struct error *err)
{
    bench->plain = bench->cache.manifest;
    for (int s = 0; s < SPLIT_COUNT; s++) {
        struct cache_split *split = &bench->plain.splits[s];
        bench->entries[s] = calloc((size_t)split->shard_count + 1, sizeof *bench->entries[s]);
        if (!bench->entries[s])
            return error_no_memory(err, sizeof *bench->entries[s], "a list of shards");
        for (int i = 0; i < split->shard_count; i++) {
            const struct cache_shard_entry *from = &split->shards[i];
            bench->entries[s][i] =
                (struct cache_shard_entry){.file = from->file, .first = from->first, .count = from->count};
        }
        split->shards = bench->entries[s];
    }
    return STATUS_OK;
}

static enum status bench_init(struct bench *bench, const struct settings *s, struct error *err)
{
    const struct compute_options compute = {.device = "cpu", .threads = s->threads};
    enum status status = STATUS_OK;
    struct progress progress;
    progress_init(&progress, stderr, true);
    snprintf(bench->work, sizeof bench->work, "%s/written", s->work);
    TRY(cache_open(&bench->cache, s->cache, err));
    TRY(compute_open(&bench->compute, &compute, NULL, err));
    TRY(cache_read_shard(&bench->cache, SPLIT_TRAIN, 0, CACHE_READ_IMAGES | CACHE_READ_FEATURES, &bench->shard, err));
    TRY(forget_published(bench, err));
    TRY(dataset_load(&bench->dataset, &bench->cache, SPLIT_TRAIN, DATASET_TRAINING, s->size, &bench->compute, &progress,
                     err));
    for (int i = 0; i < BATCH; i++) {
        bench->samples[i] = (uint32_t)i % bench->dataset.count;
        dataset_view(&bench->dataset, bench->samples[i], i % bench->dataset.views, &bench->views[i]);
    }
    TRY(memory_new((void **)&bench->out, (size_t)BATCH * (size_t)s->size * (size_t)s->size * 3, sizeof *bench->out,
                   "views", err));
cleanup:
    return status;
}

static void bench_release(struct bench *bench)
{
    dataset_release(&bench->dataset);
    cache_shard_release(&bench->shard);
    compute_release(&bench->compute);
    cache_release(&bench->cache);
    for (int s = 0; s < SPLIT_COUNT; s++)
        free(bench->entries[s]);
    memory_free(bench->out);
}

static enum status measure(struct bench *bench, const char *name, double seconds, struct error *err)
{
    static const struct {
        const char *name;
        enum status (*run)(struct bench *bench, uint32_t *images, struct error *err);
    } kinds[] = {{"decode", decode}, {"render", render}, {"read", read_shard}, {"write", write_shard}};
    enum status status = STATUS_OK;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        double images = 0;
        uint32_t one;
        if (strcmp(name, kinds[k].name) != 0)
            continue;
        TRY(kinds[k].run(bench, &one, err)); /* touches memory */
        const double wall = clock_seconds(), processor = processor_seconds();
        do {
            TRY(kinds[k].run(bench, &one, err));
            images += one;
        } while (clock_seconds() - wall < seconds);
        printf("{\"images_per_second\": %.3f, \"images_per_processor_second\": %.3f}\n",
               images / (clock_seconds() - wall), images / (processor_seconds() - processor));
        fflush(stdout);
        return STATUS_OK;
    }
    FAIL(error_set(err, STATUS_USAGE, NULL, "'%s' is none of decode, render, read, write", name));
cleanup:
    return status;
}

static enum status run(const struct settings *s, struct error *err)
{
    enum status status = STATUS_OK;
    struct bench bench = {0};
    char line[64];
    TRY(bench_init(&bench, s, err));
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        TRY(measure(&bench, line, s->seconds, err));
    }
cleanup:
    bench_release(&bench);
    return status;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct settings s = {0};
    const struct option_spec specs[] = {
        {"cache", OPTION_STRING, &s.cache, "CACHE", NULL, "a cache of photos with three channels", .required = true},
        {"work", OPTION_STRING, &s.work, "FOLDER", NULL, "where shards are written", .required = true},
        {"size", OPTION_INT, &s.size, "N", "224", "side of the views", .minimum = 1, .maximum = 4096},
        {"seconds", OPTION_FLOAT, &s.seconds, "X", "1", "how long to measure", .minimum = 0, .maximum = 1e6},
        {"threads", OPTION_INT, &s.threads, "N", "0", "0: all processors", .minimum = 0, .maximum = 1024},
    };
    struct options options = {.command = "bench_cache",
                              .summary = "speed of decoding, rendering, reading and writing",
                              .specs = specs,
                              .count = sizeof specs / sizeof *specs};
    enum status status = options_parse(&options, argc, argv, &err);
    if (status == STATUS_OK && options.help)
        options_print_help(&options, stdout);
    else if (status == STATUS_OK)
        status = run(&s, &err);
    if (status != STATUS_OK)
        fprintf(stderr, "bench_cache: %s%s%s\n", err.path, err.path[0] ? ": " : "", err.message);
    options_release(&options);
    return status;
}
