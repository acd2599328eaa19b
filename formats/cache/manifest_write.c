#include "formats/cache/manifest.h"

#include "formats/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const manifest_forms[FEATURE_FORM_COUNT] = {"fp16", "int8", "pooled", "at"};
const char *const manifest_encodings[IMAGE_ENCODING_COUNT] = {"jpeg", "raw", "files"};
const char *const manifest_resizes[IMAGE_RESIZE_COUNT] = {"shorter", "squash", "pad"};
const char *const manifest_image_modes[2] = {"link", "embed"};
const char *const manifest_format = "softcache";

const char *feature_form_name(enum feature_form form)
{
    return manifest_forms[form];
}

int cache_lowest_version(const struct cache_manifest *manifest)
{
    return manifest->encoding == IMAGE_FILES || manifest->reading.upright || manifest->reading.salvage ||
                   manifest->resize != IMAGE_RESIZE_SHORTER
               ? 2
               : 1;
}

void manifest_shard_name(char name[32], enum split split, int shard)
{
    snprintf(name, 32, "%s-%05d.h5", split_name(split), shard);
}

cJSON *manifest_shard_to_json(const struct cache_shard_entry *entry, bool published)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "file", entry->file);
    cJSON_AddNumberToObject(item, "first", entry->first);
    cJSON_AddNumberToObject(item, "count", entry->count);
    if (published) {
        cJSON_AddNumberToObject(item, "bytes", (double)entry->bytes);
        cJSON_AddNumberToObject(item, "image_bytes", (double)entry->image_bytes);
        cJSON_AddNumberToObject(item, "labelled_views", (double)entry->labelled);
        cJSON_AddNumberToObject(item, "correct_views", (double)entry->correct);
        if (entry->probability_squares >= 0)
            cJSON_AddNumberToObject(item, "probability_squares", entry->probability_squares);
        if (entry->entropy >= 0)
            cJSON_AddNumberToObject(item, "entropy", entry->entropy);
        cJSON_AddStringToObject(item, "sha256", entry->digest);
    }
    return item;
}

static void add_samples(cJSON *root, const char *field, const struct cache_skipped *samples, int count)
{
    cJSON *array = cJSON_AddArrayToObject(root, field);
    for (int i = 0; i < count; i++) {
        cJSON *item = json_append(array, cJSON_CreateObject());
        cJSON_AddStringToObject(item, "split", split_name(samples[i].split));
        cJSON_AddStringToObject(item, "name", samples[i].name);
        cJSON_AddStringToObject(item, "reason", samples[i].reason);
    }
}

/* Fields that say what all caches were before they existed are left out. */
static void add_source(cJSON *root, const struct cache_manifest *manifest)
{
    cJSON *source = cJSON_AddObjectToObject(root, "source");
    cJSON_AddStringToObject(source, "format", manifest->source_format);
    cJSON_AddStringToObject(source, "sha256", manifest->source_digest);
    cJSON_AddStringToObject(source, "encoding", manifest_encodings[manifest->encoding]);
    cJSON_AddNumberToObject(source, "height", manifest->raw_h);
    cJSON_AddNumberToObject(source, "width", manifest->raw_w);
    cJSON_AddNumberToObject(source, "channels", manifest->channels);
    cJSON_AddStringToObject(source, "images", manifest_image_modes[manifest->images_embedded]);
    cJSON_AddStringToObject(source, "path", manifest->source_path);
    if (manifest->reading.upright)
        cJSON_AddBoolToObject(source, "upright", true);
    if (manifest->reading.salvage)
        cJSON_AddBoolToObject(source, "salvage", true);
    cJSON *classes = cJSON_AddArrayToObject(root, "classes");
    for (int i = 0; i < manifest->class_count; i++)
        json_append(classes, cJSON_CreateString(manifest->classes[i]));
    add_samples(root, "skipped", manifest->skipped, manifest->skipped_count);
    if (manifest->salvaged_count)
        add_samples(root, "salvaged", manifest->salvaged, manifest->salvaged_count);
    cJSON *left_out = manifest->left_out_count ? cJSON_AddArrayToObject(root, "left_out") : NULL;
    for (int i = 0; i < manifest->left_out_count; i++) {
        cJSON *item = json_append(left_out, cJSON_CreateObject());
        cJSON_AddStringToObject(item, "kind", manifest->left_out[i].kind);
        cJSON_AddNumberToObject(item, "count", (double)manifest->left_out[i].count);
    }
}

static void add_floats(cJSON *object, const char *field, const float values[3])
{
    cJSON *array = cJSON_AddArrayToObject(object, field);
    for (int c = 0; c < 3; c++)
        json_append(array, json_float(values[c]));
}

static void add_replay(cJSON *root, const struct cache_manifest *manifest)
{
    char seed[24];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)manifest->seed);
    manifest_teacher_to_json(root, manifest);
    cJSON *augmentation = cJSON_AddObjectToObject(root, "augmentation");
    cJSON_AddStringToObject(augmentation, "recipe", manifest->recipe);
    cJSON_AddNumberToObject(augmentation, "version", manifest->augment_version);
    cJSON_AddStringToObject(augmentation, "seed", seed);
    cJSON_AddNumberToObject(augmentation, "views", manifest->views);
    cJSON *preprocessing = cJSON_AddObjectToObject(root, "preprocessing");
    cJSON_AddNumberToObject(preprocessing, "base", manifest->base);
    if (manifest->resize != IMAGE_RESIZE_SHORTER)
        cJSON_AddStringToObject(preprocessing, "resize", manifest_resizes[manifest->resize]);
    cJSON_AddNumberToObject(preprocessing, "size", manifest->size);
    add_floats(preprocessing, "mean", manifest->mean);
    add_floats(preprocessing, "std", manifest->std);
    cJSON *outputs = cJSON_AddObjectToObject(root, "outputs");
    cJSON_AddNumberToObject(outputs, "top_k", manifest->top_k);
    cJSON *features = cJSON_AddArrayToObject(outputs, "features");
    for (int i = 0; i < manifest->feature_count; i++) {
        const struct cache_feature *feature = &manifest->features[i];
        cJSON *item = json_append(features, cJSON_CreateObject());
        cJSON_AddStringToObject(item, "tensor", feature->tensor);
        cJSON_AddStringToObject(item, "form", manifest_forms[feature->form]);
        cJSON_AddNumberToObject(item, "channels", feature->c);
        cJSON_AddNumberToObject(item, "height", feature->h);
        cJSON_AddNumberToObject(item, "width", feature->w);
        cJSON_AddNumberToObject(item, "views", feature->views);
    }
}

cJSON *manifest_to_json(const struct cache_manifest *manifest, bool published)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "format", manifest_format);
    cJSON_AddNumberToObject(root, "format_version", manifest->format_version);
    cJSON_AddStringToObject(root, "program_version", manifest->program_version);
    add_replay(root, manifest);
    add_source(root, manifest);
    manifest_check_to_json(root, manifest);
    cJSON *splits = cJSON_AddArrayToObject(root, "splits");
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const struct cache_split *split = &manifest->splits[s];
        if (split->samples == 0)
            continue;
        cJSON *item = json_append(splits, cJSON_CreateObject());
        cJSON_AddStringToObject(item, "split", split_name(s));
        cJSON_AddNumberToObject(item, "samples", split->samples);
        cJSON_AddNumberToObject(item, "views", split->views);
        cJSON *shards = cJSON_AddArrayToObject(item, "shards");
        for (int i = 0; i < split->shard_count; i++)
            json_append(shards, manifest_shard_to_json(&split->shards[i], published));
    }
    return root;
}

char *manifest_text(cJSON *tree)
{
    return json_sealed_text(tree);
}

void manifest_sum_accuracy(struct cache_manifest *manifest)
{
    for (int s = 0; s < SPLIT_COUNT; s++) {
        struct cache_split *split = &manifest->splits[s];
        uint64_t labelled = 0, correct = 0;
        for (int i = 0; i < split->shard_count; i++) {
            labelled += split->shards[i].labelled;
            correct += split->shards[i].correct;
        }
        split->teacher_accuracy = labelled ? (double)correct / (double)labelled : -1;
    }
}

static void print_value(const cJSON *value, char text[304])
{
    char *json = value ? cJSON_PrintUnformatted(value) : NULL;
    snprintf(text, 304, "%.300s", json ? json : "absent");
    cJSON_free(json);
}

enum status manifest_differ(const struct cache_manifest *left, const struct cache_manifest *right,
                            const char *const *ignore, struct manifest_difference *difference, struct error *err)
{
    const cJSON *a, *b;
    cJSON *one = manifest_to_json(left, false), *other = manifest_to_json(right, false);
    enum status status = STATUS_OK;
    *difference = (struct manifest_difference){0};
    if (json_out_of_memory()) {
        status = error_no_memory(err, 0, "manifests");
    } else if (json_difference(one, other, ignore, difference->field, sizeof difference->field, &a, &b)) {
        print_value(a, difference->left);
        print_value(b, difference->right);
        status = STATUS_CONFIG;
    }
    cJSON_Delete(one);
    cJSON_Delete(other);
    return status;
}

enum status manifest_compare(const struct cache_manifest *stored, const struct cache_manifest *wanted, const char *path,
                             struct error *err)
{
    /* Fields that may differ between runs without changing a byte of the shards. */
    static const char *const ignore[] = {"format_version", "program_version", "file", "left_out",
                                         "check",          "kernels",         NULL};
    struct manifest_difference difference;
    const enum status status = manifest_differ(stored, wanted, ignore, &difference, err);
    if (status == STATUS_CONFIG)
        error_set(err, STATUS_CONFIG, path,
                  "belongs to another run: %s is %s there and %s here: choose another --out, or run with the same "
                  "settings",
                  difference.field, difference.left, difference.right);
    return status;
}
