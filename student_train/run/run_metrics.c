#include "student_train/run/run_metrics.h"

#include "formats/json.h"
#include "shared/base/files.h"
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS_LIMIT = 64 << 20, MAX_CLASSES = 1 << 20 };

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

/* The tree of RUN/metrics.json, and its path for messages; the caller frees both, also after an error. */
static enum status load(const char *run, cJSON **json, char **path, struct error *err)
{
    enum status status = STATUS_OK;
    unsigned char *text = NULL;
    size_t size;
    enum file_kind kind;
    *json = NULL;
    *path = path_join(run, "metrics.json");
    if (!*path)
        return error_no_memory(err, strlen(run), "a path");
    TRY(file_look(*path, &kind, err));
    if (kind == FILE_ABSENT)
        FAIL(error_set(err, STATUS_NO_INPUT, *path, "is missing: the run is not finished; `fit --resume` resumes it"));
    TRY(file_read(*path, METRICS_LIMIT, &text, &size, err));
    TRY(json_parse_sealed(json, (const char *)text, size, *path, err));
cleanup:
    free(text);
    return status;
}

enum status run_metrics_read(struct run_metrics *metrics, const char *run, struct error *err)
{
    cJSON *json;
    char *path;
    enum status status = load(run, &json, &path, err);
    if (status == STATUS_OK)
        status = parse(metrics, json, path, err);
    cJSON_Delete(json);
    free(path);
    return status;
}

enum status run_class_accuracy(const char *run, const char *const *classes, int class_count, double *accuracy,
                               const char **loss, struct arena *arena, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place validation, list, item = {0};
    const char *name;
    cJSON *json;
    char *path;
    int count;
    TRY(load(run, &json, &path, err));
    const struct json_place root = json_root(json, path);
    if (loss)
        TRY(json_string(&root, "loss", arena, loss, err));
    if (!cJSON_GetObjectItemCaseSensitive(json, "validation"))
        FAIL(error_set(err, STATUS_CONFIG, path, "the run had no validation split, so no class was measured"));
    TRY(json_object(&root, "validation", &validation, err));
    TRY(json_array(&validation, "per_class", MAX_CLASSES, &list, &count, err));
    if (count != class_count)
        FAIL(error_set(err, STATUS_CONFIG, path, "is of a run with %d classes, here are %d", count, class_count));
    for (int k = 0; k < count; k++) {
        TRY(json_element(&list, k, &item, err));
        TRY(json_string(&item, "class", arena, &name, err));
        if (strcmp(name, classes[k]) != 0)
            FAIL(error_set(err, STATUS_CONFIG, path, "class %d is '%s', here it is '%s'", k, name, classes[k]));
        accuracy[k] = NAN;
        if (!cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(item.node, "accuracy")))
            TRY(json_number(&item, "accuracy", &accuracy[k], err));
    }
cleanup:
    cJSON_Delete(json);
    free(path);
    return status;
}

void run_metrics_release(struct run_metrics *metrics)
{
    arena_release(&metrics->arena);
    *metrics = (struct run_metrics){0};
}
