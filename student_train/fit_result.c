#include "student_train/fit.h"

#include "formats/report_html.h"
#include "formats/safetensors.h"
#include "shared/base/files.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum status load_best(struct fit *fit, struct error *err)
{
    char *path = path_join(fit->options.out, "best.safetensors");
    if (!path)
        return error_no_memory(err, strlen(fit->options.out), "a path");
    enum status status = safetensors_read_weights_file(&fit->student.graph, path, err);
    free(path);
    return status;
}

/* A fresh trainer with the best weights: nothing of training's state can leak into the numbers. */
static enum status evaluate_best(struct fit *fit, struct evaluation *evaluation, struct error *err)
{
    enum status status = STATUS_OK;
    struct trainer_options options = fit->trainer_options;
    options.ema_decay = 0;
    trainer_release(&fit->trainer);
    TRY(load_best(fit, err));
    if (fit->validates) {
        TRY(trainer_init(&fit->trainer, &fit->compute, &fit->student.graph, &fit->trained, 1, &options, err));
        TRY(evaluation_run(evaluation, &fit->trainer, &fit->validation, err));
    }
cleanup:
    trainer_release(&fit->trainer);
    return status;
}

static cJSON *metrics_json(const struct fit *fit, const struct evaluation *evaluation)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "name", fit->info.name);
    cJSON_AddStringToObject(root, "student", fit->info.student);
    cJSON_AddStringToObject(root, "loss", fit->info.loss);
    cJSON_AddStringToObject(root, "device", fit->compute.backend->describe(fit->compute.device));
    cJSON_AddNumberToObject(root, "parameters", (double)graph_parameter_count(&fit->student.graph));
    cJSON_AddNumberToObject(root, "multiply_accumulates", (double)graph_multiply_count(&fit->student.graph));
    cJSON_AddNumberToObject(root, "epochs", fit->state.epoch);
    cJSON_AddNumberToObject(root, "best_epoch", fit->state.best_epoch);
    cJSON_AddNumberToObject(root, "seconds", fit->state.seconds);
    cJSON_AddNumberToObject(root, "images_per_second", (double)fit->state.images / fmax(fit->state.seconds, 1e-9));
    cJSON *teacher = cJSON_AddObjectToObject(root, "teacher_accuracy");
    for (int s = 0; s < SPLIT_COUNT; s++)
        if (fit->cache.manifest.splits[s].samples > 0 && fit->cache.manifest.splits[s].teacher_accuracy >= 0)
            cJSON_AddNumberToObject(teacher, split_name((enum split)s), fit->cache.manifest.splits[s].teacher_accuracy);
    if (fit->validates)
        evaluation_json(evaluation, fit->info.classes, cJSON_AddObjectToObject(root, "validation"));
    return root;
}

static enum status publish_report(const struct fit *fit, const struct evaluation *evaluation, struct error *err)
{
    enum status status = STATUS_OK;
    char *config = options_resolved(&fit->options.table), *path = path_join(fit->options.out, "report.html");
    char subtitle[1024];
    snprintf(subtitle, sizeof subtitle, "%s, %d pixels, %s", fit->options.cache, fit->info.size,
             fit->compute.backend->describe(fit->compute.device));
    struct report report = {
        .title = fit->info.name,
        .subtitle = subtitle,
        .split = fit->validates ? split_name(evaluation->split) : NULL,
        .student_accuracy = fit->validates ? evaluation->accuracy : NAN,
        .teacher_accuracy = fit->validates ? evaluation->teacher_accuracy : NAN,
        .agreement = fit->validates ? evaluation->agreement : NAN,
        .parameters = (long)graph_parameter_count(&fit->student.graph),
        .max_parameters = fit->options.max_params,
        .images_per_second = (double)fit->state.images / fmax(fit->state.seconds, 1e-9),
        .seconds = fit->state.seconds,
        .terms = fit->terms,
        .term_count = fit->loss.count,
        .best_epoch = fit->state.best_epoch,
        .classes = fit->info.classes,
        .class_count = fit->info.class_count,
        .confusion = evaluation->confusion,
        .teacher_class_accuracy = cache_has_teacher(&fit->cache.manifest) ? evaluation->teacher_class_accuracy : NULL,
        .config = config,
    };
    if (!config || !path)
        TRY(error_no_memory(err, 0, "the report"));
    report.epochs = run_log_epochs(fit->log, &report.epoch_count);
    TRY(report_publish(&report, path, err));
cleanup:
    free(config);
    free(path);
    return status;
}

static void print_summary(const struct fit *fit, const struct evaluation *evaluation)
{
    const double rate = (double)fit->state.images / fmax(fit->state.seconds, 1e-9);
    printf("%s: best of %d epochs is %d%s\n", fit->info.name, fit->state.epoch, fit->state.best_epoch,
           fit->early ? " (stopped early)" : "");
    if (fit->validates)
        evaluation_print(evaluation, fit->info.classes, stdout);
    printf("\n%zu parameters, %.1f million multiply-accumulates, %.0f images/s with validation, %.1f s\n",
           graph_parameter_count(&fit->student.graph), (double)graph_multiply_count(&fit->student.graph) / 1e6, rate,
           fit->state.seconds);
    printf("weights: %s/best.safetensors   report: %s/report.html\n", fit->options.out, fit->options.out);
}

enum status fit_result(struct fit *fit, struct error *err)
{
    enum status status = STATUS_OK;
    struct evaluation evaluation = {0};
    cJSON *json = NULL;
    char *text = NULL;
    TRY(trainer_weights(&fit->trainer, 0, &fit->student.graph, err));
    TRY(run_publish_weights(&fit->student.graph, fit->options.out, "last.safetensors", err));
    TRY(evaluate_best(fit, &evaluation, err));
    json = metrics_json(fit, &evaluation);
    text = cJSON_Print(json);
    if (!text)
        TRY(error_no_memory(err, 0, "metrics.json"));
    TRY(run_publish(fit->options.out, "metrics.json", text, strlen(text), err));
    TRY(publish_report(fit, &evaluation, err));
    if (fit->options.json)
        printf("%s\n", text);
    else
        print_summary(fit, &evaluation);
cleanup:
    evaluation_release(&evaluation);
    cJSON_Delete(json);
    free(text);
    return status;
}
