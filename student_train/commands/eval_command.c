/* `student_train eval`: accuracy (in total and per class), confusion matrix and agreement with the teacher on a
 * split of a cache. */
#include "student_train/commands/command.h"
#include "student_train/commands/student_commands.h"
#include "student_train/run/evaluation_report.h"
#include "student_train/run/finished_run.h"

static const char *const split_choices[] = {"train", "val", "test", NULL};
static const char *const tta_choices[] = {"none", "hflip", NULL};

struct eval_options {
    const char *run, *cache, *data, *weights;
    struct compute_options compute;
    int split, batch, tta; /* split -1: not given */
    bool json, quiet;
};

static enum split choose_split(const struct eval_options *options, const struct cache_manifest *manifest)
{
    if (options->split >= 0)
        return (enum split)options->split;
    return manifest->splits[SPLIT_VAL].samples > 0 ? SPLIT_VAL : SPLIT_TEST;
}

static enum status print(const struct eval_options *options, const struct evaluation *evaluation,
                         const struct run_info *info, struct error *err)
{
    if (!options->json) {
        evaluation_print(evaluation, info->card.classes, stdout);
        return STATUS_OK;
    }
    cJSON *root = cJSON_CreateObject();
    evaluation_json(evaluation, info->card.classes, root);
    return command_print_json(root, "the result", err);
}

static enum status run(void *context, struct error *err)
{
    const struct eval_options *options = context;
    enum status status = STATUS_OK;
    struct finished_run finished = {0};
    struct cache cache = {0};
    struct dataset dataset = {0};
    struct evaluation evaluation = {0};
    struct progress progress;
    progress_init(&progress, stderr, options->quiet);
    TRY(finished_run_open(&finished, options->run, options->weights, &options->compute, options->batch, &progress,
                          err));
    TRY(cache_open(&cache, options->cache ? options->cache : finished.info.cache, err));
    TRY(cache_set_data(&cache, options->data, err));
    TRY(finished_run_fits(&finished.info, &cache, err));
    TRY(dataset_load(&dataset, &cache, choose_split(options, &cache.manifest), DATASET_EVALUATION,
                     finished.info.card.size, &finished.compute, &progress, err));
    TRY(evaluation_run(&evaluation, &finished.trainer, &dataset, PART_ALL, err));
    if (options->tta)
        TRY(evaluation_mirror(&evaluation, &finished.trainer, &dataset, err));
    TRY(print(options, &evaluation, &finished.info, err));
cleanup:
    evaluation_release(&evaluation);
    dataset_release(&dataset);
    cache_release(&cache);
    finished_run_release(&finished);
    return status;
}

enum status eval_command(int argc, char **argv, struct error *err)
{
    struct eval_options o = {.split = -1};
    const struct option_spec specs[] = {
        {"run", OPTION_STRING, &o.run, "RUN", NULL, "the run's folder", .required = true},
        {"cache", OPTION_STRING, &o.cache, "CACHE", NULL, "a cache other than the one the run was trained on"},
        {"data", OPTION_STRING, &o.data, "DIR", NULL,
         "where the photos of a cache with linked images are now, if they have moved"},
        {"split", OPTION_CHOICE, &o.split, NULL, NULL, "which split; default: val, or test if there is no val",
         .choices = split_choices},
        {"weights", OPTION_STRING, &o.weights, "best|last|FILE", "best", "which weights"},
        {"batch", OPTION_INT, &o.batch, "N", "128", "images per step", .minimum = 1, .maximum = 65536},
        {"tta", OPTION_CHOICE, &o.tta, NULL, "none",
         "also measure the mean of each image and its mirror image, beside the plain result", .choices = tta_choices},
        COMPUTE_OPTIONS(o.compute),
        {"quiet", OPTION_FLAG, &o.quiet, NULL, NULL, "no progress"},
        {"json", OPTION_FLAG, &o.json, NULL, NULL, "print the result as JSON"},
    };
    struct options table = {.command = "student_train eval",
                            .summary = "evaluates a trained student",
                            .specs = specs,
                            .count = sizeof specs / sizeof *specs};
    return command_run(&table, argc, argv, run, &o, err);
}
