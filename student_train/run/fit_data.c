/* What the runs of a command share: the cache, the device, the images. */
#include "student_train/run/fit.h"

#include "shared/base/files.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* val, or else test; a split with labels comes first. */
static bool choose_validation(const struct cache_manifest *manifest, enum split *split)
{
    static const enum split order[] = {SPLIT_VAL, SPLIT_TEST};
    for (int labelled = 1; labelled >= 0; labelled--)
        for (int i = 0; i < 2; i++)
            if (manifest->splits[order[i]].samples > 0 &&
                (!labelled || manifest->splits[order[i]].teacher_accuracy >= 0)) {
                *split = order[i];
                return true;
            }
    return false;
}

enum status fit_data_open(struct fit_data *data, const struct fit_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    char *manifest = path_join(options->cache, "cache.json");
    *data = (struct fit_data){0};
    if (!manifest)
        return error_no_memory(err, strlen(options->cache), "a path");
    TRY(cache_open(&data->cache, options->cache, err));
    TRY(cache_set_data(&data->cache, options->data, err));
    TRY(digest_file(manifest, data->cache_digest, NULL, err));
cleanup:
    free(manifest);
    return status;
}

/* What the training images will take. Their size is known only when they are decoded: photos of 4:3, as high as the
 * teacher's input where they are kept as they are (base 0). Levels below those that the views of this size sample are
 * not kept (drawn for some ids); a third for the levels above. */
static enum status images_bytes(const struct cache_manifest *manifest, int size, double *bytes, struct error *err)
{
    enum { DRAWN = 64 };
    const bool raw = manifest->encoding == IMAGE_RAW;
    const int side = manifest->base > 0 ? manifest->base : manifest->size;
    const int h = raw ? manifest->raw_h : side, w = raw ? manifest->raw_w : side * 4 / 3;
    struct cache_views views;
    double pixels = 0;
    const enum status status = cache_views_init(&views, manifest, size, err);
    if (status != STATUS_OK)
        return status;
    for (uint32_t id = 0; id < DRAWN; id++)
        pixels += ldexp((double)h * w, -2 * cache_view_least_level(&views, id, h, w)) / DRAWN;
    *bytes = pixels * 4 / 3 * manifest->channels * manifest->splits[SPLIT_TRAIN].samples;
    return STATUS_OK;
}

/* Of the disk of a folder that exists. If that cannot be told, writing will. */
static double free_space(const char *folder)
{
    struct statvfs info;
    return statvfs(folder, &info) == 0 && info.f_blocks > 0 ? (double)info.f_bavail * (double)info.f_frsize : INFINITY;
}

/* The folder for the training images: NULL if they are to be in memory. */
static enum status choose_images_folder(struct fit_data *data, const struct fit_options *options, int size,
                                        struct progress *progress, struct error *err)
{
    struct compute *compute = &data->compute;
    double bytes;
    compute->images_folder = NULL;
    if (compute->backend != &backend_cpu || options->images == IMAGES_MEMORY)
        return STATUS_OK;
    if (options->images == IMAGES_AUTO) {
        const enum status status = images_bytes(&data->cache.manifest, size, &bytes, err);
        const double limit = compute->max_memory ? (double)compute->max_memory : (double)memory_available();
        const double space = free_space(options->out);
        if (status != STATUS_OK || bytes <= limit / 2)
            return status;
        if (bytes > space) {
            progress_note(progress, "images: in memory, though they may take %.1f MB of %.1f MB: %s has %.1f MB free",
                          bytes / 1e6, limit / 1e6, options->out, space / 1e6);
            return STATUS_OK;
        }
        progress_note(progress, "images: in a file without a name in %s, since they may take %.1f MB of %.1f MB",
                      options->out, bytes / 1e6, limit / 1e6);
    }
    compute->images_folder = options->out;
    return STATUS_OK;
}

enum status fit_data_load(struct fit_data *data, const struct fit_run *run, struct progress *progress,
                          struct error *err)
{
    const int size = run->info.card.size;
    enum status status = STATUS_OK;
    enum split split;
    data->compute.keep_folder = run->options.keep_decoded;
    data->compute.keep_digest = data->cache_digest;
    if (data->train.count && data->train.largest < size) /* its images are made for smaller views */
        dataset_release(&data->train);
    if (!data->train.count) {
        TRY(choose_images_folder(data, &run->options, size, progress, err));
        TRY(dataset_load(&data->train, &data->cache, SPLIT_TRAIN, DATASET_TRAINING, size, &data->compute, progress,
                         err));
    }
    data->train.cache_views.size = size;
    data->validates = choose_validation(&data->cache.manifest, &split);
    if (data->validates && data->validation.cache_views.size != size) { /* its images are made for one size */
        dataset_release(&data->validation);
        TRY(dataset_load(&data->validation, &data->cache, split, DATASET_EVALUATION, size, &data->compute, progress,
                         err));
    }
    if (run->loss.needs_labels && !run->loss.needs_teacher && data->train.labelled == 0)
        FAIL(error_set(err, STATUS_CONFIG, data->cache.path,
                       "no training sample has a label, but loss '%s' needs labels", run->loss.text));
cleanup:
    return status;
}

void fit_data_release(struct fit_data *data)
{
    dataset_release(&data->train);
    dataset_release(&data->validation);
    compute_release(&data->compute);
    cache_release(&data->cache);
}
