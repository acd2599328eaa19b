#include "student_train/run/fit.h"

#include "formats/report/report_html.h"
#include "formats/export/safetensors.h"
#include "shared/base/files.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum status load_best(struct fit_run *run, struct error *err)
{
    char *path = path_join(run->options.out, "best.safetensors");
    if (!path)
        return error_no_memory(err, strlen(run->options.out), "a path");
    enum status status = safetensors_read_weights_file(&run->student.graph, path, err);
    free(path);
    return status;
}

/* A fresh trainer with the best weights: nothing of training's state can leak into the numbers. */
static enum status evaluate_best(struct fit *fit, struct error *err)
{
    enum status status = STATUS_OK;
    struct trainer_options options = fit->options;
    struct trainer_student students[TRAINING_MAX_STUDENTS];
    struct evaluation evaluations[TRAINING_MAX_STUDENTS];
    options.ema_decay = 0;
    trainer_release(&fit->trainer);
    for (int k = 0; k < fit->count; k++) {
        TRY(load_best(&fit->runs[k], err));
        students[k] =
            (struct trainer_student){&fit->runs[k].loss, fit->runs[k].options.schedule, fit->runs[k].options.seed};
    }
    if (fit->data->validates) {
        TRY(trainer_init(&fit->trainer, &fit->data->compute, &fit->runs[0].student.graph, students, fit->count,
                         &options, NULL, err));
        for (int k = 1; k < fit->count; k++)
            TRY(trainer_set_weights(&fit->trainer, k, &fit->runs[k].student.graph, err));
        TRY(evaluation_run(evaluations, &fit->trainer, &fit->data->validation, err));
        for (int k = 0; k < fit->count; k++) {
            evaluation_release(&fit->runs[k].evaluation);
            fit->runs[k].evaluation = evaluations[k];
        }
    }
cleanup:
    trainer_release(&fit->trainer);
    return status;
}

static double images_per_second(const struct fit *fit)
{
    return (double)fit->state.images / fmax(fit->state.seconds, 1e-9);
}

static cJSON *metrics_json(const struct fit *fit, int k)
{
    const struct fit_run *run = &fit->runs[k];
    const struct fit_data *data = fit->data;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "name", run->info.name);
    cJSON_AddStringToObject(root, "student", run->info.student);
    cJSON_AddStringToObject(root, "loss", run->info.loss);
    cJSON_AddStringToObject(root, "device", data->compute.backend->device->describe(data->compute.device));
    cJSON_AddNumberToObject(root, "parameters", (double)graph_parameter_count(&run->student.graph));
    cJSON_AddNumberToObject(root, "multiply_accumulates", (double)graph_multiply_count(&run->student.graph));
    cJSON_AddNumberToObject(root, "epochs", fit_run_epochs(run, &fit->state, k));
    cJSON_AddNumberToObject(root, "best_epoch", fit->state.best[k].epoch);
    cJSON_AddNumberToObject(root, "seconds", fit->state.seconds);
    cJSON_AddNumberToObject(root, "images_per_second", images_per_second(fit));
    cJSON *teacher = cJSON_AddObjectToObject(root, "teacher_accuracy");
    for (int s = 0; s < SPLIT_COUNT; s++)
        if (cache_has_teacher(&data->cache.manifest) && data->cache.manifest.splits[s].samples > 0 &&
            data->cache.manifest.splits[s].teacher_accuracy >= 0)
            cJSON_AddNumberToObject(teacher, split_name((enum split)s),
                                    data->cache.manifest.splits[s].teacher_accuracy);
    if (data->validates)
        evaluation_json(&run->evaluation, run->info.classes, cJSON_AddObjectToObject(root, "validation"));
    return root;
}

static enum status publish_report(const struct fit *fit, int k, struct error *err)
{
    const struct fit_run *run = &fit->runs[k];
    const struct fit_data *data = fit->data;
    const struct evaluation *evaluation = &run->evaluation;
    enum status status = STATUS_OK;
    char *config = options_resolved(&run->options.table), *path = path_join(run->options.out, "report.html");
    char subtitle[1024];
    snprintf(subtitle, sizeof subtitle, "%s, %d pixels, %s", run->options.cache, run->info.size,
             data->compute.backend->device->describe(data->compute.device));
    struct report report = {
        .title = run->info.name,
        .subtitle = subtitle,
        .split = data->validates ? split_name(evaluation->split) : NULL,
        .student_accuracy = data->validates ? evaluation->accuracy : NAN,
        .teacher_accuracy = data->validates ? evaluation->teacher_accuracy : NAN,
        .agreement = data->validates ? evaluation->agreement : NAN,
        .parameters = (long)graph_parameter_count(&run->student.graph),
        .max_parameters = run->options.max_params,
        .images_per_second = images_per_second(fit),
        .seconds = fit->state.seconds,
        .terms = run->terms,
        .term_count = run->loss.count,
        .best_epoch = fit->state.best[k].epoch,
        .classes = run->info.classes,
        .class_count = run->info.class_count,
        .confusion = evaluation->confusion,
        .teacher_class_accuracy = cache_has_teacher(&data->cache.manifest) ? evaluation->teacher_class_accuracy : NULL,
        .config = config,
    };
    if (!config || !path)
        TRY(error_no_memory(err, 0, "the report"));
    report.epochs = run_log_epochs(run->log, &report.epoch_count);
    TRY(report_publish(&report, path, err));
cleanup:
    free(config);
    free(path);
    return status;
}

static void print_summary(const struct fit *fit, int k)
{
    const struct fit_run *run = &fit->runs[k];
    printf("%s: best of %d epochs is %d%s\n", run->info.name, fit_run_epochs(run, &fit->state, k),
           fit->state.best[k].epoch, run->early ? " (stopped early)" : "");
    if (fit->data->validates)
        evaluation_print(&run->evaluation, run->info.classes, stdout);
    printf("\n%zu parameters, %.1f million multiply-accumulates, %.0f images/s with validation, %.1f s\n",
           graph_parameter_count(&run->student.graph), (double)graph_multiply_count(&run->student.graph) / 1e6,
           images_per_second(fit), fit->state.seconds);
    printf("weights: %s/best.safetensors   report: %s/report.html\n", run->options.out, run->options.out);
}

/* metrics.json as text, malloc'ed; NULL out of memory. */
static char *metrics_text(const struct fit *fit, int k)
{
    cJSON *json = metrics_json(fit, k);
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    return text;
}

enum status fit_result(struct fit *fit, struct error *err)
{
    enum status status = STATUS_OK;
    char *text = NULL;
    TRY(evaluate_best(fit, err));
    for (int k = 0; k < fit->count; k++) {
        text = metrics_text(fit, k);
        if (!text)
            TRY(error_no_memory(err, 0, "metrics.json"));
        TRY(publish_report(fit, k, err));
        TRY(run_publish(fit->runs[k].options.out, "metrics.json", text, strlen(text), err));
        free(text);
        text = NULL;
    }
cleanup:
    free(text);
    return status;
}

enum status fit_print(const struct fit *fit, int run, struct error *err)
{
    if (!fit->runs[run].options.json) {
        print_summary(fit, run);
        return STATUS_OK;
    }
    char *text = metrics_text(fit, run);
    if (!text)
        return error_no_memory(err, 0, "metrics.json");
    printf("%s\n", text);
    free(text);
    return STATUS_OK;
}
