#include "student_train/run/finished_run.h"

#include <string.h>

enum status finished_run_open(struct finished_run *run, const char *folder, const char *weights,
                              const struct compute_options *compute, int batch, struct progress *progress,
                              struct error *err)
{
    enum status status = STATUS_OK;
    *run = (struct finished_run){.options = {.batch = batch}};
    TRY(run_info_read(&run->info, folder, err));
    TRY(loss_expression_parse(&run->loss, run->info.loss, err));
    TRY(run_student(&run->info, folder, weights, &run->student, err));
    TRY(compute_open(&run->compute, compute, progress, err));
    TRY(trainer_init(&run->trainer, &run->compute, &run->student.graph, &(struct trainer_student){.loss = &run->loss},
                     1, &run->options, NULL, err));
cleanup:
    if (status != STATUS_OK)
        finished_run_release(run);
    return status;
}

void finished_run_release(struct finished_run *run)
{
    trainer_release(&run->trainer);
    compute_release(&run->compute);
    student_release(&run->student);
    run_info_release(&run->info);
}

enum status finished_run_fits(const struct finished_run *run, const struct cache *cache, struct error *err)
{
    const struct run_info *info = &run->info;
    struct run_info other = {0};
    const char *field = NULL;
    run_info_from_cache(&other, cache);
    if (other.class_count != info->class_count)
        field = "number of classes is";
    for (int k = 0; !field && k < info->class_count; k++)
        if (strcmp(other.classes[k], info->classes[k]) != 0)
            field = "class names are";
    if (!field && (other.channels != info->channels || other.crop != info->crop || other.base != info->base ||
                   other.resize != info->resize || other.upright != info->upright))
        field = "image size is";
    if (!field && (memcmp(other.mean, info->mean, sizeof other.mean) || memcmp(other.std, info->std, sizeof other.std)))
        field = "mean and std are";
    if (field)
        return error_set(err, STATUS_CONFIG, cache->path,
                         "its %s not the same as in the cache that the run was trained on", field);
    return STATUS_OK;
}
