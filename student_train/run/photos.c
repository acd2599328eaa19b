#include "student_train/run/photos.h"

#include "formats/datasets/image_source.h"
#include "shared/base/files.h"
#include "shared/base/interrupt.h"
#include <stdlib.h>
#include <string.h>

enum { PHOTO_LIMIT = 256 << 20 };

enum status photos_list(struct photos *photos, const char *folder, struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    size_t count = 0;
    *photos = (struct photos){0};
    TRY(folder_list(folder, &entries, &count, err));
    photos->paths = calloc(count + 1, sizeof *photos->paths);
    if (!photos->paths)
        TRY(error_no_memory(err, count * sizeof *photos->paths, "a list of photos"));
    for (size_t i = 0; i < count; i++) {
        if (entries[i].is_folder || !image_format_is_image(folder, entries[i].name))
            continue;
        photos->paths[photos->count] = path_join(folder, entries[i].name);
        if (!photos->paths[photos->count++])
            TRY(error_no_memory(err, strlen(folder), "a path"));
    }
    if (photos->count == 0)
        TRY(error_set(err, STATUS_NO_INPUT, folder, "has no images (%s); give the folder with the photos",
                      image_formats_read));
cleanup:
    folder_list_free(entries, count);
    if (status != STATUS_OK)
        photos_release(photos);
    return status;
}

void photos_release(struct photos *photos)
{
    for (size_t i = 0; i < photos->count; i++)
        free(photos->paths[i]);
    free(photos->paths);
    *photos = (struct photos){0};
}

/* A batch of photos, decoded on all threads. */
struct photo_job {
    char **paths; /* [photos of the batch] */
    struct finished_run *run;
    struct device_images *images;
    struct epoch_content content; /* of one step */
};

static enum status load_photo(struct photo_job *job, uint32_t i, struct error *err)
{
    const struct run_info *info = &job->run->info;
    const struct compute *compute = &job->run->compute;
    const struct image_reading reading = {.upright = info->upright};
    enum status status = STATUS_OK;
    unsigned char *bytes = NULL;
    size_t size;
    struct image photo = {0}, base = {0};
    TRY(file_read(job->paths[i], PHOTO_LIMIT, &bytes, &size, err));
    TRY(image_file_decode(bytes, size, &reading, job->paths[i], &photo, err));
    TRY(image_resize_to(&photo, info->resize, info->base, &base, err));
    view_make_evaluation(&job->content.views[i], base.h, base.w, info->crop, info->size);
    TRY(compute->backend->device->images->put(compute->device, job->images, i, &base, err));
cleanup:
    free(bytes);
    image_release(&photo);
    image_release(&base);
    return status;
}

static enum status load_task(void *context, int index, int worker, struct error *err)
{
    (void)worker;
    return load_photo(context, (uint32_t)index, err);
}

static enum status predict_batch(struct photo_job *job, int count, int32_t *predictions, struct error *err)
{
    const struct compute *compute = &job->run->compute;
    struct trainer *trainer = &job->run->trainer;
    const struct run_info *info = &job->run->info;
    float table[3][256];
    enum status status = STATUS_OK;
    view_normalisation_table(table, info->mean, info->std, info->channels);
    TRY(compute->backend->device->images->create(compute->device, (uint32_t)count, info->channels, &job->images, err));
    TRY(thread_pool_try(compute->pool, count, load_task, job, err));
    for (int i = 0; i < count; i++)
        job->content.samples[i] = (uint32_t)i;
    TRY(trainer_predict(trainer, job->images, &job->content, count, info->size, table, predictions, err));
cleanup:
    compute->backend->device->images->destroy(compute->device, job->images);
    job->images = NULL;
    return status;
}

enum status photos_predict(const struct photos *photos, struct finished_run *run, struct progress *progress,
                           int32_t *predictions, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t capacity = (size_t)run->options.batch;
    struct photo_job job = {.run = run};
    TRY(epoch_content_init(&job.content, capacity, (int)capacity, 1, run->trainer.classes, 0, err));
    if (run->info.channels != 3)
        TRY(error_set(err, STATUS_CONFIG, NULL, "the student takes images with %d channel, but photos have 3",
                      run->info.channels));
    progress_begin(progress, "predict", "photos", photos->count, 0);
    for (size_t first = 0; first < photos->count; first += capacity) {
        size_t count = photos->count - first < capacity ? photos->count - first : capacity;
        job.paths = photos->paths + first;
        TRY(predict_batch(&job, (int)count, predictions + first, err));
        progress_update(progress, first + count, NULL);
        if (interrupt_requested())
            TRY(error_set(err, STATUS_INTERRUPTED, NULL, "stopped; nothing was written"));
    }
    progress_end(progress);
cleanup:
    epoch_content_release(&job.content);
    return status;
}
