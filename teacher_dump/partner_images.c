#define _POSIX_C_SOURCE 200809L
#include "teacher_dump/partner_images.h"

#include "shared/base/memory.h"
#include <stdlib.h>
#include <unistd.h>

struct partner_images {
    const struct dump_job *job;
    struct prepared_image **images; /* [samples of the split] NULL: not in memory */
    uint64_t budget, kept;          /* bytes of pixels */
    /* of the current batch */
    uint32_t *decoded; /* samples decoded for it; after the call, those that are not kept */
    int decoded_count;
    size_t decoded_capacity;
};

static uint64_t quarter_of_memory(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 4 : 1u << 30;
}

enum status partner_images_new(struct partner_images **out, const struct dump_job *job, uint64_t budget,
                               struct error *err)
{
    const size_t samples = job->manifest.splits[SPLIT_TRAIN].samples;
    struct partner_images *images = calloc(1, sizeof *images);
    *out = NULL;
    if (images)
        images->images = calloc(samples + 1, sizeof *images->images);
    if (!images || !images->images) {
        free(images);
        return error_no_memory(err, samples * sizeof(struct prepared_image *), "the list of images");
    }
    images->job = job;
    images->budget = budget ? budget : quarter_of_memory();
    *out = images;
    return STATUS_OK;
}

static void drop(struct partner_images *images, uint32_t sample)
{
    if (!images->images[sample])
        return;
    prepared_image_release(images->images[sample]);
    free(images->images[sample]);
    images->images[sample] = NULL;
}

static void drop_decoded(struct partner_images *images)
{
    for (int i = 0; i < images->decoded_count; i++)
        drop(images, images->decoded[i]);
    images->decoded_count = 0;
}

void partner_images_free(struct partner_images *images)
{
    if (!images)
        return;
    for (uint32_t i = 0; i < images->job->manifest.splits[SPLIT_TRAIN].samples; i++)
        drop(images, i);
    free(images->images);
    free(images->decoded);
    free(images);
}

static enum status decode(const struct dump_job *job, uint32_t sample, struct prepared_image *image, struct error *err)
{
    const uint32_t index = job->kept[SPLIT_TRAIN][sample];
    const char *name = job->source.sets[SPLIT_TRAIN].samples[index].name;
    enum status status = STATUS_OK;
    uint8_t *bytes = NULL;
    size_t size;
    TRY(image_source_read(&job->source, SPLIT_TRAIN, index, &bytes, &size, err));
    if (size != job->scan.sizes[SPLIT_TRAIN][index])
        FAIL(error_set(err, STATUS_BAD_DATA, name, "has changed since the images were checked: run again"));
    TRY(prepared_image_make(image, &job->manifest, bytes, size, name, err));
cleanup:
    free(bytes);
    return status;
}

static enum status decode_task(void *context, int index, int worker, struct error *err)
{
    const struct partner_images *images = context;
    const uint32_t sample = images->decoded[index];
    (void)worker;
    return decode(images->job, sample, images->images[sample], err);
}

/* Adds an empty image for every partner that is not in memory, and lists it. */
static enum status list_missing(struct partner_images *images, const struct view_request *requests, int count,
                                struct error *err)
{
    enum status status = STATUS_OK;
    for (int k = 0; k < count; k++) {
        const uint32_t sample = requests[k].partner.sample;
        if (requests[k].mix.kind == VIEW_MIX_NONE || images->images[sample])
            continue;
        TRY(array_grow(&images->decoded, sizeof *images->decoded, (size_t)images->decoded_count,
                       &images->decoded_capacity, "a batch", err));
        images->images[sample] = calloc(1, sizeof *images->images[sample]);
        if (!images->images[sample])
            FAIL(error_no_memory(err, sizeof *images->images[sample], "an image"));
        images->decoded[images->decoded_count++] = sample;
    }
cleanup:
    return status;
}

/* Keeps what fits; the others stay in the list and are dropped with the next batch. */
static void keep(struct partner_images *images)
{
    int left = 0;
    for (int i = 0; i < images->decoded_count; i++) {
        const struct prepared_image *image = images->images[images->decoded[i]];
        const uint64_t bytes = prepared_image_bytes(image);
        if (bytes <= images->budget - images->kept)
            images->kept += bytes;
        else
            images->decoded[left++] = images->decoded[i];
    }
    images->decoded_count = left;
}

enum status partner_images_find(struct partner_images *images, struct thread_pool *pool, struct view_request *requests,
                                int count, struct error *err)
{
    enum status status = STATUS_OK;
    drop_decoded(images);
    TRY(list_missing(images, requests, count, err));
    TRY(thread_pool_try(pool, images->decoded_count, decode_task, images, err));
    keep(images);
    for (int k = 0; k < count; k++)
        requests[k].partner_image =
            requests[k].mix.kind == VIEW_MIX_NONE ? NULL : images->images[requests[k].partner.sample];
cleanup:
    if (status != STATUS_OK)
        drop_decoded(images);
    return status;
}
