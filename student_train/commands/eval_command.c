/* `student_train eval`: accuracy, per class, confusion matrix and agreement with the teacher on a split of a cache. */
#include "shared/base/options.h"
#include "student_train/commands/commands.h"
#include "student_train/trainer/evaluation.h"
#include "student_train/run/finished_run.h"
#include <stdlib.h>

static const char *const split_choices[] = {"train", "val", "test", NULL};

struct eval_options {
    const char *run, *cache, *weights;
    struct compute_options compute;
    int split, batch;
    bool json, quiet;
};

/* val where the cache has it, else test. */
static enum split default_split(const struct cache_manifest *manifest)
{
    return manifest->splits[SPLIT_VAL].samples > 0 ? SPLIT_VAL : SPLIT_TEST;
}

static enum status print_json(const struct evaluation *evaluation, const struct run_info *info, struct error *err)
{
    cJSON *root = cJSON_CreateObject();
    evaluation_json(evaluation, info->classes, root);
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    if (!text)
        return error_no_memory(err, 0, "the result");
    printf("%s\n", text);
    free(text);
    return STATUS_OK;
}

static enum status run(const struct eval_options *options, bool split_given, struct error *err)
{
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
    TRY(finished_run_fits(&finished, &cache, err));
    TRY(dataset_load(&dataset, &cache, split_given ? (enum split)options->split : default_split(&cache.manifest),
                     finished.info.size, &finished.compute, &progress, err));
    TRY(evaluation_run(&evaluation, &finished.trainer, &dataset, err));
    if (options->json)
        TRY(print_json(&evaluation, &finished.info, err));
    else
        evaluation_print(&evaluation, finished.info.classes, stdout);
cleanup:
    evaluation_release(&evaluation);
    dataset_release(&dataset);
    cache_release(&cache);
    finished_run_release(&finished);
    return status;
}

enum status eval_command(int argc, char **argv, struct error *err)
{
    enum status status = STATUS_OK;
    struct eval_options o = {0};
    const struct option_spec specs[] = {
        {"run", OPTION_STRING, &o.run, "RUN", NULL, "the run's folder", .required = true},
        {"cache", OPTION_STRING, &o.cache, "CACHE", NULL, "another cache than the run was trained on"},
        {"split", OPTION_CHOICE, &o.split, NULL, NULL, "which samples (val, else test)", .choices = split_choices},
        {"weights", OPTION_STRING, &o.weights, "best|last|FILE", "best", "which weights"},
        {"batch", OPTION_INT, &o.batch, "N", "128", "images a step", .minimum = 1, .maximum = 65536},
        {"device", OPTION_STRING, &o.compute.device, "auto|cpu|cuda[:K]", "auto", "where to compute"},
        {"threads", OPTION_INT, &o.compute.threads, "N", "0", "of the CPU; 0: all processors", .minimum = 0,
         .maximum = 1024},
        {"gpu-memory", OPTION_SIZE, &o.compute.gpu_memory, "SIZE", "0",
         "use no more of the GPU's memory; 0: what is free"},
        {"quiet", OPTION_FLAG, &o.quiet, NULL, NULL, "no progress"},
        {"json", OPTION_FLAG, &o.json, NULL, NULL, "the result as JSON"},
    };
    struct options table = {.command = "student_train eval",
                            .summary = "evaluates a trained student",
                            .specs = specs,
                            .count = sizeof specs / sizeof *specs};
    TRY(options_parse(&table, argc, argv, err));
    if (table.help)
        options_print_help(&table, stdout);
    else
        status = run(&o, options_given(&table, "split"), err);
cleanup:
    options_release(&table);
    return status;
}
