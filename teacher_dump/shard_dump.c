#define _POSIX_C_SOURCE 200809L
#include "teacher_dump/shard_dump.h"

#include "shared/base/digest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The images that the current batch needs: a window that moves over the shard, sample i in slot i % slots. */
struct window {
    const struct dump_job *job;
    struct cache_shard *content;
    struct prepared_image *images; /* [slots] */
    uint32_t slots;
    uint32_t first, next; /* samples [first, next) are prepared */
    struct task_errors errors;
};

static const struct image_sample *sample_of(const struct dump_job *job, const struct cache_shard *content, uint32_t i)
{
    return &job->source.sets[content->split].samples[content->ids[i]];
}

/* ids, labels, names, and where each image will lie. */
static enum status list_samples(const struct dump_job *job, struct cache_shard *content, struct error *err)
{
    const uint64_t *sizes = job->scan.sizes[content->split];
    uint64_t total = 0;
    for (uint32_t i = 0; i < content->count; i++) {
        content->ids[i] = job->kept[content->split][content->first + i];
        const struct image_sample *sample = sample_of(job, content, i);
        content->labels[i] = sample->label;
        if (strlen(sample->name) >= CACHE_NAME_SIZE)
            return error_set(err, STATUS_BAD_DATA, sample->name, "names may have at most %d bytes",
                             CACHE_NAME_SIZE - 1);
        memcpy(content->names[i], sample->name, strlen(sample->name));
        total += sizes[content->ids[i]];
        if (content->image_offsets)
            content->image_offsets[i + 1] = total;
        else
            content->link_sizes[i] = sizes[content->ids[i]];
    }
    if (content->image_offsets) {
        content->image_bytes = malloc(total ? (size_t)total : 1);
        if (!content->image_bytes)
            return error_no_memory(err, (size_t)total, "the images of a shard");
    }
    return STATUS_OK;
}

/* Keeps the stored bytes, or the digest of a linked file. */
static enum status keep_image(struct cache_shard *content, uint32_t i, const uint8_t *bytes, size_t size,
                              struct error *err)
{
    uint64_t expected =
        content->image_offsets ? content->image_offsets[i + 1] - content->image_offsets[i] : content->link_sizes[i];
    if (size != expected)
        return error_set(err, STATUS_BAD_DATA, content->names[i],
                         "has changed since the images were checked: run again");
    if (content->image_offsets) {
        memcpy(content->image_bytes + content->image_offsets[i], bytes, size);
        return STATUS_OK;
    }
    char digest[DIGEST_HEX_SIZE];
    digest_bytes(bytes, size, digest);
    for (int b = 0; b < 32; b++) {
        const char pair[3] = {digest[2 * b], digest[2 * b + 1], 0};
        content->link_digests[i][b] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return STATUS_OK;
}

static void prepare_task(void *context, int index, int worker)
{
    (void)worker;
    struct window *window = context;
    struct cache_shard *content = window->content;
    uint32_t i = window->next + (uint32_t)index;
    enum status status = STATUS_OK;
    struct error err = {0};
    uint8_t *bytes = NULL;
    size_t size;
    TRY(image_source_read(&window->job->source, content->split, content->ids[i], &bytes, &size, &err));
    TRY(keep_image(content, i, bytes, size, &err));
    TRY(prepared_image_make(&window->images[i % window->slots], &window->job->manifest, bytes, size, content->names[i],
                            &err));
cleanup:
    free(bytes);
    if (status != STATUS_OK)
        task_errors_add(&window->errors, index, &err);
}

/* Stage 1: prepares samples up to `end` (not included). */
static enum status window_advance(struct window *window, struct thread_pool *pool, uint32_t end, struct error *err)
{
    if (end <= window->next)
        return STATUS_OK;
    task_errors_init(&window->errors);
    thread_pool_run(pool, (int)(end - window->next), prepare_task, window);
    window->next = end;
    return task_errors_finish(&window->errors, err);
}

static void window_drop(struct window *window, uint32_t end)
{
    for (; window->first < end; window->first++)
        prepared_image_release(&window->images[window->first % window->slots]);
}

/* Stages 2 and 3, for views [at, at + count) of the shard in order of sample and view: render and run, then store. */
static enum status run_batch(const struct window *window, struct view_batch *views, struct view_request *requests,
                             size_t at, int count, struct error *err)
{
    enum status status = STATUS_OK;
    struct cache_shard *content = window->content;
    struct view_answers answers;
    size_t per_sample = (size_t)content->views;
    for (int k = 0; k < count; k++) {
        uint32_t i = (uint32_t)((at + (size_t)k) / per_sample);
        requests[k] = (struct view_request){
            .image = &window->images[i % window->slots],
            .split = content->split,
            .id = content->ids[i],
            .view = (uint32_t)((at + (size_t)k) % per_sample),
        };
    }
    TRY(view_batch_submit(views, 0, requests, count, err));
    TRY(view_batch_collect(views, 0, &answers, err));
    for (int k = 0; k < count; k++)
        TRY(view_batch_store(views, &answers, k, content, (uint32_t)((at + (size_t)k) / per_sample),
                             (int)requests[k].view, err));
cleanup:
    return status;
}

enum status shard_dump(const struct dump_job *job, struct view_batch *views, struct thread_pool *pool, enum split split,
                       int shard, shard_progress progress, void *context, struct cache_shard *content,
                       struct error *err)
{
    const struct cache_shard_entry *entry = &job->manifest.splits[split].shards[shard];
    struct window window = {.job = job, .content = content, .slots = (uint32_t)views->batch + 2};
    struct view_request *requests = calloc((size_t)views->batch, sizeof *requests);
    enum status status = STATUS_OK;
    window.images = calloc(window.slots, sizeof *window.images);
    *content = (struct cache_shard){0};
    if (!requests || !window.images) {
        status = error_no_memory(err, window.slots * sizeof *window.images, "a batch");
        goto cleanup;
    }
    TRY(cache_shard_init(content, &job->manifest, split, entry->first, entry->count, err));
    TRY(list_samples(job, content, err));
    size_t per_sample = (size_t)content->views, total = content->count * per_sample;
    for (size_t at = 0; at < total;) {
        int count = total - at < (size_t)views->batch ? (int)(total - at) : views->batch;
        TRY(window_advance(&window, pool, (uint32_t)((at + (size_t)count - 1) / per_sample + 1), err));
        if (cache_has_teacher(&job->manifest))
            TRY(run_batch(&window, views, requests, at, count, err));
        at += (size_t)count;
        window_drop(&window, (uint32_t)(at / per_sample));
        if (!progress(context, at)) {
            status = STATUS_INTERRUPTED;
            goto cleanup;
        }
    }
cleanup:
    if (window.images)
        window_drop(&window, window.next);
    free(window.images);
    free(requests);
    return status;
}
