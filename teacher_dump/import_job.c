#include "teacher_dump/import_job.h"

#include "shared/base/digest.h"
#include "shared/base/interrupt.h"
#include <stdlib.h>
#include <string.h>

static enum status stopped(const struct import_job *job, struct error *err)
{
    return interrupt_requested() ? error_set(err, STATUS_INTERRUPTED, job->answers_path, "nothing was written yet")
                                 : STATUS_OK;
}

/* The new teacher's digest covers what its answers.json says about it, and every row, in order: so it does not depend
 * on how the answers are cut into files, and other answers never continue an unfinished cache. */
static enum status digest_answers(struct import_job *job, struct progress *progress, struct error *err)
{
    const struct answers *answers = &job->answers;
    struct cache_manifest *manifest = &job->manifest;
    enum status status = STATUS_OK;
    struct digest *digest = NULL;
    unsigned char *bytes = NULL;
    const uint8_t *rows;
    progress_begin(progress, "check answers", "files", (size_t)answers->file_count, 0);
    TRY(digest_new(&digest, err));
    digest_update(digest, answers->manifest.teacher_digest, 64);
    for (int i = 0; i < answers->file_count; i++) {
        TRY(answers_read(answers, i, &bytes, &rows, err));
        digest_update(digest, rows, answers->files[i].bytes);
        free(bytes);
        bytes = NULL;
        progress_update(progress, (size_t)i + 1, NULL);
        TRY(stopped(job, err));
    }
cleanup:
    progress_end(progress);
    free(bytes);
    if (digest)
        digest_finish(digest, status == STATUS_OK ? manifest->teacher_digest : NULL);
    return status;
}

/* The sizes of a split's JPEG files are only in its shards. */
static enum status photo_sizes(struct import_job *job, enum split split, uint64_t *sizes, struct progress *progress,
                               struct error *err)
{
    const struct cache_split *photos = &job->photos.manifest.splits[split];
    enum status status = STATUS_OK;
    struct cache_shard shard = {0};
    progress_begin(progress, "check photos", "shards", (size_t)photos->shard_count, 0);
    for (int s = 0; s < photos->shard_count; s++) {
        TRY(cache_read_shard(&job->photos, split, s, CACHE_READ_IMAGES, &shard, err));
        for (uint32_t i = 0; i < shard.count; i++)
            sizes[shard.first + i] = shard.image_offsets[i + 1] - shard.image_offsets[i];
        cache_shard_release(&shard);
        progress_update(progress, (size_t)s + 1, NULL);
        TRY(stopped(job, err));
    }
cleanup:
    progress_end(progress);
    return status;
}

static enum status lay_out(struct import_job *job, struct progress *progress, struct error *err)
{
    const struct cache_manifest *photos = &job->photos.manifest;
    const bool sized = photos->images_embedded && photos->encoding == IMAGE_JPEG;
    enum status status = STATUS_OK;
    uint64_t *sizes = NULL;
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const uint32_t samples = photos->splits[s].samples;
        if (samples == 0)
            continue;
        sizes = sized ? malloc(samples * sizeof *sizes) : NULL;
        if (sized && !sizes)
            FAIL(error_no_memory(err, samples * sizeof *sizes, "the list of samples"));
        if (sized)
            TRY(photo_sizes(job, (enum split)s, sizes, progress, err));
        TRY(cache_layout(&job->manifest, (enum split)s, sizes, samples, err));
        free(sizes);
        sizes = NULL;
    }
cleanup:
    free(sizes);
    return status;
}

/* Everything but the layout; strings stay those of the photos and of the answers. */
static void set_manifest(struct import_job *job)
{
    const struct cache_manifest *answers = &job->answers.manifest;
    struct cache_manifest *manifest = &job->manifest;
    *manifest = job->photos.manifest;
    manifest->arena = (struct arena){0};
    memset(manifest->splits, 0, sizeof manifest->splits);
    manifest->format_version = CACHE_FORMAT_VERSION;
    manifest->program_version = SOFTCACHE_VERSION;
    manifest->check = (struct cache_check){0}; /* that was another teacher */
    manifest->teacher_file = answers->teacher_file;
    manifest->device = answers->device;
    manifest->precision = answers->precision;
    cache_copy_members(manifest, answers);
    manifest->top_k = answers->top_k;
    manifest->feature_count = answers->feature_count;
    memcpy(manifest->features, answers->features, sizeof manifest->features);
}

enum status import_job_open(struct import_job *job, struct progress *progress, struct error *err)
{
    enum status status = STATUS_OK;
    *job = (struct import_job){job->photos_path, job->answers_path, .photo_index = -1, .answer_index = -1};
    TRY(cache_open(&job->photos, job->photos_path, err));
    TRY(answers_open(&job->answers, job->answers_path, err));
    TRY(answers_check(&job->answers, &job->photos.manifest, err));
    set_manifest(job);
    TRY(digest_answers(job, progress, err));
    TRY(lay_out(job, progress, err));
cleanup:
    return status;
}

void import_job_release(struct import_job *job)
{
    cache_shard_release(&job->photo_shard);
    free(job->answer_bytes);
    arena_release(&job->manifest.arena);
    answers_release(&job->answers);
    cache_release(&job->photos);
    *job = (struct import_job){0};
}
