#include "student_train/run/run_metrics.h"

#include "formats/json.h"
#include "shared/base/files.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS_LIMIT = 64 << 20 };

/* A number that may be null (not measured). */
static enum status number_or_nan(const struct json_place *at, const char *field, double *out, struct error *err)
{
    *out = NAN;
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(at->node, field)))
        return STATUS_OK;
    return json_number(at, field, out, err);
}

static enum status parse(struct run_metrics *metrics, const cJSON *json, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place root = json_root(json, path), validation;
    metrics->accuracy = metrics->agreement = metrics->loss_value = NAN;
    TRY(json_string(&root, "loss", &metrics->arena, &metrics->loss, err));
    TRY(json_string(&root, "student", &metrics->arena, &metrics->student, err));
    TRY(json_number(&root, "parameters", &metrics->parameters, err));
    TRY(json_number(&root, "epochs", &metrics->epochs, err));
    TRY(json_number(&root, "best_epoch", &metrics->best_epoch, err));
    TRY(json_number(&root, "seconds", &metrics->seconds, err));
    TRY(json_number(&root, "images_per_second", &metrics->images_per_second, err));
    if (cJSON_GetObjectItemCaseSensitive(json, "validation")) {
        TRY(json_object(&root, "validation", &validation, err));
        TRY(number_or_nan(&validation, "accuracy", &metrics->accuracy, err));
        TRY(number_or_nan(&validation, "loss", &metrics->loss_value, err));
        TRY(number_or_nan(&validation, "agreement", &metrics->agreement, err));
    }
cleanup:
    return status;
}

enum status run_metrics_read(struct run_metrics *metrics, const char *run, struct error *err)
{
    enum status status = STATUS_OK;
    unsigned char *text = NULL;
    cJSON *json = NULL;
    size_t size;
    char *path = path_join(run, "metrics.json");
    if (!path)
        return error_no_memory(err, strlen(run), "a path");
    if (!file_exists(path))
        status = error_set(err, STATUS_NO_INPUT, path, "is missing: the run is not finished, `fit --resume` goes on");
    else
        status = file_read(path, METRICS_LIMIT, &text, &size, err);
    if (status == STATUS_OK)
        status = json_parse(&json, (const char *)text, size, path, err);
    if (status == STATUS_OK)
        status = parse(metrics, json, path, err);
    cJSON_Delete(json);
    free(text);
    free(path);
    return status;
}

void run_metrics_release(struct run_metrics *metrics)
{
    arena_release(&metrics->arena);
    *metrics = (struct run_metrics){0};
}
