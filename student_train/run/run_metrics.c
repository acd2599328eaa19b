#include "student_train/run/run_metrics.h"

#include "formats/json.h"
#include "shared/base/files.h"
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS_LIMIT = 64 << 20 };

/* The fields of metrics.json, and where struct run_metrics has them. */
struct field {
    const char *name;
    size_t offset;
};
#define FIELD(name)                               \
    {                                             \
#name, offsetof(struct run_metrics, name) \
    }
static const struct field texts[] = {FIELD(name), FIELD(student), FIELD(loss), FIELD(device)};
static const struct field numbers[] = {FIELD(parameters), FIELD(multiply_accumulates), FIELD(epochs), FIELD(best_epoch),
                                       FIELD(seconds),    FIELD(images_per_second)};
/* In the object "validation"; null if it was not measured. */
static const struct field measures[] = {
    FIELD(accuracy), FIELD(agreement), {"loss", offsetof(struct run_metrics, loss_value)}, FIELD(selection)};
enum {
    TEXTS = sizeof texts / sizeof *texts,
    NUMBERS = sizeof numbers / sizeof *numbers,
    MEASURES = sizeof measures / sizeof *measures
};

static void *at(const struct run_metrics *metrics, const struct field *field)
{
    return (char *)(uintptr_t)metrics + field->offset;
}

void run_metrics_json(const struct run_metrics *metrics, cJSON *object)
{
    for (int i = 0; i < TEXTS; i++)
        cJSON_AddStringToObject(object, texts[i].name, *(const char **)at(metrics, &texts[i]));
    for (int i = 0; i < NUMBERS; i++)
        cJSON_AddNumberToObject(object, numbers[i].name, *(double *)at(metrics, &numbers[i]));
}

static enum status parse(struct run_metrics *metrics, const cJSON *json, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    const struct json_place root = json_root(json, path);
    struct json_place validation = {0};
    for (int i = 0; i < TEXTS; i++)
        TRY(json_string(&root, texts[i].name, &metrics->arena, at(metrics, &texts[i]), err));
    for (int i = 0; i < NUMBERS; i++)
        TRY(json_number(&root, numbers[i].name, at(metrics, &numbers[i]), err));
    if (cJSON_GetObjectItemCaseSensitive(json, "validation"))
        TRY(json_object(&root, "validation", &validation, err));
    for (int i = 0; i < MEASURES; i++) {
        *(double *)at(metrics, &measures[i]) = NAN;
        const cJSON *there = cJSON_GetObjectItemCaseSensitive(validation.node, measures[i].name);
        const bool optional = strcmp(measures[i].name, "selection") == 0;
        if (validation.node && !cJSON_IsNull(there) && (there || !optional))
            TRY(json_number(&validation, measures[i].name, at(metrics, &measures[i]), err));
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
    enum file_kind kind;
    char *path = path_join(run, "metrics.json");
    if (!path)
        return error_no_memory(err, strlen(run), "a path");
    status = file_look(path, &kind, err);
    if (status != STATUS_OK)
        goto cleanup;
    if (kind == FILE_ABSENT)
        status =
            error_set(err, STATUS_NO_INPUT, path, "is missing: the run is not finished; `fit --resume` resumes it");
    else
        status = file_read(path, METRICS_LIMIT, &text, &size, err);
    if (status == STATUS_OK)
        status = json_parse_sealed(&json, (const char *)text, size, path, err);
    if (status == STATUS_OK)
        status = parse(metrics, json, path, err);
cleanup:
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
