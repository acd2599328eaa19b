/* Trains runs side by side, from their checkpoint or from the beginning, to their results. */
#include "student_train/run/fit_identity.h"
#include "student_train/run/fit_result.h"

#include <stdlib.h>
#include <string.h>

static enum status start_event(const struct fit *fit, struct fit_run *run, struct error *err)
{
    const struct compute *compute = &fit->data->compute;
    const struct run_field fields[] = {
        {"student", run->info.student, 0},
        {"loss", run->info.loss, 0},
        {"device", compute->backend->device->describe(compute->device), 0},
        {"parameters", NULL, (double)graph_parameter_count(&run->student.graph)},
        {"first_epoch", NULL, fit->state.epoch + 1},
        {"epochs", NULL, run->options.epochs},
    };
    return run_log_event(run->log, "start", fields, sizeof fields / sizeof *fields, err);
}

enum status fit_trainer_init(struct fit *fit, const struct graph *graph, const struct trainer_options *options,
                             const struct cache_manifest *manifest, struct error *err)
{
    struct trainer_student students[TRAINING_MAX_STUDENTS];
    enum status status = STATUS_OK;
    for (int k = 0; k < fit->count; k++)
        students[k] =
            (struct trainer_student){&fit->runs[k].loss, fit->runs[k].options.schedule, fit->runs[k].options.seed};
    TRY(trainer_init(&fit->trainer, &fit->data->compute, graph, students, fit->count, options, manifest, err));
    for (int k = 1; k < fit->count; k++)
        TRY(trainer_set_weights(&fit->trainer, k, &fit->runs[k].student.graph, err));
cleanup:
    return status;
}

/* A student that was exported for inference has lost its batch norms, or what they have learned. */
static void note_folded_norms(const struct fit *fit)
{
    static const char how[] = "training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False, dynamo=False";
    for (int k = 0; k < fit->count; k++) {
        const struct fit_run *run = &fit->runs[k];
        const struct graph *graph = &run->student.graph;
        if (graph->folded_norms)
            progress_note(fit->progress,
                          "%s: the exporter has folded %d batch norms into layers; a student trains better with them: "
                          "export it with %s",
                          run->options.student, graph->folded_norms, how);
        if (graph->restored_norms)
            progress_note(fit->progress,
                          "%s: the exporter had fused %d batch norms into layers; they are batch norms again, with "
                          "weight 1, mean 0 and variance 1, and compute what the file computes. Weights that were "
                          "trained before start closer to what they were if the student is exported with %s, or if "
                          "--init has their safetensors",
                          run->options.student, graph->restored_norms, how);
    }
}

/* Loads the teacher's features that the loss compares, and notes what is compared. */
static enum status load_features(struct fit *fit, struct error *err)
{
    const struct loss_binding *binding = &fit->trainer.binding;
    const struct loss_expression *loss = &fit->runs[0].loss;
    enum status status = STATUS_OK;
    char *text = NULL;
    if (binding->pair_count == 0)
        return STATUS_OK;
    TRY(dataset_load_features(&fit->data->train, binding->cache_features, fit->progress, err));
    text = loss_binding_describe(binding, loss, &fit->data->cache.manifest);
    if (!text)
        FAIL(error_no_memory(err, 0, "the description of the loss"));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        progress_note(fit->progress, "%s", line);
cleanup:
    free(text);
    return status;
}

/* The identities of all runs: they must be equal for the checkpoint to be theirs. malloc'ed; NULL when out of
 * memory. */
static char *join_identities(const struct fit *fit)
{
    size_t size = 1;
    for (int k = 0; k < fit->count; k++)
        size += strlen(fit->runs[k].identity);
    char *text = calloc(size, 1);
    for (int k = 0; text && k < fit->count; k++)
        strcat(text, fit->runs[k].identity);
    return text;
}

static enum status log_hparams(struct fit_run *run, struct error *err)
{
    char *text = fit_hparams(&run->options);
    if (!text)
        return error_no_memory(err, 0, "hyperparameters");
    const enum status status = run_log_hparams(run->log, text, err);
    free(text);
    return status;
}

enum status fit_train(struct fit *fit, bool resumes, struct error *err)
{
    enum status status = STATUS_OK;
    char *identity = join_identities(fit);
    if (!identity)
        return error_no_memory(err, 0, "a run's identity");
    fit->identity = identity;
    fit->options = fit_trainer_options(&fit->runs[0].options);
    note_folded_norms(fit);
    if (resumes && fit->runs[0].options.qat_after != QAT_NEVER) {
        int epochs;
        TRY(checkpoint_epoch(fit->checkpoint, &epochs, err));
        if (fit_options_quantise(&fit->runs[0].options, epochs - 1))
            TRY(fit_quantise(fit, err));
    }
    TRY(fit_trainer_init(fit, &fit->runs[0].student.graph, &fit->options, &fit->data->cache.manifest, err));
    fit->size = fit->runs[0].info.card.size;
    const struct compute *compute = &fit->data->compute;
    const char *kernels = compute->backend->device->arithmetic(compute->device, fit->trainer.network.plan.dtype);
    snprintf(fit->state.kernels, sizeof fit->state.kernels, "%s", kernels);
    if (resumes)
        TRY(checkpoint_read(fit->checkpoint, &fit->trainer, &fit->state, identity, fit->runs[0].options.allow_mixed,
                            err));
    const bool mixed = strcmp(fit->state.kernels, kernels) != 0; /* run.json says so */
    for (int k = 0; k < fit->count; k++) {
        fit->runs[k].info.kernels = fit->state.kernels;
        if (!resumes || mixed)
            TRY(fit_run_describe(&fit->runs[k], err));
    }
    for (int k = 0; k < fit->count; k++)
        TRY(fit_data_load(fit->data, &fit->runs[k], fit->progress, err));
    TRY(load_features(fit, err));
    for (int k = 0; k < fit->count; k++) {
        struct fit_run *run = &fit->runs[k];
        TRY(run_log_open(&run->log, run->options.out, run->terms, run->loss.count,
                         fit_run_epochs(run, &fit->state, k) + 1, err));
        TRY(start_event(fit, run, err));
        TRY(log_hparams(run, err));
    }
    if (!resumes)
        TRY(checkpoint_write(fit->checkpoint, &fit->trainer, &fit->state, identity, err));
    TRY(fit_loop(fit, err));
    if (fit->paused)
        goto cleanup;
    TRY(fit_result(fit, err));
    for (int k = 0; k < fit->count; k++) {
        const struct evaluation *evaluation = &fit->runs[k].evaluation;
        TRY(run_log_success(fit->runs[k].log, evaluation->labelled ? evaluation->confusion : NULL, evaluation->classes,
                            err));
        TRY(run_log_event(fit->runs[k].log, "end", NULL, 0, err));
    }
cleanup:
    trainer_release(&fit->trainer);
    graph_release(&fit->graph);
    free(identity);
    return status;
}
