/* `student_train predict`: classifies a folder of photos, or a split of a cache, and writes the Kaggle file. */
#include "formats/export/kaggle_csv.h"
#include "student_train/commands/command.h"
#include "student_train/commands/student_commands.h"
#include "student_train/trainer/evaluation.h"
#include "student_train/run/photos.h"
#include <stdlib.h>

static const char *const split_choices[] = {"train", "val", "test", NULL};

struct predict_options {
    const char *run, *data, *cache, *out, *weights;
    struct compute_options compute;
    int split, batch;
    bool quiet;
};

static enum status predict_folder(const struct predict_options *options, struct finished_run *run,
                                  struct progress *progress, size_t *count, struct error *err)
{
    enum status status = STATUS_OK;
    struct photos photos = {0};
    int32_t *predictions = NULL;
    TRY(photos_list(&photos, options->data, err));
    predictions = calloc(photos.count, sizeof *predictions);
    if (!predictions)
        TRY(error_no_memory(err, photos.count * sizeof *predictions, "predictions"));
    TRY(photos_predict(&photos, run, progress, predictions, err));
    TRY(kaggle_publish(options->out, predictions, photos.count, err));
    *count = photos.count;
cleanup:
    free(predictions);
    photos_release(&photos);
    return status;
}

static enum status predict_cache(const struct predict_options *options, struct finished_run *run,
                                 struct progress *progress, size_t *count, struct error *err)
{
    enum status status = STATUS_OK;
    struct cache cache = {0};
    struct dataset dataset = {0};
    struct evaluation evaluation = {0};
    TRY(cache_open(&cache, options->cache, err));
    TRY(cache_set_data(&cache, options->data, err));
    TRY(finished_run_fits(run, &cache, err));
    TRY(dataset_load(&dataset, &cache, (enum split)options->split, run->info.size, &run->compute, progress, err));
    TRY(evaluation_run(&evaluation, &run->trainer, &dataset, err));
    TRY(kaggle_publish(options->out, evaluation.predictions, dataset.count, err));
    *count = dataset.count;
cleanup:
    evaluation_release(&evaluation);
    dataset_release(&dataset);
    cache_release(&cache);
    return status;
}

static enum status run(void *context, struct error *err)
{
    const struct predict_options *options = context;
    enum status status = STATUS_OK;
    struct finished_run finished = {0};
    struct progress progress;
    size_t count = 0;
    if (!options->data && !options->cache)
        return error_set(err, STATUS_USAGE, NULL, "give --data DIR or --cache CACHE");
    progress_init(&progress, stderr, options->quiet);
    TRY(finished_run_open(&finished, options->run, options->weights, &options->compute, options->batch, &progress,
                          err));
    if (!options->cache)
        TRY(predict_folder(options, &finished, &progress, &count, err));
    else
        TRY(predict_cache(options, &finished, &progress, &count, err));
    printf("%zu predictions in %s\n", count, options->out);
cleanup:
    finished_run_release(&finished);
    return status;
}

enum status predict_command(int argc, char **argv, struct error *err)
{
    struct predict_options o = {0};
    const struct option_spec specs[] = {
        {"run", OPTION_STRING, &o.run, "RUN", NULL, "the run's folder", .required = true},
        {"data", OPTION_STRING, &o.data, "DIR", NULL,
         "a folder of photos, in the byte order of their names; with --cache: where its linked photos are now"},
        {"cache", OPTION_STRING, &o.cache, "CACHE", NULL, "a cache instead of photos"},
        {"split", OPTION_CHOICE, &o.split, NULL, "test", "which split of the cache", .choices = split_choices},
        {"out", OPTION_STRING, &o.out, "FILE.csv", NULL, "the file to write: Id,Category", .required = true},
        {"weights", OPTION_STRING, &o.weights, "best|last|FILE", "best", "which weights"},
        {"batch", OPTION_INT, &o.batch, "N", "128", "images per step", .minimum = 1, .maximum = 65536},
        COMPUTE_OPTIONS(o.compute),
        {"quiet", OPTION_FLAG, &o.quiet, NULL, NULL, "no progress"},
    };
    struct options table = {.command = "student_train predict",
                            .summary = "classifies photos and writes the Kaggle file",
                            .specs = specs,
                            .count = sizeof specs / sizeof *specs};
    return command_run(&table, argc, argv, run, &o, err);
}
