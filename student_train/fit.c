/* `student_train fit`: sets a run up, cheapest checks first, so that a mistake is told before the images are loaded. */
#include "student_train/fit.h"

#include "formats/safetensors.h"
#include "shared/base/files.h"
#include "student_train/commands.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* val, else test; the one with labels first. */
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

static enum status check_budget(const struct fit *fit, struct error *err)
{
    const size_t count = graph_parameter_count(&fit->student.graph);
    if (fit->options.max_params > 0 && count > (size_t)fit->options.max_params)
        return error_set(err, STATUS_CONFIG, NULL,
                         "student '%s' has %zu parameters, the budget is %d; choose a smaller one, or raise it with "
                         "--max-params %zu",
                         fit->options.student, count, fit->options.max_params, count);
    return STATUS_OK;
}

/* Cache, loss, student and its initial weights, and the identity of the run. */
static enum status open_inputs(struct fit *fit, struct error *err)
{
    const struct fit_options *options = &fit->options;
    enum status status = STATUS_OK;
    char *manifest = NULL, init_digest[DIGEST_HEX_SIZE] = "none", *cache_digest;
    TRY(loss_expression_parse(&fit->loss, options->loss, err));
    for (int i = 0; i < fit->loss.count; i++)
        fit->terms[i] = fit->loss.names[i];
    TRY(cache_open(&fit->cache, options->cache, err));
    if (fit->loss.needs_teacher && !cache_has_teacher(&fit->cache.manifest))
        TRY(error_set(
            err, STATUS_CONFIG, options->cache,
            "has no teacher's logits, which loss '%s' needs; make it with teacher_dump run --teacher FILE.onnx",
            fit->loss.text));
    run_info_from_cache(&fit->info, &fit->cache);
    fit->info.size = options->size ? options->size : fit->info.crop;
    TRY(student_open(&fit->student, options->student,
                     &(struct student_input){fit->info.channels, fit->info.size, fit->info.class_count}, err));
    TRY(check_budget(fit, err));
    if (!fit->student.onnx)
        graph_initialise(&fit->student.graph, options->seed);
    if (options->init) {
        TRY(safetensors_read_weights_file(&fit->student.graph, options->init, err));
        TRY(digest_file(options->init, init_digest, NULL, err));
    }
    manifest = path_join(options->cache, "cache.json");
    cache_digest = arena_alloc(&fit->info.arena, DIGEST_HEX_SIZE, 1);
    if (!manifest || !cache_digest)
        TRY(error_no_memory(err, strlen(options->cache), "a path"));
    TRY(digest_file(manifest, cache_digest, NULL, err));
    fit->info.cache = options->cache;
    fit->info.cache_digest = cache_digest;
    fit->info.student = options->student;
    fit->info.structure = fit->student.onnx ? "student.onnx" : "student.net";
    fit->info.loss = fit->loss.text;
    fit->info.name =
        options->name ? options->name : arena_printf(&fit->info.arena, "%s, %s", options->student, fit->loss.text);
    fit->identity = fit_identity(options, cache_digest, fit->student.digest, init_digest);
    if (!fit->identity || !fit->info.name)
        TRY(error_no_memory(err, 0, "a run's identity"));
cleanup:
    free(manifest);
    return status;
}

/* Makes and locks the folder. *resumes: there is a checkpoint to go on from. */
static enum status open_folder(struct fit *fit, bool *resumes, struct error *err)
{
    const struct fit_options *options = &fit->options;
    enum status status = STATUS_OK;
    char *lock = path_join(options->out, ".lock");
    fit->checkpoint = path_join(options->out, "checkpoint");
    if (!lock || !fit->checkpoint)
        TRY(error_no_memory(err, strlen(options->out), "a path"));
    TRY(folder_make(options->out, err));
    TRY(file_lock(lock, &fit->lock, err));
    *resumes = file_exists(fit->checkpoint);
    if (*resumes && !options->resume && !options->overwrite)
        TRY(error_set(err, STATUS_CANT_CREATE, options->out,
                      "holds a run already; --resume goes on with it, --overwrite replaces it"));
    if (*resumes && options->overwrite) {
        unlink(fit->checkpoint);
        *resumes = false;
    }
cleanup:
    free(lock);
    return status;
}

/* What a new run writes before it trains. */
static enum status describe_run(struct fit *fit, struct error *err)
{
    const char *out = fit->options.out;
    enum status status = STATUS_OK;
    char *config = options_resolved(&fit->options.table);
    if (!config)
        TRY(error_no_memory(err, 0, "config.ini"));
    TRY(run_publish(out, "config.ini", config, strlen(config), err));
    TRY(run_publish(out, fit->info.structure, fit->student.bytes, fit->student.size, err));
    TRY(run_info_write(&fit->info, out, err));
cleanup:
    free(config);
    return status;
}

static enum status load_data(struct fit *fit, struct error *err)
{
    enum status status = STATUS_OK;
    enum split split;
    TRY(dataset_load(&fit->train, &fit->cache, SPLIT_TRAIN, fit->info.size, &fit->compute, &fit->progress, err));
    fit->validates = choose_validation(&fit->cache.manifest, &split);
    if (fit->validates)
        TRY(dataset_load(&fit->validation, &fit->cache, split, fit->info.size, &fit->compute, &fit->progress, err));
    if (fit->loss.needs_labels && !fit->loss.needs_teacher && fit->train.labelled == 0)
        TRY(error_set(err, STATUS_CONFIG, fit->options.cache,
                      "no training sample has a label, so loss '%s' has nothing to learn", fit->loss.text));
cleanup:
    return status;
}

static enum status start_event(struct fit *fit, struct error *err)
{
    const struct run_field fields[] = {
        {"student", fit->info.student, 0},
        {"loss", fit->info.loss, 0},
        {"device", fit->compute.backend->describe(fit->compute.device), 0},
        {"parameters", NULL, (double)graph_parameter_count(&fit->student.graph)},
        {"first_epoch", NULL, fit->state.epoch + 1},
        {"epochs", NULL, fit->options.epochs},
    };
    return run_log_event(fit->log, "start", fields, sizeof fields / sizeof *fields, err);
}

static enum status run(struct fit *fit, struct error *err)
{
    enum status status = STATUS_OK;
    bool resumes;
    TRY(open_inputs(fit, err));
    TRY(open_folder(fit, &resumes, err));
    TRY(compute_open(&fit->compute, fit->options.device, fit->options.threads, err));
    fit->trainer_options = fit_trainer_options(&fit->options);
    fit->trained = (struct trainer_student){&fit->loss, fit->options.schedule, fit->options.seed};
    TRY(trainer_init(&fit->trainer, &fit->compute, &fit->student.graph, &fit->trained, 1, &fit->trainer_options, err));
    if (resumes)
        TRY(checkpoint_read(fit->checkpoint, &fit->trainer, &fit->state, fit->identity, err));
    else
        TRY(describe_run(fit, err));
    TRY(load_data(fit, err));
    TRY(run_log_open(&fit->log, fit->options.out, fit->terms, fit->loss.count, fit->state.epoch + 1, err));
    TRY(start_event(fit, err));
    if (!resumes)
        TRY(checkpoint_write(fit->checkpoint, &fit->trainer, &fit->state, fit->identity, err));
    TRY(fit_loop(fit, err));
    TRY(fit_result(fit, err));
    TRY(run_log_event(fit->log, "end", NULL, 0, err));
cleanup:
    return status;
}

static void release(struct fit *fit)
{
    run_log_close(fit->log);
    trainer_release(&fit->trainer);
    dataset_release(&fit->train);
    dataset_release(&fit->validation);
    compute_release(&fit->compute);
    student_release(&fit->student);
    run_info_release(&fit->info);
    cache_release(&fit->cache);
    if (fit->lock >= 0)
        file_unlock(fit->lock);
    free(fit->identity);
    free(fit->checkpoint);
    options_release(&fit->options.table);
}

enum status fit_command(int argc, char **argv, struct error *err)
{
    enum status status = STATUS_OK;
    struct fit fit = {.lock = -1};
    TRY(fit_options_parse(&fit.options, argc, argv, err));
    if (fit.options.table.help) {
        options_print_help(&fit.options.table, stdout);
        goto cleanup;
    }
    progress_init(&fit.progress, stderr, fit.options.quiet);
    status = run(&fit, err);
cleanup:
    release(&fit);
    return status;
}
