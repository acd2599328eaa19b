/* The command `recheck`: options and report. */
#include "teacher_dump/commands.h"

#include "shared/base/options.h"
#include "teacher_dump/dump_options.h"
#include "teacher_dump/recheck.h"
#include "teacher_dump/summary.h"

static enum status report(const struct recheck *recheck, struct error *err)
{
    const struct cache_manifest *manifest = &recheck->cache.manifest;
    const char *precision = precision_name((enum precision)recheck->engine.precision);
    if (recheck->json) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddNumberToObject(object, "views", recheck->count);
        cJSON_AddNumberToObject(object, "identical", recheck->identical);
        cJSON_AddNumberToObject(object, "largest_difference", recheck->largest);
        cJSON_AddNumberToObject(object, "tolerance", recheck->tolerance);
        cJSON_AddStringToObject(object, "device", recheck->engine.backend->name);
        cJSON_AddStringToObject(object, "precision", precision);
        enum status status = summary_print_json(object, err);
        if (status != STATUS_OK)
            return status;
    } else {
        printf("%s: %d views rechecked, %d identical bit for bit; largest difference %.2g of the largest value "
               "(made on %s in %s, now on %s in %s: tolerance %.2g)\n",
               recheck->path, recheck->count, recheck->identical, recheck->largest, manifest->device,
               manifest->precision, recheck->engine.backend->name, precision, recheck->tolerance);
    }
    if (recheck->largest <= recheck->tolerance)
        return STATUS_OK;
    return error_set(
        err, STATUS_BAD_DATA, recheck->path,
        "view %d of %s differs by %.2g of its largest value: the cache was made by another program or device, or "
        "from other images",
        recheck->worst.row, recheck->worst_name, recheck->largest);
}

enum status recheck_command(int argc, char **argv, struct error *err)
{
    struct recheck recheck = {.tolerance = -1};
    enum status status = STATUS_OK;
    const struct option_spec specs[] = {
        {"cache", OPTION_POSITIONAL, &recheck.path, "CACHE", NULL, "the cache", .required = true},
        {"teacher", OPTION_LIST, &recheck.teachers, "FILE.onnx", NULL,
         "its teacher; several in the order of `run`, whose weights the cache knows", .required = true},
        {"data", OPTION_STRING, &recheck.data, "DIR", NULL,
         "where the photos of a cache with linked images are now, if they have moved"},
        {"count", OPTION_INT, &recheck.count, "N", "64", "how many random views", .letter = 'n', .minimum = 1,
         .maximum = 1e8},
        {"seed", OPTION_UINT64, &recheck.seed, "N", "1", "chooses the views"},
        {"tolerance", OPTION_FLOAT, &recheck.tolerance, "X", NULL,
         "largest difference allowed, as a fraction of the view's largest value [fp32 0.002, fp16 and tf32 0.01, bf16 "
         "0.06]",
         .minimum = 0, .maximum = 1},
        {"device", OPTION_STRING, &recheck.device, "D", "auto", "auto, cpu, cuda or cuda:K"},
        {"teacher-precision", OPTION_CHOICE, &recheck.precision, NULL, "auto",
         "what the teacher computes in; auto: as in the cache, if the device can", .choices = precision_names},
        {"teacher-engine", OPTION_CHOICE, &recheck.kind, NULL, "auto",
         "who runs the teacher; auto: the engine that made the cache", .choices = teacher_engine_names},
        {"gpu-memory", OPTION_SIZE, &recheck.gpu_memory, "SIZE", "0",
         "the most GPU memory to use; 0: all that is free"},
        {"batch", OPTION_INT, &recheck.batch, "N", "0",
         "views per run of the teacher; a GPU gives the same bits only with the batch of `run` [as `run`]",
         .minimum = 0, .maximum = DUMP_MAX_BATCH},
        {"threads", OPTION_INT, &recheck.threads, "N", "0", "0: all processors", .minimum = 0, .maximum = 1024},
        {"json", OPTION_FLAG, &recheck.json, NULL, NULL, "print JSON"},
        {"quiet", OPTION_FLAG, &recheck.quiet, NULL, NULL, "no progress"},
    };
    struct options options = {.command = "teacher_dump recheck",
                              .summary =
                                  "Runs the teacher again on random views and compares its answers with the cache.",
                              .specs = specs,
                              .count = sizeof specs / sizeof *specs};
    TRY(options_parse(&options, argc, argv, err));
    if (options.help) {
        options_print_help(&options, stdout);
        goto cleanup;
    }
    progress_init(&recheck.progress, stderr, recheck.quiet || recheck.json);
    TRY(recheck_open(&recheck, err));
    TRY(recheck_run(&recheck, err));
    TRY(report(&recheck, err));
cleanup:
    recheck_release(&recheck);
    options_release(&options);
    return status;
}
