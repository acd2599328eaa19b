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
    if (run->info.resampled)
        progress_note(progress,
                      "this run comes from an older version, whose student of %d pixels saw images that were resized "
                      "without antialiasing; results differ from its metrics.json",
                      run->info.card.size);
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

enum status finished_run_fits(const struct run_info *info, const struct cache *cache, struct error *err)
{
    struct run_info other = {0};
    const char *field = NULL;
    run_info_from_cache(&other, cache);
    if (other.card.class_count != info->card.class_count)
        field = "number of classes is";
    for (int k = 0; !field && k < info->card.class_count; k++)
        if (strcmp(other.card.classes[k], info->card.classes[k]) != 0)
            field = "class names are";
    if (!field && !model_card_same_picture(&other.card, &info->card))
        field = "image size is";
    for (int c = 0; !field && c < info->card.channels; c++)
        if (other.card.mean[c] != info->card.mean[c] || other.card.std[c] != info->card.std[c])
            field = "mean and std are";
    if (field)
        return error_set(err, STATUS_CONFIG, cache->path,
                         "its %s not the same as in the cache that the run was trained on", field);
    return STATUS_OK;
}
