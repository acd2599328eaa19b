/* The pre-pass over a data set. Images are read and decoded in parallel, one chunk after the other; the results of a
 * chunk are then processed in order, so that nothing depends on the threads. */
#define _GNU_SOURCE
#include "formats/datasets/image_source.h"

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
    bool salvaged;
    struct image_info info;
};

struct chunk {
    const struct image_source *source;
    struct image_coding coding;
    enum split split;
    size_t first;
    struct result *results;
};

/* Decodes strictly first, so that there is a reason for what is salvaged. */
static enum status check_pixels(const struct image_coding *coding, const uint8_t *bytes, const char *name,
                                struct result *result, struct error *err)
{
    enum status status = STATUS_OK;
    struct image image = {0};
    struct image_coding strict = *coding;
    struct image_info info = {.orientation = 1};
    struct error salvage_err = {0};
    strict.reading.salvage = false;
    if (coding->encoding != IMAGE_RAW)
        TRY(image_file_inspect(bytes, result->size, name, &info, err));
    status = image_decode(&strict, bytes, result->size, name, &image, err);
    if (status == STATUS_BAD_DATA && coding->reading.salvage) {
        result->salvaged = image_decode(coding, bytes, result->size, name, &image, &salvage_err) == STATUS_OK;
        status = result->salvaged ? STATUS_OK : status;
    }
    TRY(status);
    if (image.w > (int64_t)IMAGE_MAX_ASPECT * image.h || image.h > (int64_t)IMAGE_MAX_ASPECT * image.w)
        FAIL(error_set(err, STATUS_BAD_DATA, name, "%d x %d pixels: one side may be at most %d times the other",
                       image.h, image.w, IMAGE_MAX_ASPECT));
    result->info = info;
    result->info.h = image.h;
    result->info.w = image.w;
cleanup:
    image_release(&image);
    return status;
}

/* A bad image is a result, not an error. A disk that fails is one: it says nothing about the image. */
static enum status check_image(void *context, int task, int worker, struct error *err)
{
    (void)worker;
    const struct chunk *chunk = context;
    const struct image_source *source = chunk->source;
    const size_t index = chunk->first + (size_t)task;
    const char *name = source->sets[chunk->split].samples[index].name;
    struct result *result = &chunk->results[task];
    struct error problem = {0};
    enum status status = STATUS_OK;
    uint8_t *bytes = NULL;
    *result = (struct result){.digest = "unreadable", .info = {.orientation = 1}};
    TRY(image_source_read(source, chunk->split, index, &bytes, &result->size, &problem));
    digest_bytes(bytes, result->size, result->digest);
    TRY(check_pixels(&chunk->coding, bytes, name, result, &problem));
cleanup:
    free(bytes);
    if (status == STATUS_OK && !result->salvaged)
        return STATUS_OK;
    if (problem.code == STATUS_INTERNAL || problem.code == STATUS_CONFIG || problem.code == STATUS_IO)
        return error_set(err, problem.code, name, "%s", problem.message);
    result->reason = strdup(problem.message);
    return result->reason ? STATUS_OK : error_no_memory(err, strlen(problem.message), name);
}

/* Takes over the result's reason. */
static enum status add_problem(struct image_scan *scan, enum split split, size_t index, bool salvaged, char *reason,
                               struct error *err)
{
    enum status status = array_grow(&scan->problems, sizeof *scan->problems, scan->problem_count,
                                    &scan->problem_capacity, "the list of bad images", err);
    if (status != STATUS_OK) {
        free(reason);
        return status;
    }
    scan->problems[scan->problem_count++] =
        (struct image_problem){.split = split, .index = index, .reason = reason, .salvaged = salvaged};
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
    const struct image_info *info = &result->info;
    scan->rotated += info->orientation != 1;
    scan->gray += info->gray;
    scan->cmyk += info->cmyk;
    scan->alpha += info->alpha;
    scan->deep_gray += info->deep_gray;
    if (info->h > scan->max_h)
        scan->max_h = info->h;
    if (info->w > scan->max_w)
        scan->max_w = info->w;
    int length = snprintf(line, sizeof line, "%d %zu %s\n", sample->label, result->size, result->digest);
    digest_update(digest, sample->name, strlen(sample->name) + 1);
    digest_update(digest, line, (size_t)length);
    if (!result->reason)
        return STATUS_OK;
    char *reason = result->reason;
    result->reason = NULL;
    return add_problem(scan, chunk->split, chunk->first + task, result->salvaged, reason, err);
}

/* Checks one chunk of images on all threads and adds the results to the scan in order; always frees what they own. */
static enum status check_chunk(struct image_scan *scan, struct digest *digest, struct chunk *chunk, size_t count,
                               struct thread_pool *pool, struct error *err)
{
    enum status status = STATUS_OK;
    memset(chunk->results, 0, count * sizeof *chunk->results);
    TRY(thread_pool_try(pool, (int)count, check_image, chunk, err));
    for (size_t i = 0; i < count; i++)
        TRY(take_result(scan, digest, chunk, i, err));
cleanup:
    for (size_t i = 0; i < count; i++)
        free(chunk->results[i].reason);
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

enum status image_source_scan(const struct image_source *source, const struct image_reading *reading, int threads,
                              bool (*progress)(void *, size_t, size_t), void *context, struct image_scan *scan,
                              struct error *err)
{
    enum status status = STATUS_OK;
    struct thread_pool *pool = NULL;
    struct digest *digest = NULL;
    struct chunk chunk = {.source = source,
                          .coding = {source->encoding, source->h, source->w, source->channels, *reading}};
    const size_t total = count_samples(source);
    size_t done = 0;
    *scan = (struct image_scan){0};
    TRY(allocate_sizes(source, scan, err));
    TRY(thread_pool_new(&pool, threads, err));
    TRY(digest_new(&digest, err));
    const size_t capacity = (size_t)thread_pool_size(pool) * CHUNK_PER_THREAD;
    chunk.results = calloc(capacity, sizeof *chunk.results);
    if (!chunk.results)
        FAIL(error_no_memory(err, capacity * sizeof *chunk.results, "the check of the images"));
    for (int split = 0; split < SPLIT_COUNT; split++) {
        const size_t samples = source->sets[split].count;
        chunk.split = (enum split)split;
        for (chunk.first = 0; chunk.first < samples; chunk.first += capacity) {
            size_t count = samples - chunk.first < capacity ? samples - chunk.first : capacity;
            TRY(check_chunk(scan, digest, &chunk, count, pool, err));
            done += count;
            if (progress && !progress(context, done, total))
                FAIL(error_set(err, STATUS_INTERRUPTED, source->path, "interrupted while checking the images"));
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
