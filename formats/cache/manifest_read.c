#include "formats/cache/manifest.h"

#include "formats/json.h"
#include "shared/augment/view.h"
#include <math.h>
#include <string.h>

#define INTEGER(at, field, low, high, target)                  \
    do {                                                       \
        int64_t value_;                                        \
        TRY(json_integer(at, field, low, high, &value_, err)); \
        (target) = value_;                                     \
    } while (0)

/* A sum that older caches do not have; absent: -1. */
static enum status parse_sum(const struct json_place *at, const char *field, double *value, struct error *err)
{
    *value = -1;
    if (!cJSON_HasObjectItem(at->node, field))
        return STATUS_OK;
    enum status status = json_number(at, field, value, err);
    if (status == STATUS_OK && !(*value >= 0))
        status = error_set(err, STATUS_BAD_DATA, at->path, "field %s.%s must not be below 0", at->place, field);
    return status;
}

static enum status parse_shard(const struct json_place *at, bool published, struct arena *arena,
                               struct cache_shard_entry *entry, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(json_string(at, "file", arena, &entry->file, err));
    INTEGER(at, "first", 0, UINT32_MAX, entry->first);
    INTEGER(at, "count", 1, CACHE_SHARD_SAMPLES, entry->count);
    if (published) {
        INTEGER(at, "bytes", 1, (int64_t)CACHE_SHARD_LIMIT * 2, entry->bytes);
        INTEGER(at, "image_bytes", 0, (int64_t)entry->bytes, entry->image_bytes);
        INTEGER(at, "labelled_views", 0, (int64_t)CACHE_SHARD_SAMPLES * MANIFEST_MAX_VIEWS, entry->labelled);
        INTEGER(at, "correct_views", 0, (int64_t)entry->labelled, entry->correct);
        TRY(json_digest(at, "sha256", entry->digest, err));
        TRY(parse_sum(at, "probability_squares", &entry->probability_squares, err));
        TRY(parse_sum(at, "entropy", &entry->entropy, err));
    }
cleanup:
    return status;
}

static enum status parse_classes(const struct json_place *root, struct cache_manifest *manifest, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place array, element = {0};
    TRY(json_array(root, "classes", MANIFEST_MAX_CLASSES, &array, &manifest->class_count, err));
    const char **names = arena_alloc(&manifest->arena, (size_t)manifest->class_count + 1, sizeof *names);
    if (!names)
        return error_no_memory(err, (size_t)manifest->class_count * sizeof *names, "class names");
    for (int i = 0; i < manifest->class_count; i++) {
        TRY(json_element(&array, i, &element, err));
        TRY(json_string(&element, NULL, &manifest->arena, &names[i], err));
    }
    if (manifest->class_count == 0)
        return error_set(err, STATUS_BAD_DATA, root->path, "field classes is empty");
    manifest->classes = names;
cleanup:
    return status;
}

static enum status parse_samples(const struct json_place *root, const char *field, struct arena *arena,
                                 const struct cache_skipped **samples, int *count, struct error *err)
{
    enum status status = STATUS_OK;
    const char *const splits[] = {split_name(0), split_name(1), split_name(2)};
    struct json_place array, element = {0};
    TRY(json_array(root, field, 1 << 24, &array, count, err));
    struct cache_skipped *list = arena_alloc(arena, (size_t)*count + 1, sizeof *list);
    if (!list)
        return error_no_memory(err, (size_t)*count * sizeof *list, "a list of samples");
    for (int i = 0; i < *count; i++) {
        int split;
        TRY(json_element(&array, i, &element, err));
        TRY(json_choice(&element, "split", splits, SPLIT_COUNT, &split, err));
        TRY(json_string(&element, "name", arena, &list[i].name, err));
        TRY(json_string(&element, "reason", arena, &list[i].reason, err));
        list[i].split = (enum split)split;
    }
    *samples = list;
cleanup:
    return status;
}

static enum status parse_left_out(const struct json_place *root, struct cache_manifest *manifest, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place array, element = {0};
    if (!cJSON_HasObjectItem(root->node, "left_out"))
        return STATUS_OK;
    TRY(json_array(root, "left_out", 1 << 16, &array, &manifest->left_out_count, err));
    struct cache_left_out *list = arena_alloc(&manifest->arena, (size_t)manifest->left_out_count + 1, sizeof *list);
    if (!list)
        return error_no_memory(err, (size_t)manifest->left_out_count * sizeof *list, "a list of files");
    for (int i = 0; i < manifest->left_out_count; i++) {
        TRY(json_element(&array, i, &element, err));
        TRY(json_string(&element, "kind", &manifest->arena, &list[i].kind, err));
        INTEGER(&element, "count", 1, INT64_C(1) << 53, list[i].count);
    }
    manifest->left_out = list;
cleanup:
    return status;
}

/* What became of the files of the data folder. */
static enum status parse_files(const struct json_place *root, struct cache_manifest *manifest, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(parse_samples(root, "skipped", &manifest->arena, &manifest->skipped, &manifest->skipped_count, err));
    if (cJSON_HasObjectItem(root->node, "salvaged"))
        TRY(parse_samples(root, "salvaged", &manifest->arena, &manifest->salvaged, &manifest->salvaged_count, err));
    TRY(parse_left_out(root, manifest, err));
cleanup:
    return status;
}

/* A field that older caches do not have; absent: false. */
static enum status parse_flag(const struct json_place *at, const char *field, bool *value, struct error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(at->node, field);
    *value = cJSON_IsTrue(item);
    return !item || cJSON_IsBool(item)
               ? STATUS_OK
               : error_set(err, STATUS_BAD_DATA, at->path, "field %s must be true or false", field);
}

static enum status parse_source(const struct json_place *root, struct cache_manifest *manifest, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place source;
    int encoding, mode;
    TRY(json_object(root, "source", &source, err));
    TRY(json_string(&source, "format", &manifest->arena, &manifest->source_format, err));
    TRY(json_digest(&source, "sha256", manifest->source_digest, err));
    TRY(json_choice(&source, "encoding", manifest_encodings, IMAGE_ENCODING_COUNT, &encoding, err));
    bool raw = encoding == IMAGE_RAW;
    manifest->encoding = (enum image_encoding)encoding;
    INTEGER(&source, "height", raw ? 1 : 0, raw ? IMAGE_MAX_SIDE : 0, manifest->raw_h);
    INTEGER(&source, "width", raw ? 1 : 0, raw ? IMAGE_MAX_SIDE : 0, manifest->raw_w);
    INTEGER(&source, "channels", 1, 3, manifest->channels);
    TRY(json_choice(&source, "images", manifest_image_modes, 2, &mode, err));
    TRY(json_string(&source, "path", &manifest->arena, &manifest->source_path, err));
    TRY(parse_flag(&source, "upright", &manifest->reading.upright, err));
    TRY(parse_flag(&source, "salvage", &manifest->reading.salvage, err));
    manifest->images_embedded = mode == 1;
    if (manifest->channels == 2 || (!raw && manifest->channels != 3))
        return error_set(err, STATUS_BAD_DATA, root->path, "field source.channels is %d", manifest->channels);
    if (raw && !manifest->images_embedded)
        return error_set(err, STATUS_BAD_DATA, root->path, "field source.images: raw images cannot be linked");
cleanup:
    return status;
}

static enum status parse_floats(const struct json_place *at, const char *field, float values[3], struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place array;
    int count;
    TRY(json_array(at, field, 3, &array, &count, err));
    const cJSON *item = array.node->child;
    for (int c = 0; c < 3; c++) {
        if (!item || !cJSON_IsNumber(item) || !isfinite((float)item->valuedouble))
            return error_set(err, STATUS_BAD_DATA, at->path, "field %s must be three numbers", array.place);
        values[c] = (float)item->valuedouble;
        item = item->next;
    }
cleanup:
    return status;
}

static enum status parse_replay(const struct json_place *root, struct cache_manifest *manifest, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place augmentation, preprocessing;
    TRY(manifest_teacher_parse(manifest, root, err));
    TRY(json_object(root, "augmentation", &augmentation, err));
    TRY(json_string(&augmentation, "recipe", &manifest->arena, &manifest->recipe, err));
    INTEGER(&augmentation, "version", 1, INT32_MAX, manifest->augment_version);
    TRY(json_u64(&augmentation, "seed", &manifest->seed, err));
    INTEGER(&augmentation, "views", 1, MANIFEST_MAX_VIEWS, manifest->views);
    TRY(json_object(root, "preprocessing", &preprocessing, err));
    INTEGER(&preprocessing, "base", 0, IMAGE_MAX_SIDE, manifest->base);
    if (cJSON_HasObjectItem(preprocessing.node, "resize")) {
        int resize;
        TRY(json_choice(&preprocessing, "resize", manifest_resizes, IMAGE_RESIZE_COUNT, &resize, err));
        manifest->resize = (enum image_resize)resize;
    }
    INTEGER(&preprocessing, "size", 1, VIEW_MAX_SIZE, manifest->size);
    TRY(parse_floats(&preprocessing, "mean", manifest->mean, err));
    TRY(parse_floats(&preprocessing, "std", manifest->std, err));
    TRY(manifest_check_replay(manifest, root->path, err));
cleanup:
    return status;
}

static enum status parse_outputs(const struct json_place *root, struct cache_manifest *manifest, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place outputs, array, element = {0};
    int form;
    TRY(json_object(root, "outputs", &outputs, err));
    INTEGER(&outputs, "top_k", 0, manifest->class_count - 1, manifest->top_k);
    TRY(json_array(&outputs, "features", CACHE_MAX_FEATURES, &array, &manifest->feature_count, err));
    for (int i = 0; i < manifest->feature_count; i++) {
        struct cache_feature *feature = &manifest->features[i];
        TRY(json_element(&array, i, &element, err));
        TRY(json_string(&element, "tensor", &manifest->arena, &feature->tensor, err));
        TRY(json_choice(&element, "form", manifest_forms, FEATURE_FORM_COUNT, &form, err));
        feature->form = (enum feature_form)form;
        INTEGER(&element, "channels", 1, form == FEATURE_AT ? 1 : 1 << 24, feature->c);
        INTEGER(&element, "height", 1, form == FEATURE_POOLED ? 1 : IMAGE_MAX_SIDE, feature->h);
        INTEGER(&element, "width", 1, form == FEATURE_POOLED ? 1 : IMAGE_MAX_SIDE, feature->w);
        INTEGER(&element, "views", 1, manifest->views, feature->views);
    }
cleanup:
    return status;
}

/* Shards must follow one another without gaps, have the right names and stay below the limit. */
static enum status check_shards(const struct cache_manifest *manifest, enum split s, const char *path,
                                struct error *err)
{
    const struct cache_split *split = &manifest->splits[s];
    size_t sample = cache_sample_bytes(manifest, s);
    uint64_t next = 0;
    for (int i = 0; i < split->shard_count; i++) {
        const struct cache_shard_entry *entry = &split->shards[i];
        char name[32];
        manifest_shard_name(name, s, i);
        if (strcmp(entry->file, name) != 0)
            return error_set(err, STATUS_BAD_DATA, path, "shard %d of split %s is not called %s", i, split_name(s),
                             name);
        if (entry->first != next)
            return error_set(err, STATUS_BAD_DATA, path, "%s must begin with sample %llu", name,
                             (unsigned long long)next);
        if (size_mul(sample, entry->count) > CACHE_SHARD_LIMIT)
            return error_set(err, STATUS_BAD_DATA, path, "%s is larger than a shard may be", name);
        next += entry->count;
    }
    if (next != split->samples)
        return error_set(err, STATUS_BAD_DATA, path, "the shards of split %s do not hold its %u samples", split_name(s),
                         split->samples);
    return STATUS_OK;
}

static enum status parse_splits(const struct json_place *root, struct cache_manifest *manifest, bool published,
                                struct error *err)
{
    enum status status = STATUS_OK;
    const char *const names[] = {split_name(0), split_name(1), split_name(2)};
    struct json_place array, element = {0}, shards;
    int count;
    TRY(json_array(root, "splits", SPLIT_COUNT, &array, &count, err));
    for (int i = 0; i < count; i++) {
        struct json_place entry = {0};
        int s;
        TRY(json_element(&array, i, &element, err));
        TRY(json_choice(&element, "split", names, SPLIT_COUNT, &s, err));
        struct cache_split *split = &manifest->splits[s];
        if (split->samples)
            return error_set(err, STATUS_BAD_DATA, root->path, "split %s appears twice", names[s]);
        int views = s == SPLIT_TRAIN ? manifest->views : 1;
        INTEGER(&element, "samples", 1, INT32_MAX, split->samples);
        INTEGER(&element, "views", views, views, split->views);
        TRY(json_array(&element, "shards", MANIFEST_MAX_SHARDS, &shards, &split->shard_count, err));
        split->shards = arena_alloc(&manifest->arena, (size_t)split->shard_count + 1, sizeof *split->shards);
        if (!split->shards)
            return error_no_memory(err, (size_t)split->shard_count * sizeof *split->shards, "the list of shards");
        for (int j = 0; j < split->shard_count; j++) {
            TRY(json_element(&shards, j, &entry, err));
            TRY(parse_shard(&entry, published, &manifest->arena, &split->shards[j], err));
        }
        TRY(check_shards(manifest, (enum split)s, root->path, err));
    }
cleanup:
    return status;
}

enum status manifest_parse_tree(struct cache_manifest *manifest, const struct json_place *root, bool published,
                                struct error *err)
{
    enum status status = STATUS_OK;
    int format;
    TRY(json_choice(root, "format", &manifest_format, 1, &format, err));
    INTEGER(root, "format_version", 1, INT32_MAX, manifest->format_version);
    if (manifest->format_version > CACHE_FORMAT_VERSION)
        FAIL(error_set(
            err, STATUS_CONFIG, root->path,
            "has format version %d, but this program reads versions up to %d: use the program that wrote it, or make "
            "the cache again",
            manifest->format_version, CACHE_FORMAT_VERSION));
    TRY(json_string(root, "program_version", &manifest->arena, &manifest->program_version, err));
    TRY(parse_classes(root, manifest, err));
    TRY(parse_files(root, manifest, err));
    TRY(parse_source(root, manifest, err));
    TRY(parse_replay(root, manifest, err));
    TRY(parse_outputs(root, manifest, err));
    TRY(manifest_check_parse(manifest, root, err));
    TRY(parse_splits(root, manifest, published, err));
    if (manifest->format_version < cache_lowest_version(manifest))
        FAIL(error_set(err, STATUS_BAD_DATA, root->path, "has format version %d, but fields of version %d",
                       manifest->format_version, cache_lowest_version(manifest)));
    manifest_sum_accuracy(manifest);
cleanup:
    return status;
}

enum status manifest_parse(struct cache_manifest *manifest, const char *text, size_t size, bool published,
                           const char *path, struct error *err)
{
    cJSON *tree = NULL;
    enum status status = json_parse_sealed(&tree, text, size, path, err);
    if (status != STATUS_OK)
        return status;
    const struct json_place root = json_root(tree, path);
    status = manifest_parse_tree(manifest, &root, published, err);
    cJSON_Delete(tree);
    return status;
}

enum status manifest_record_parse(struct cache_shard_entry *entry, const char *text, size_t size, const char *path,
                                  struct error *err)
{
    enum status status = STATUS_OK;
    struct arena arena = {0};
    struct cache_shard_entry record = *entry;
    cJSON *tree = NULL;
    TRY(json_parse_sealed(&tree, text, size, path, err));
    struct json_place root = json_root(tree, path);
    TRY(parse_shard(&root, true, &arena, &record, err));
    if (strcmp(record.file, entry->file) != 0 || record.first != entry->first || record.count != entry->count)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "is the record of another shard"));
    record.file = entry->file;
    *entry = record;
cleanup:
    cJSON_Delete(tree);
    arena_release(&arena);
    return status;
}
