/* `student_train fit`: trains one student. */
#include "shared/base/files.h"
#include "student_train/commands/command.h"
#include "student_train/commands/student_commands.h"
#include "student_train/run/fit.h"
#include "student_train/run/fit_result.h"
#include <stdlib.h>
#include <string.h>

static enum status train(struct fit *fit, struct error *err)
{
    struct fit_run *run = &fit->runs[0];
    const struct fit_options *options = &run->options;
    enum status status = STATUS_OK;
    bool resumes;
    char *checkpoint = path_join(options->out, "checkpoint");
    if (!checkpoint)
        return error_no_memory(err, strlen(options->out), "a path");
    fit->checkpoint = checkpoint;
    TRY(fit_data_open(fit->data, options, err));
    TRY(fit_run_open(run, fit->data, err));
    TRY(fit_run_folder(run, &resumes, err));
    TRY(compute_open(&fit->data->compute, &options->compute, fit->progress, err));
    TRY(fit_train(fit, resumes, err));
    if (options->json)
        TRY(command_print_json(fit_result_json(fit, 0), "metrics.json", err));
    else
        fit_result_print(fit, 0, stdout);
cleanup:
    free(checkpoint);
    return status;
}

static enum status run(void *context, struct error *err)
{
    struct fit *fit = context;
    enum status status = STATUS_OK;
    TRY(fit_options_check(&fit->runs[0].options, err));
    progress_init(fit->progress, stderr, fit->runs[0].options.quiet);
    TRY(train(fit, err));
cleanup:
    return status;
}

enum status fit_command(int argc, char **argv, struct error *err)
{
    enum status status = STATUS_OK;
    struct fit_data data = {0};
    struct fit_run one = {.lock = -1};
    struct progress progress;
    struct fit fit = {.data = &data, .runs = &one, .count = 1, .progress = &progress};
    TRY(fit_options_table(&one.options, "student_train fit", "trains a student from a cache", NULL, 0, err));
    TRY(command_run(&one.options.table, argc, argv, run, &fit, err));
cleanup:
    fit_data_release(&data);
    fit_run_release(&one);
    return status;
}
