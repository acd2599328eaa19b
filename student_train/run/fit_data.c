/* What the runs of a command share: the cache, the device, the images. */
#include "student_train/run/fit.h"

#include "shared/base/files.h"
#include <stdlib.h>
#include <string.h>

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

/* The folder for the training images: NULL if they are to be in memory. Their size is known only when they are decoded:
 * photos of 4:3, and a third for the reduced levels. */
static const char *images_folder(const struct fit_data *data, const struct fit_options *options,
                                 struct progress *progress)
{
    const struct compute *compute = &data->compute;
    const struct cache_manifest *manifest = &data->cache.manifest;
    const double pixels = manifest->encoding == IMAGE_RAW ? (double)manifest->raw_h * manifest->raw_w
                                                          : (double)manifest->base * manifest->base * 4 / 3;
    const double bytes = pixels * 4 / 3 * manifest->channels * manifest->splits[SPLIT_TRAIN].samples;
    const double limit = compute->max_memory ? (double)compute->max_memory : (double)memory_available();
    const bool large = options->images == IMAGES_AUTO && bytes > limit / 2;
    if (compute->backend != &backend_cpu || (options->images != IMAGES_DISK && !large))
        return NULL;
    if (large)
        progress_note(progress, "images: in a file without a name in %s, since they may take %.1f GB of %.1f GB",
                      options->out, bytes / 1e9, limit / 1e9);
    return options->out;
}

enum status fit_data_load(struct fit_data *data, const struct fit_run *run, struct progress *progress,
                          struct error *err)
{
    const int size = run->info.card.size;
    enum status status = STATUS_OK;
    enum split split;
    if (data->train.count && data->train.largest < size) /* its images are made for smaller views */
        dataset_release(&data->train);
    if (!data->train.count) {
        data->compute.images_folder = images_folder(data, &run->options, progress);
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
        TRY(error_set(err, STATUS_CONFIG, data->cache.path,
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
