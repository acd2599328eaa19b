/* The pre-pass over a data set. Images are read and decoded in parallel, chunk by chunk; the results of a chunk are
 * then taken in order, so that nothing depends on which thread did what. */
#define _GNU_SOURCE
#include "formats/datasets/image_source.h"

#include "formats/image/jpeg.h"
#include "shared/base/digest.h"
#include "shared/base/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_PER_THREAD = 32 };

struct result {
    char digest[DIGEST_HEX_SIZE];
    size_t size;
    char *reason; /* malloc'ed; NULL for a good image */
    int h, w, components, orientation;
    bool no_memory;
};

struct chunk {
    const struct image_source *source;
    enum split split;
    size_t first;
    struct result *results;
};

static void note_failure(struct result *result, const struct error *err)
{
    result->reason = strdup(err->message);
    result->no_memory = err->code == STATUS_INTERNAL || !result->reason;
}

static void check_image(void *context, int task, int worker)
{
    (void)worker;
    const struct chunk *chunk = context;
    const struct image_source *source = chunk->source;
    const size_t index = chunk->first + (size_t)task;
    const char *name = source->sets[chunk->split].samples[index].name;
    struct result *result = &chunk->results[task];
    struct error err = {0};
    struct image image = {0};
    struct jpeg_info info = {.orientation = 1};
    uint8_t *bytes = NULL;
    *result = (struct result){.digest = "unreadable", .orientation = 1};
    if (image_source_read(source, chunk->split, index, &bytes, &result->size, &err) != STATUS_OK) {
        note_failure(result, &err);
        return;
    }
    digest_bytes(bytes, result->size, result->digest);
    if ((source->encoding == IMAGE_JPEG && jpeg_inspect(bytes, result->size, name, &info, &err) != STATUS_OK) ||
        image_decode(source->encoding, source->h, source->w, source->channels, bytes, result->size, name, &image,
                     &err) != STATUS_OK)
        note_failure(result, &err);
    else if (image.w > (int64_t)IMAGE_MAX_ASPECT * image.h || image.h > (int64_t)IMAGE_MAX_ASPECT * image.w) {
        error_set(&err, STATUS_BAD_DATA, name, "%d x %d pixels: sides may differ %d-fold at most", image.h, image.w,
                  IMAGE_MAX_ASPECT);
        note_failure(result, &err);
    }
    if (!result->reason) {
        result->h = image.h;
        result->w = image.w;
        result->components = info.components;
        result->orientation = info.orientation;
    }
    image_release(&image);
    free(bytes);
}

/* Takes the result's reason over. */
static enum status add_problem(struct image_scan *scan, enum split split, size_t index, char *reason, struct error *err)
{
    struct image_problem *larger = realloc(scan->problems, (scan->problem_count + 1) * sizeof *larger);
    if (!larger) {
        free(reason);
        return error_no_memory(err, sizeof *larger, "the list of bad images");
    }
    scan->problems = larger;
    scan->problems[scan->problem_count++] = (struct image_problem){.split = split, .index = index, .reason = reason};
    return STATUS_OK;
}

static enum status take_result(struct image_scan *scan, struct digest *digest, const struct chunk *chunk, size_t task,
                               struct error *err)
{
    struct result *result = &chunk->results[task];
    const struct image_sample *sample = &chunk->source->sets[chunk->split].samples[chunk->first + task];
    char line[128];
    scan->total_bytes += result->size;
    scan->sizes[chunk->split][chunk->first + task] = result->size;
    scan->rotated += result->orientation != 1;
    scan->gray += result->components == 1;
    scan->cmyk += result->components == 4;
    if (result->h > scan->max_h)
        scan->max_h = result->h;
    if (result->w > scan->max_w)
        scan->max_w = result->w;
    int length = snprintf(line, sizeof line, "%d %zu %s\n", sample->label, result->size, result->digest);
    digest_update(digest, sample->name, strlen(sample->name) + 1);
    digest_update(digest, line, (size_t)length);
    if (!result->reason)
        return STATUS_OK;
    char *reason = result->reason;
    result->reason = NULL;
    return add_problem(scan, chunk->split, chunk->first + task, reason, err);
}

/* Takes all results in order; frees what they own whatever happens. */
static enum status take_results(struct image_scan *scan, struct digest *digest, const struct chunk *chunk, size_t count,
                                struct error *err)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count; i++) {
        if (status == STATUS_OK && chunk->results[i].no_memory)
            status = error_no_memory(err, chunk->results[i].size,
                                     chunk->source->sets[chunk->split].samples[chunk->first + i].name);
        if (status == STATUS_OK)
            status = take_result(scan, digest, chunk, i, err);
        free(chunk->results[i].reason);
    }
    return status;
}

static enum status allocate_sizes(const struct image_source *source, struct image_scan *scan, struct error *err)
{
    for (int split = 0; split < SPLIT_COUNT; split++) {
        size_t samples = source->sets[split].count;
        if (samples && !(scan->sizes[split] = calloc(samples, sizeof *scan->sizes[split])))
            return error_no_memory(err, samples * sizeof *scan->sizes[split], "the check of the images");
    }
    return STATUS_OK;
}

static size_t count_samples(const struct image_source *source)
{
    size_t total = 0;
    for (int split = 0; split < SPLIT_COUNT; split++)
        total += source->sets[split].count;
    return total;
}

enum status image_source_scan(const struct image_source *source, int threads, bool (*progress)(void *, size_t, size_t),
                              void *context, struct image_scan *scan, struct error *err)
{
    enum status status = STATUS_OK;
    struct thread_pool *pool = NULL;
    struct digest *digest = NULL;
    struct chunk chunk = {.source = source};
    const size_t total = count_samples(source);
    size_t done = 0;
    *scan = (struct image_scan){0};
    TRY(allocate_sizes(source, scan, err));
    TRY(thread_pool_new(&pool, threads, err));
    TRY(digest_new(&digest, err));
    const size_t capacity = (size_t)thread_pool_size(pool) * CHUNK_PER_THREAD;
    chunk.results = calloc(capacity, sizeof *chunk.results);
    if (!chunk.results)
        TRY(error_no_memory(err, capacity * sizeof *chunk.results, "the check of the images"));
    for (int split = 0; split < SPLIT_COUNT; split++) {
        const size_t samples = source->sets[split].count;
        chunk.split = (enum split)split;
        for (chunk.first = 0; chunk.first < samples; chunk.first += capacity) {
            size_t count = samples - chunk.first < capacity ? samples - chunk.first : capacity;
            thread_pool_run(pool, (int)count, check_image, &chunk);
            TRY(take_results(scan, digest, &chunk, count, err));
            done += count;
            if (progress && !progress(context, done, total))
                TRY(error_set(err, STATUS_INTERRUPTED, source->path, "interrupted while checking the images"));
        }
    }
cleanup:
    if (digest)
        digest_finish(digest, scan->digest);
    thread_pool_free(pool);
    free(chunk.results);
    if (status != STATUS_OK)
        image_scan_release(scan);
    return status;
}

void image_scan_release(struct image_scan *scan)
{
    for (size_t i = 0; i < scan->problem_count; i++)
        free(scan->problems[i].reason);
    for (int split = 0; split < SPLIT_COUNT; split++)
        free(scan->sizes[split]);
    free(scan->problems);
    *scan = (struct image_scan){0};
}
