#define _POSIX_C_SOURCE 200809L
#include "student_train/run/run_folder.h"

#include "formats/json.h"
#include "formats/export/safetensors.h"
#include "shared/augment/view.h"
#include "shared/base/files.h"
#include "shared/quantise/training_graph.h"
#include <stdlib.h>
#include <string.h>

enum { RUN_FORMAT = 2, JSON_LIMIT = 16 << 20, MAX_CLASSES = 1 << 16 };

void run_info_from_cache(struct run_info *info, const struct cache *cache)
{
    const struct cache_manifest *manifest = &cache->manifest;
    info->card.classes = manifest->classes;
    info->card.class_count = manifest->class_count;
    info->card.channels = manifest->channels;
    info->card.crop = manifest->size;
    info->card.base = manifest->base;
    info->card.resize = manifest->resize;
    info->card.upright = manifest->reading.upright;
    memcpy(info->card.mean, manifest->mean, sizeof info->card.mean);
    memcpy(info->card.std, manifest->std, sizeof info->card.std);
}

enum status run_publish(const char *folder, const char *file, const void *bytes, size_t size, struct error *err)
{
    char *path = path_join(folder, file);
    if (!path)
        return error_no_memory(err, strlen(folder), "a path");
    enum status status = file_publish(path, bytes, size, err);
    free(path);
    return status;
}

enum status run_publish_json(cJSON *tree, const char *folder, const char *file, struct error *err)
{
    char *text = json_sealed_text(tree);
    if (!text)
        return error_no_memory(err, 0, file);
    enum status status = run_publish(folder, file, text, strlen(text), err);
    free(text);
    return status;
}

enum status run_publish_weights(const struct graph *graph, const char *folder, const char *file, struct error *err)
{
    uint8_t *bytes = NULL;
    size_t size;
    enum status status = safetensors_write_weights(graph, &bytes, &size, err);
    if (status == STATUS_OK)
        status = run_publish(folder, file, bytes, size, err);
    free(bytes);
    return status;
}

enum status run_info_write(const struct run_info *info, const char *folder, struct error *err)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "run_format", RUN_FORMAT);
    cJSON_AddStringToObject(root, "name", info->name);
    cJSON_AddStringToObject(root, "student", info->student);
    cJSON_AddStringToObject(root, "structure", info->structure);
    cJSON_AddStringToObject(root, "structure_sha256", info->structure_digest);
    cJSON_AddStringToObject(root, "loss", info->loss);
    if (info->kernels)
        cJSON_AddStringToObject(root, "kernels", info->kernels);
    cJSON_AddStringToObject(root, "cache", info->cache);
    cJSON_AddStringToObject(root, "cache_digest", info->cache_digest);
    json_add(root, "classes", model_card_classes(&info->card));
    json_add(root, "preprocessing", model_card_preprocessing(&info->card));
    return run_publish_json(root, folder, "run.json", err);
}

static enum status read_classes(struct run_info *info, const struct json_place *root, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place array, element = {0};
    const char **names;
    TRY(json_array(root, "classes", MAX_CLASSES, &array, &info->card.class_count, err));
    names = arena_alloc(&info->arena, (size_t)info->card.class_count + 1, sizeof *names);
    if (!names)
        FAIL(error_no_memory(err, (size_t)info->card.class_count * sizeof *names, "class names"));
    if (info->card.class_count == 0)
        FAIL(error_set(err, STATUS_BAD_DATA, root->path, "classes must not be empty"));
    for (int i = 0; i < info->card.class_count; i++) {
        TRY(json_element(&array, i, &element, err));
        TRY(json_string(&element, NULL, &info->arena, &names[i], err));
    }
    info->card.classes = names;
cleanup:
    return status;
}

/* Format 1 had the preprocessing's fields in the root. What a student of another size than the teacher's saw in
 * evaluation was sampled in a way that is gone. */
static enum status read_format_1(struct run_info *info, const struct json_place *root, struct error *err)
{
    struct model_card *card = &info->card;
    enum status status = STATUS_OK; /* photos were read as they lie, and resized by their short side */
    int64_t channels, size, crop, base;
    TRY(json_integer(root, "channels", 1, 3, &channels, err));
    TRY(json_integer(root, "size", 1, VIEW_MAX_SIZE, &size, err));
    TRY(json_integer(root, "crop", 1, VIEW_MAX_SIZE, &crop, err));
    TRY(json_integer(root, "base", 0, IMAGE_MAX_SIDE, &base, err));
    TRY(model_card_read_numbers(root, "mean", 3, card->mean, err));
    TRY(model_card_read_numbers(root, "std", 3, card->std, err));
    card->channels = (int)channels;
    card->size = (int)size;
    card->crop = (int)crop;
    card->base = (int)base;
    info->resampled = size != crop;
cleanup:
    return status;
}

static enum status read_fields(struct run_info *info, const struct json_place *root, struct error *err)
{
    enum status status = STATUS_OK;
    int64_t format;
    struct json_place preprocessing;
    TRY(json_integer(root, "run_format", 1, RUN_FORMAT, &format, err));
    TRY(json_string(root, "name", &info->arena, &info->name, err));
    TRY(json_string(root, "student", &info->arena, &info->student, err));
    TRY(json_string(root, "structure", &info->arena, &info->structure, err));
    info->structure_digest = ""; /* runs of the first versions have none */
    if (cJSON_HasObjectItem(root->node, "structure_sha256"))
        TRY(json_string(root, "structure_sha256", &info->arena, &info->structure_digest, err));
    TRY(json_string(root, "loss", &info->arena, &info->loss, err));
    TRY(json_string(root, "cache", &info->arena, &info->cache, err));
    TRY(json_string(root, "cache_digest", &info->arena, &info->cache_digest, err));
    TRY(read_classes(info, root, err));
    if (format == 1) {
        TRY(read_format_1(info, root, err));
    } else {
        TRY(json_object(root, "preprocessing", &preprocessing, err));
        TRY(model_card_read_preprocessing(&info->card, &preprocessing, err));
    }
    if (strcmp(info->structure, "student.net") != 0 && strcmp(info->structure, "student.onnx") != 0)
        FAIL(error_set(err, STATUS_BAD_DATA, root->path, "structure must be student.net or student.onnx, not '%.80s'",
                       info->structure));
cleanup:
    return status;
}

enum status run_info_read(struct run_info *info, const char *folder, struct error *err)
{
    enum status status = STATUS_OK;
    unsigned char *bytes = NULL;
    size_t size;
    enum file_kind kind;
    cJSON *json = NULL;
    char *path = path_join(folder, "run.json");
    *info = (struct run_info){0};
    if (!path)
        FAIL(error_no_memory(err, strlen(folder), "a path"));
    TRY(file_look(path, &kind, err));
    if (kind == FILE_ABSENT)
        FAIL(error_set(err, STATUS_NO_INPUT, folder,
                       "not a run: run.json is missing; `student_train fit --out` makes a run"));
    TRY(file_read(path, JSON_LIMIT, &bytes, &size, err));
    TRY(json_parse_sealed(&json, (const char *)bytes, size, path, err));
    struct json_place root = json_root(json, path);
    TRY(read_fields(info, &root, err));
cleanup:
    free(bytes);
    free(path);
    cJSON_Delete(json);
    if (status != STATUS_OK)
        run_info_release(info);
    return status;
}

void run_info_release(struct run_info *info)
{
    arena_release(&info->arena);
    *info = (struct run_info){0};
}

/* The path of "best", "last" or a file, malloc'ed; NULL when out of memory. */
static char *weights_path(const char *folder, const char *weights)
{
    if (strcmp(weights, "best") != 0 && strcmp(weights, "last") != 0)
        return strdup(weights);
    return path_join(folder, weights[0] == 'b' ? "best.safetensors" : "last.safetensors");
}

enum status run_student(const struct run_info *info, const char *folder, const char *weights, struct student *student,
                        struct error *err)
{
    enum status status = STATUS_OK;
    const struct student_input input = {info->card.channels, info->card.size, info->card.class_count};
    char *structure = path_join(folder, info->structure), *file = weights_path(folder, weights);
    *student = (struct student){0};
    if (!structure || !file)
        FAIL(error_no_memory(err, strlen(folder), "a path"));
    TRY(student_open(student, structure, &input, err));
    if (info->structure_digest[0] && strcmp(info->structure_digest, student->digest) != 0)
        FAIL(error_set(err, STATUS_BAD_DATA, structure,
                       "was changed or damaged: its SHA-256 is not the one in run.json; copy it again"));
    TRY(safetensors_read_weights_file(&student->graph, file, err));
cleanup:
    if (status != STATUS_OK)
        student_release(student);
    free(structure);
    free(file);
    return status;
}

enum status run_training_graph(const struct student *student, const char *folder, const char *weights,
                               struct graph *graph, struct error *err)
{
    enum status status = STATUS_OK;
    char *file = weights_path(folder, weights);
    TRY(training_graph(&student->graph, graph, err));
    if (!file)
        FAIL(error_no_memory(err, strlen(folder), "a path"));
    TRY(safetensors_read_weights_file(graph, file, err));
cleanup:
    free(file);
    return status;
}
