/* The teacher's part of the manifest (FORMAT.md, "cache.json"). */
#include "formats/cache/manifest.h"

#include "formats/json.h"
#include <string.h>

static void add_engine(cJSON *object, const struct cache_engine *engine)
{
    if (!engine->name || !engine->name[0])
        return;
    cJSON_AddStringToObject(object, "engine", engine->name);
    cJSON_AddStringToObject(object, "engine_version", engine->version);
}

static void add_members(cJSON *teacher, const struct cache_manifest *manifest)
{
    cJSON_AddStringToObject(teacher, "ensemble", manifest->ensemble);
    cJSON_AddStringToObject(teacher, "tta", manifest->tta);
    cJSON *members = cJSON_AddArrayToObject(teacher, "members");
    for (int i = 0; i < manifest->member_count; i++) {
        const struct cache_member *member = &manifest->members[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddItemToArray(members, item);
        cJSON_AddStringToObject(item, "file", member->file);
        cJSON_AddStringToObject(item, "sha256", member->digest);
        cJSON_AddNumberToObject(item, "weight", member->weight);
        add_engine(item, &member->engine);
    }
}

void manifest_teacher_to_json(cJSON *root, const struct cache_manifest *manifest)
{
    if (!cache_has_teacher(manifest)) {
        cJSON_AddNullToObject(root, "teacher");
        return;
    }
    cJSON *teacher = cJSON_AddObjectToObject(root, "teacher");
    cJSON_AddStringToObject(teacher, "file", manifest->teacher_file);
    cJSON_AddStringToObject(teacher, "sha256", manifest->teacher_digest);
    cJSON_AddStringToObject(teacher, "device", manifest->device);
    cJSON_AddStringToObject(teacher, "precision", manifest->precision);
    cJSON *kernels = manifest->kernel_count ? cJSON_AddArrayToObject(teacher, "kernels") : NULL;
    for (int i = 0; i < manifest->kernel_count; i++)
        cJSON_AddItemToArray(kernels, cJSON_CreateString(manifest->kernels[i]));
    if (manifest->member_count)
        add_members(teacher, manifest);
    else
        add_engine(teacher, &manifest->engine);
}

static enum status parse_optional(const struct json_place *at, const char *field, struct arena *arena,
                                  const char **text, struct error *err)
{
    return cJSON_HasObjectItem(at->node, field) ? json_string(at, field, arena, text, err) : STATUS_OK;
}

static enum status parse_engine(const struct json_place *at, struct arena *arena, struct cache_engine *engine,
                                struct error *err)
{
    enum status status = STATUS_OK;
    *engine = (struct cache_engine){"", ""};
    if (!cJSON_HasObjectItem(at->node, "engine"))
        return STATUS_OK;
    TRY(json_string(at, "engine", arena, &engine->name, err));
    TRY(json_string(at, "engine_version", arena, &engine->version, err));
cleanup:
    return status;
}

static enum status parse_member(const struct json_place *at, struct arena *arena, struct cache_member *member,
                                struct error *err)
{
    enum status status = STATUS_OK;
    TRY(json_string(at, "file", arena, &member->file, err));
    TRY(json_digest(at, "sha256", member->digest, err));
    TRY(json_number(at, "weight", &member->weight, err));
    if (!(member->weight > 0) || !(member->weight <= 1))
        return error_set(err, STATUS_BAD_DATA, at->path, "field %s.weight must be above 0 and at most 1", at->place);
    TRY(parse_engine(at, arena, &member->engine, err));
cleanup:
    return status;
}

static enum status parse_members(const struct json_place *teacher, struct cache_manifest *manifest, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place array, element = {0};
    TRY(json_string(teacher, "ensemble", &manifest->arena, &manifest->ensemble, err));
    TRY(json_string(teacher, "tta", &manifest->arena, &manifest->tta, err));
    TRY(json_array(teacher, "members", CACHE_MAX_MEMBERS, &array, &manifest->member_count, err));
    if (manifest->member_count == 0)
        return error_set(err, STATUS_BAD_DATA, teacher->path, "field teacher.members is empty");
    for (int i = 0; i < manifest->member_count; i++) {
        TRY(json_element(&array, i, &element, err));
        TRY(parse_member(&element, &manifest->arena, &manifest->members[i], err));
    }
cleanup:
    return status;
}

static enum status parse_kernels(const struct json_place *teacher, struct cache_manifest *manifest, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place array, element = {0};
    if (!cJSON_HasObjectItem(teacher->node, "kernels"))
        return STATUS_OK;
    TRY(json_array(teacher, "kernels", CACHE_MAX_KERNELS, &array, &manifest->kernel_count, err));
    for (int i = 0; i < manifest->kernel_count; i++) {
        TRY(json_element(&array, i, &element, err));
        TRY(json_string(&element, NULL, &manifest->arena, &manifest->kernels[i], err));
    }
cleanup:
    return status;
}

enum status manifest_teacher_parse(struct cache_manifest *manifest, const struct json_place *root, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place teacher;
    manifest->teacher_file = manifest->device = manifest->precision = "";
    manifest->engine = (struct cache_engine){"", ""};
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(root->node, "teacher")))
        return STATUS_OK;
    /* Caches of the first versions have neither device nor precision: those had the CPU only. */
    manifest->device = "cpu";
    manifest->precision = "fp32";
    TRY(json_object(root, "teacher", &teacher, err));
    TRY(json_string(&teacher, "file", &manifest->arena, &manifest->teacher_file, err));
    TRY(json_digest(&teacher, "sha256", manifest->teacher_digest, err));
    TRY(parse_optional(&teacher, "device", &manifest->arena, &manifest->device, err));
    TRY(parse_optional(&teacher, "precision", &manifest->arena, &manifest->precision, err));
    TRY(parse_engine(&teacher, &manifest->arena, &manifest->engine, err));
    TRY(parse_kernels(&teacher, manifest, err));
    if (cJSON_HasObjectItem(teacher.node, "members"))
        TRY(parse_members(&teacher, manifest, err));
cleanup:
    return status;
}

void cache_copy_members(struct cache_manifest *to, const struct cache_manifest *from)
{
    to->engine = from->engine;
    memcpy(to->members, from->members, sizeof to->members);
    to->member_count = from->member_count;
    to->ensemble = from->ensemble;
    to->tta = from->tta;
    memcpy(to->kernels, from->kernels, sizeof to->kernels);
    to->kernel_count = from->kernel_count;
}
