#include "student_train/run/fit_result.h"

#include "formats/report/report_html.h"
#include "formats/export/safetensors.h"
#include "shared/base/files.h"
#include "student_train/run/disagreement_photos.h"
#include "student_train/run/evaluation_report.h"
#include "student_train/run/run_metrics.h"
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

/* A new trainer with the best weights: no state of training can leak into the numbers. */
static enum status evaluate_best(struct fit *fit, struct error *err)
{
    enum status status = STATUS_OK;
    struct trainer_options options = fit->options;
    struct evaluation evaluations[TRAINING_MAX_STUDENTS];
    options.ema_decay = 0;
    trainer_release(&fit->trainer);
    for (int k = 0; k < fit->count; k++)
        TRY(load_best(&fit->runs[k], err));
    if (fit->data->validates) {
        TRY(fit_trainer_init(fit, &fit->runs[0].student.graph, &options, NULL, err));
        const bool half = fit->runs[0].options.select_on == SELECT_ON_HALF;
        TRY(evaluation_run(evaluations, &fit->trainer, &fit->data->validation, half ? PART_ODD : PART_ALL, err));
        for (int k = 0; k < fit->count; k++) {
            evaluation_release(&fit->runs[k].evaluation);
            fit->runs[k].evaluation = evaluations[k];
        }
    }
cleanup:
    trainer_release(&fit->trainer);
    return status;
}

/* The measures of the validation split are left out: run->evaluation has them. */
static struct run_metrics metrics_of(const struct fit *fit, int k)
{
    const struct fit_run *run = &fit->runs[k];
    const struct compute *compute = &fit->data->compute;
    return (struct run_metrics){
        .name = run->info.name,
        .student = run->info.student,
        .loss = run->info.loss,
        .device = compute->backend->device->describe(compute->device),
        .parameters = (double)graph_parameter_count(&run->student.graph),
        .multiply_accumulates = (double)graph_multiply_count(&run->student.graph),
        .epochs = fit_run_epochs(run, &fit->state, k),
        .best_epoch = fit->state.best[k].epoch,
        .seconds = fit->state.seconds,
        .images_per_second = (double)fit->state.images / fmax(fit->state.seconds, 1e-9),
    };
}

cJSON *fit_result_json(const struct fit *fit, int k)
{
    const struct fit_run *run = &fit->runs[k];
    const struct cache_manifest *manifest = &fit->data->cache.manifest;
    const struct run_metrics metrics = metrics_of(fit, k);
    cJSON *root = cJSON_CreateObject();
    run_metrics_json(&metrics, root);
    if (fit->quantised)
        cJSON_AddBoolToObject(root, "int8", true); /* so the measures are those of the integer network */
    cJSON *teacher = cJSON_AddObjectToObject(root, "teacher_accuracy");
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const struct cache_split *split = &manifest->splits[s];
        if (cache_has_teacher(manifest) && split->samples > 0 && split->teacher_accuracy >= 0)
            cJSON_AddNumberToObject(teacher, split_name((enum split)s), split->teacher_accuracy);
    }
    if (fit->data->validates)
        evaluation_json(&run->evaluation, run->info.card.classes, cJSON_AddObjectToObject(root, "validation"));
    if (fit->data->validates && run->options.select_on == SELECT_ON_HALF)
        cJSON_AddNumberToObject(cJSON_GetObjectItem(root, "validation"), "selection", fit->state.best[k].score);
    return root;
}

void fit_result_print(const struct fit *fit, int k, FILE *out)
{
    const struct fit_run *run = &fit->runs[k];
    const struct run_metrics metrics = metrics_of(fit, k);
    fprintf(out, "%s: best of %.0f epochs is %.0f%s\n", metrics.name, metrics.epochs, metrics.best_epoch,
            run->early ? " (stopped early)" : "");
    if (fit->data->validates && run->options.select_on == SELECT_ON_HALF)
        fprintf(out, "chosen on one half of the split (%.2f %%), measured on the other\n",
                100 * fit->state.best[k].score);
    if (fit->quantised)
        fputs("measured with values and weights in 8 bits, as export --int8 rounds them\n", out);
    else if (run->options.qat_after != QAT_NEVER)
        fprintf(out, "not trained for 8 bits: it ended before epoch %d\n", run->options.qat_after + 1);
    if (fit->data->validates)
        evaluation_print(&run->evaluation, run->info.card.classes, out);
    fprintf(out, "\n%.0f parameters, %.1f million multiply-accumulates, %.0f images/s with validation, %.1f s\n",
            metrics.parameters, metrics.multiply_accumulates / 1e6, metrics.images_per_second, metrics.seconds);
    fprintf(out, "weights: %s/best.safetensors   report: %s/report.html\n", run->options.out, run->options.out);
}

/* The fields that hold only where something was measured. */
static void add_validation(struct report *report, const struct fit_run *run, bool teacher,
                           const struct disagreement_photos *photos)
{
    const struct evaluation *evaluation = &run->evaluation;
    report->split = split_name(evaluation->split);
    report->student_accuracy = evaluation->accuracy;
    report->teacher_accuracy = evaluation->teacher_accuracy;
    report->agreement = evaluation->agreement;
    report->confusion = evaluation->confusion;
    report->teacher_class_accuracy = teacher ? evaluation->teacher_class_accuracy : NULL;
    report->baseline_class_accuracy = run->baseline;
    report->baseline_title = run->baseline_title;
    report->student_reliability = &evaluation->opinions.student;
    report->teacher_reliability = &evaluation->opinions.teacher;
    report->disagreements = photos->cards;
    report->disagreement_count = photos->count;
}

/* A photo that is gone or broken since the training began must not cost the run its result: then there are none. */
static enum status read_photos(const struct fit *fit, const struct fit_run *run, struct disagreement_photos *photos,
                               struct error *err)
{
    struct error why = {0};
    const enum status status =
        disagreement_photos_make(photos, &run->evaluation.opinions, &fit->data->validation, &why);
    if (status == STATUS_OK)
        return status;
    disagreement_photos_release(photos);
    if (status == STATUS_INTERNAL)
        return error_pass(err, &why);
    progress_note(fit->progress, "the report has no photos: %s: %s", why.path, why.message);
    return STATUS_OK;
}

static enum status publish_report(const struct fit *fit, int k, struct error *err)
{
    const struct fit_run *run = &fit->runs[k];
    const struct fit_data *data = fit->data;
    const struct run_metrics metrics = metrics_of(fit, k);
    struct disagreement_photos photos = {0};
    enum status status = STATUS_OK;
    char *config = options_resolved(&run->options.table), *path = path_join(run->options.out, "report.html");
    struct arena arena = {0};
    const char *subtitle =
        arena_printf(&arena, "%s, %d pixels, %s", run->options.cache, run->info.card.size, metrics.device);
    if (!config || !path || !subtitle)
        FAIL(error_no_memory(err, 0, "the report"));
    if (data->validates)
        TRY(read_photos(fit, run, &photos, err));
    struct report report = {
        .title = metrics.name,
        .subtitle = subtitle,
        .student_accuracy = NAN,
        .teacher_accuracy = NAN,
        .agreement = NAN,
        .parameters = (long)metrics.parameters,
        .max_parameters = run->options.max_params,
        .images_per_second = metrics.images_per_second,
        .seconds = metrics.seconds,
        .terms = run->terms,
        .term_count = run->loss.count,
        .best_epoch = (int)metrics.best_epoch,
        .classes = run->info.card.classes,
        .class_count = run->info.card.class_count,
        .config = config,
    };
    if (data->validates)
        add_validation(&report, run, cache_has_teacher(&data->cache.manifest), &photos);
    report.epochs = run_log_epochs(run->log, &report.epoch_count);
    TRY(report_publish(&report, path, err));
cleanup:
    disagreement_photos_release(&photos);
    arena_release(&arena);
    free(config);
    free(path);
    return status;
}

enum status fit_result(struct fit *fit, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(evaluate_best(fit, err));
    for (int k = 0; k < fit->count; k++) {
        TRY(publish_report(fit, k, err));
        /* last: it marks the run as finished */
        TRY(run_publish_json(fit_result_json(fit, k), fit->runs[k].options.out, "metrics.json", err));
    }
cleanup:
    return status;
}
