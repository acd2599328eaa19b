/* One shard of an imported cache: its photos from the photos' shards, its answers from the files of answers. */
#include "formats/cache/cache_row.h"
#include "teacher_dump/import_job.h"

#include <stdlib.h>
#include <string.h>

/* Reads the photos' shard that has this sample, if it is not the one that was read last. */
static enum status find_photo(struct import_job *job, enum split split, uint32_t sample, struct error *err)
{
    const struct cache_split *photos = &job->photos.manifest.splits[split];
    const struct cache_shard *read = &job->photo_shard;
    if (job->photo_index >= 0 && read->split == split && sample >= read->first && sample - read->first < read->count)
        return STATUS_OK;
    const bool next = job->photo_index >= 0 && read->split == split && sample >= read->first;
    int index = next ? job->photo_index + 1 : 0;
    while (sample >= photos->shards[index].first + photos->shards[index].count)
        index++;
    cache_shard_release(&job->photo_shard);
    job->photo_index = -1;
    const enum status status = cache_read_shard(&job->photos, split, index, CACHE_READ_IMAGES, &job->photo_shard, err);
    if (status == STATUS_OK)
        job->photo_index = index;
    return status;
}

/* Copies the image of photo `from` behind those that the shard has already, or its link. */
static void copy_image(struct cache_shard *content, uint32_t i, const struct cache_shard *photos, uint32_t from)
{
    if (!content->image_offsets) {
        content->link_sizes[i] = photos->link_sizes[from];
        memcpy(content->link_digests[i], photos->link_digests[from], sizeof content->link_digests[i]);
        return;
    }
    const uint64_t at = content->image_offsets[i], size = photos->image_offsets[from + 1] - photos->image_offsets[from];
    memcpy(content->image_bytes + at, photos->image_bytes + photos->image_offsets[from], size);
    content->image_offsets[i + 1] = at + size;
}

/* The images of a shard of the photos fit into CACHE_SHARD_LIMIT, and so do those of every new shard, by its layout. */
static enum status copy_photos(struct import_job *job, struct cache_shard *content, struct error *err)
{
    enum status status = STATUS_OK;
    if (content->image_offsets) {
        content->image_bytes = malloc(CACHE_SHARD_LIMIT);
        if (!content->image_bytes)
            FAIL(error_no_memory(err, CACHE_SHARD_LIMIT, "the images of a shard"));
    }
    for (uint32_t i = 0; i < content->count; i++) {
        TRY(find_photo(job, content->split, content->first + i, err));
        const struct cache_shard *photos = &job->photo_shard;
        const uint32_t from = content->first + i - photos->first;
        content->ids[i] = photos->ids[from];
        content->labels[i] = photos->labels[from];
        memcpy(content->names[i], photos->names[from], CACHE_NAME_SIZE);
        copy_image(content, i, photos, from);
    }
cleanup:
    return status;
}

/* Reads the file that answers this row, if it is not the one that was read last. answers_check made sure that there is
 * one. */
static enum status find_answer(struct import_job *job, enum split split, uint64_t row, struct error *err)
{
    const struct answers *answers = &job->answers;
    int index = job->answer_index < 0 ? 0 : job->answer_index;
    while (answers->files[index].split != split || row < answers->files[index].first ||
           row - answers->files[index].first >= answers->files[index].count)
        index = (index + 1) % answers->file_count;
    if (index == job->answer_index)
        return STATUS_OK;
    free(job->answer_bytes);
    job->answer_bytes = NULL;
    job->answer_index = -1;
    const enum status status = answers_read(answers, index, &job->answer_bytes, &job->answer_rows, err);
    if (status == STATUS_OK)
        job->answer_index = index;
    return status;
}

static enum status copy_answers(struct import_job *job, struct cache_shard *content, struct error *err)
{
    const struct cache_manifest *manifest = &job->manifest;
    const uint64_t begin = (uint64_t)content->first * (uint64_t)content->views;
    const uint64_t end = begin + (uint64_t)content->count * (uint64_t)content->views;
    enum status status = STATUS_OK;
    for (uint64_t row = begin; row < end;) {
        TRY(find_answer(job, content->split, row, err));
        const struct answers_file *file = &job->answers.files[job->answer_index];
        const uint64_t stop = file->first + file->count < end ? file->first + file->count : end;
        const uint8_t *at =
            job->answer_rows + cache_row_bytes(manifest, content->split, file->first, row - file->first);
        for (; row < stop; row++)
            at += cache_row_put(manifest, content, (uint32_t)((row - begin) / (uint64_t)content->views),
                                (int)(row % (uint64_t)content->views), at);
    }
    status = cache_check_values(manifest, content, job->answers_path, err);
cleanup:
    return status;
}

enum status import_job_shard(struct import_job *job, enum split split, int shard, struct cache_shard *content,
                             struct error *err)
{
    const struct cache_shard_entry *entry = &job->manifest.splits[split].shards[shard];
    enum status status = STATUS_OK;
    TRY(cache_shard_init(content, &job->manifest, split, entry->first, entry->count, err));
    TRY(copy_photos(job, content, err));
    TRY(copy_answers(job, content, err));
cleanup:
    if (status != STATUS_OK)
        cache_shard_release(content);
    return status;
}
