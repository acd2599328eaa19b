/* The teacher's part of the manifest (FORMAT.md, "cache.json"). */
#include "formats/cache/manifest.h"

#include "formats/json.h"
#include <math.h>
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
        cJSON *item = json_append(members, cJSON_CreateObject());
        cJSON_AddStringToObject(item, "file", member->file);
        cJSON_AddStringToObject(item, "sha256", member->digest);
        cJSON_AddNumberToObject(item, "weight", member->weight);
        add_engine(item, &member->engine);
    }
}

/* What was made of the models' outputs, if it was not nothing. */
static void add_outputs(cJSON *teacher, const struct cache_manifest *manifest)
{
    if (manifest->selected_count)
        json_add(teacher, "logits", cJSON_CreateIntArray(manifest->selected, manifest->selected_count));
    if (manifest->from_probabilities)
        cJSON_AddStringToObject(teacher, "from", "probabilities");
    if (manifest->bgr)
        cJSON_AddStringToObject(teacher, "channels", "bgr");
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
        json_append(kernels, cJSON_CreateString(manifest->kernels[i]));
    if (manifest->member_count)
        add_members(teacher, manifest);
    else
        add_engine(teacher, &manifest->engine);
    add_outputs(teacher, manifest);
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

static enum status parse_selected(const struct json_place *teacher, struct cache_manifest *manifest, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place array;
    TRY(json_array(teacher, "logits", MANIFEST_MAX_CLASSES, &array, &manifest->selected_count, err));
    int *selected = arena_alloc(&manifest->arena, (size_t)manifest->selected_count + 1, sizeof *selected);
    if (!selected)
        return error_no_memory(err, (size_t)manifest->selected_count * sizeof *selected, "the teacher's outputs");
    const cJSON *item = array.node->child;
    for (int i = 0; i < manifest->selected_count; i++, item = item->next) {
        const double value = cJSON_IsNumber(item) ? item->valuedouble : -1;
        if (!(value >= 0 && value < CACHE_MAX_OUTPUTS && value == floor(value)))
            return error_set(err, STATUS_BAD_DATA, teacher->path, "field teacher.logits[%d] must be a whole number", i);
        selected[i] = (int)value;
    }
    manifest->selected = selected;
    if (manifest->selected_count != manifest->class_count)
        return error_set(err, STATUS_BAD_DATA, teacher->path, "field teacher.logits has %d numbers for %d classes",
                         manifest->selected_count, manifest->class_count);
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

/* A field with one value that is not the usual one. */
static enum status parse_other(const struct json_place *at, const char *field, const char *value, bool *is,
                               struct error *err)
{
    int choice;
    *is = cJSON_HasObjectItem(at->node, field);
    return *is ? json_choice(at, field, &value, 1, &choice, err) : STATUS_OK;
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
    if (cJSON_HasObjectItem(teacher.node, "logits"))
        TRY(parse_selected(&teacher, manifest, err));
    TRY(parse_other(&teacher, "from", "probabilities", &manifest->from_probabilities, err));
    TRY(parse_other(&teacher, "channels", "bgr", &manifest->bgr, err));
cleanup:
    return status;
}

void manifest_check_to_json(cJSON *root, const struct cache_manifest *manifest)
{
    const struct cache_check *check = &manifest->check;
    if (check->photos + check->train_photos == 0)
        return;
    cJSON *object = cJSON_AddObjectToObject(root, "check");
    cJSON_AddNumberToObject(object, "photos", check->photos);
    cJSON_AddNumberToObject(object, "right", check->right);
    cJSON_AddNumberToObject(object, "train_photos", check->train_photos);
    cJSON_AddNumberToObject(object, "train_right", check->train_right);
    if (check->finding && check->finding[0])
        cJSON_AddStringToObject(object, "finding", check->finding);
}

static enum status parse_score(const struct json_place *check, const char *photos_field, const char *right_field,
                               int *photos, int *right, struct error *err)
{
    enum status status = STATUS_OK;
    int64_t count, of_which;
    TRY(json_integer(check, photos_field, 0, INT32_MAX / 2, &count, err));
    TRY(json_integer(check, right_field, 0, count, &of_which, err));
    *photos = (int)count;
    *right = (int)of_which;
cleanup:
    return status;
}

enum status manifest_check_parse(struct cache_manifest *manifest, const struct json_place *root, struct error *err)
{
    enum status status = STATUS_OK;
    struct cache_check *check = &manifest->check;
    struct json_place object;
    *check = (struct cache_check){.finding = ""};
    if (!cJSON_HasObjectItem(root->node, "check"))
        return STATUS_OK;
    TRY(json_object(root, "check", &object, err));
    TRY(parse_score(&object, "photos", "right", &check->photos, &check->right, err));
    TRY(parse_score(&object, "train_photos", "train_right", &check->train_photos, &check->train_right, err));
    TRY(parse_optional(&object, "finding", &manifest->arena, &check->finding, err));
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
    to->selected = from->selected;
    to->selected_count = from->selected_count;
    to->from_probabilities = from->from_probabilities;
    to->bgr = from->bgr;
    memcpy(to->kernels, from->kernels, sizeof to->kernels);
    to->kernel_count = from->kernel_count;
}
