#define _POSIX_C_SOURCE 200809L
#include "teacher_dump/shard_dump.h"

#include "shared/base/digest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The prepared images of the samples that the current batch needs, as a ring: sample i is in place i % places. */
struct image_ring {
    const struct dump_job *job;
    struct cache_shard *content;
    struct prepared_image *images; /* [places] */
    uint32_t places;
    uint32_t first, next; /* samples [first, next) are prepared */
};

/* A submitted batch: views [at, at + count) of the shard, in order of sample and view. */
struct batch {
    size_t at;
    int count;
};

/* A shard that is being computed. */
struct dump {
    const struct shard_work *work;
    struct cache_shard *content;
    size_t per_sample, total; /* views */
    struct image_ring ring;
    struct view_request *requests; /* [batch] */
    struct batch in_flight[TEACHER_IN_FLIGHT];
    int submitted, collected; /* batches; batch number i is in buffer i % TEACHER_IN_FLIGHT */
};

static const struct image_sample *sample_of(const struct dump_job *job, const struct cache_shard *content, uint32_t i)
{
    return &job->source.sets[content->split].samples[content->ids[i]];
}

/* Fills ids, labels and names, and the place of each image. */
static enum status list_samples(const struct dump_job *job, struct cache_shard *content, struct error *err)
{
    const uint64_t *sizes = job->scan.sizes[content->split];
    uint64_t total = 0;
    for (uint32_t i = 0; i < content->count; i++) {
        content->ids[i] = job->kept[content->split][content->first + i];
        const struct image_sample *sample = sample_of(job, content, i);
        content->labels[i] = sample->label;
        if (strlen(sample->name) >= CACHE_NAME_SIZE)
            return error_set(err, STATUS_BAD_DATA, sample->name, "the name is too long: at most %d bytes are allowed",
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

/* Stores the bytes of an image, or the digest of a linked file. */
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

static enum status prepare_task(void *context, int index, int worker, struct error *err)
{
    (void)worker;
    struct image_ring *ring = context;
    struct cache_shard *content = ring->content;
    uint32_t i = ring->next + (uint32_t)index;
    enum status status = STATUS_OK;
    uint8_t *bytes = NULL;
    size_t size;
    TRY(image_source_read(&ring->job->source, content->split, content->ids[i], &bytes, &size, err));
    TRY(keep_image(content, i, bytes, size, err));
    TRY(prepared_image_make(&ring->images[i % ring->places], &ring->job->manifest, bytes, size, content->names[i],
                            err));
cleanup:
    free(bytes);
    return status;
}

/* Prepares the samples before `end`, and a few more if threads would be idle otherwise. */
static enum status ring_advance(struct image_ring *ring, struct thread_pool *pool, uint32_t end, struct error *err)
{
    if (end <= ring->next)
        return STATUS_OK;
    uint32_t busy = ring->next + (uint32_t)thread_pool_size(pool);
    end = end > busy ? end : busy < ring->content->count ? busy : ring->content->count;
    const enum status status = thread_pool_try(pool, (int)(end - ring->next), prepare_task, ring, err);
    ring->next = end;
    return status;
}

static void ring_drop(struct image_ring *ring, uint32_t end)
{
    for (; ring->first < end; ring->first++)
        prepared_image_release(&ring->images[ring->first % ring->places]);
}

/* Fills the request for view `at` of the shard, except its partner's image. */
static void fill_request(const struct dump *dump, size_t at, struct view_request *request)
{
    const struct cache_shard *content = dump->content;
    const struct dump_job *job = dump->work->job;
    const uint32_t i = (uint32_t)(at / dump->per_sample);
    *request = (struct view_request){
        .image = &dump->ring.images[i % dump->ring.places],
        .which = {.split = content->split,
                  .sample = content->first + i,
                  .id = content->ids[i],
                  .number = cache_view_number(content->split, (int)(at % dump->per_sample))},
    };
    cache_view_mix(&dump->work->views->cache_views, &request->which, job->kept[content->split], &request->mix,
                   &request->partner);
}

/* Submits the next views to the device. */
static enum status submit(struct dump *dump, size_t at, int count, struct error *err)
{
    const struct shard_work *work = dump->work;
    const int buffer = dump->submitted % TEACHER_IN_FLIGHT;
    enum status status = STATUS_OK;
    for (int k = 0; k < count; k++)
        fill_request(dump, at + (size_t)k, &dump->requests[k]);
    if (work->partners)
        TRY(partner_images_find(work->partners, work->pool, dump->requests, count, err));
    dump->in_flight[buffer] = (struct batch){at, count};
    dump->submitted++;
    status = view_batch_submit(work->views, buffer, dump->requests, count, err);
cleanup:
    return status;
}

struct store_job {
    const struct dump *dump;
    const struct batch *batch;
    struct view_answers answers;
};

static enum status store_task(void *context, int k, int worker, struct error *err)
{
    (void)worker;
    const struct store_job *job = context;
    const struct dump *dump = job->dump;
    const size_t number = job->batch->at + (size_t)k;
    return view_batch_store(dump->work->views, &job->answers, k, dump->content, (uint32_t)(number / dump->per_sample),
                            (int)(number % dump->per_sample), err);
}

/* Waits for the oldest batch and stores its answers. */
static enum status collect(struct dump *dump, struct error *err)
{
    enum status status = STATUS_OK;
    int buffer = dump->collected++ % TEACHER_IN_FLIGHT;
    struct store_job job = {.dump = dump, .batch = &dump->in_flight[buffer]};
    TRY(view_batch_collect(dump->work->views, buffer, &job.answers, err));
    TRY(thread_pool_try(dump->work->pool, job.batch->count, store_task, &job, err));
cleanup:
    return status;
}

static enum status tell_progress(const struct dump *dump, size_t done)
{
    return dump->work->progress(dump->work->context, done) ? STATUS_OK : STATUS_INTERRUPTED;
}

static enum status run_batches(struct dump *dump, struct error *err)
{
    const struct shard_work *work = dump->work;
    bool teacher = cache_has_teacher(&work->job->manifest);
    size_t batch = (size_t)work->views->batch;
    enum status status = STATUS_OK;
    for (size_t at = 0; at < dump->total; at += batch) {
        size_t end = dump->total - at < batch ? dump->total : at + batch;
        TRY(ring_advance(&dump->ring, work->pool, (uint32_t)((end - 1) / dump->per_sample + 1), err));
        if (teacher && dump->submitted - dump->collected == TEACHER_IN_FLIGHT)
            TRY(collect(dump, err));
        if (teacher)
            TRY(submit(dump, at, (int)(end - at), err));
        ring_drop(&dump->ring, (uint32_t)(end / dump->per_sample));
        TRY(tell_progress(dump, end));
    }
    while (dump->collected < dump->submitted)
        TRY(collect(dump, err));
cleanup:
    return status;
}

enum status shard_dump(const struct shard_work *work, enum split split, int shard, struct cache_shard *content,
                       struct error *err)
{
    const struct dump_job *job = work->job;
    const struct cache_shard_entry *entry = &job->manifest.splits[split].shards[shard];
    uint32_t places = (uint32_t)work->views->batch + (uint32_t)thread_pool_size(work->pool) + 1;
    struct dump dump = {.work = work, .content = content, .ring = {.job = job, .content = content, .places = places}};
    enum status status = STATUS_OK;
    dump.requests = calloc((size_t)work->views->batch, sizeof *dump.requests);
    dump.ring.images = calloc(places, sizeof *dump.ring.images);
    *content = (struct cache_shard){0};
    if (!dump.requests || !dump.ring.images)
        FAIL(error_no_memory(err, places * sizeof *dump.ring.images, "a batch"));
    TRY(cache_shard_init(content, &job->manifest, split, entry->first, entry->count, err));
    TRY(list_samples(job, content, err));
    dump.per_sample = (size_t)content->views;
    dump.total = content->count * dump.per_sample;
    TRY(run_batches(&dump, err));
cleanup:
    if (dump.ring.images)
        ring_drop(&dump.ring, dump.ring.next);
    free(dump.ring.images);
    free(dump.requests);
    return status;
}
