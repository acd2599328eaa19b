#include "teacher_dump/summary.h"

#include "formats/json.h"
#include <string.h>

const char *summary_bytes(uint64_t bytes, char text[32])
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1000 && unit < 5; unit++)
        value /= 1000;
    snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

static double bytes_per_view(const struct cache_manifest *manifest, uint64_t *total, uint64_t *images)
{
    uint64_t views = cache_view_count(manifest);
    cache_bytes(manifest, total, images);
    return views ? (double)(*total - *images) / (double)views : 0;
}

static const char *accuracy_basis(enum split split, int views)
{
    return split == SPLIT_TRAIN && views > 1 ? " over its augmented views"
           : split == SPLIT_TRAIN            ? " over its augmented view"
                                             : "";
}

void summary_print(const struct cache_manifest *manifest, FILE *out)
{
    uint64_t total, images;
    char all[32], image[32];
    double per_view = bytes_per_view(manifest, &total, &images);
    fprintf(out, "  %-8s %9s %6s %7s  %s\n", "split", "samples", "views", "shards", "teacher's accuracy");
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const struct cache_split *split = &manifest->splits[s];
        if (split->samples == 0)
            continue;
        fprintf(out, "  %-8s %9u %6d %7d  ", split_name((enum split)s), split->samples, split->views,
                split->shard_count);
        if (split->teacher_accuracy < 0 || !cache_has_teacher(manifest))
            fprintf(out, "%s\n", cache_has_teacher(manifest) ? "(no labels)" : "(no teacher)");
        else
            fprintf(out, "%.2f %%%s\n", 100 * split->teacher_accuracy, accuracy_basis((enum split)s, split->views));
    }
    fprintf(out, "  %s in all, of which %s are images; %.2f bytes per view without them\n", summary_bytes(total, all),
            summary_bytes(images, image), per_view);
    if (manifest->skipped_count)
        fprintf(out, "  %d broken images were left out\n", manifest->skipped_count);
    if (manifest->salvaged_count)
        fprintf(out, "  of %d broken images, what can be decoded was used\n", manifest->salvaged_count);
}

void summary_to_json(const struct cache_manifest *manifest, cJSON *object)
{
    uint64_t total, images;
    double per_view = bytes_per_view(manifest, &total, &images);
    cJSON *splits = cJSON_AddObjectToObject(object, "splits");
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const struct cache_split *split = &manifest->splits[s];
        if (split->samples == 0)
            continue;
        cJSON *item = cJSON_AddObjectToObject(splits, split_name((enum split)s));
        cJSON_AddNumberToObject(item, "samples", split->samples);
        cJSON_AddNumberToObject(item, "views", split->views);
        cJSON_AddNumberToObject(item, "shards", split->shard_count);
        if (split->teacher_accuracy < 0 || !cache_has_teacher(manifest))
            cJSON_AddNullToObject(item, "teacher_accuracy");
        else
            cJSON_AddNumberToObject(item, "teacher_accuracy", split->teacher_accuracy);
    }
    cJSON_AddNumberToObject(object, "bytes", (double)total);
    cJSON_AddNumberToObject(object, "image_bytes", (double)images);
    cJSON_AddNumberToObject(object, "bytes_per_view", per_view);
    cJSON_AddNumberToObject(object, "skipped", manifest->skipped_count);
    cJSON_AddNumberToObject(object, "salvaged", manifest->salvaged_count);
    cJSON *left_out = cJSON_AddObjectToObject(object, "left_out");
    for (int i = 0; i < manifest->left_out_count; i++)
        cJSON_AddNumberToObject(left_out, manifest->left_out[i].kind, (double)manifest->left_out[i].count);
}

void summary_print_features(const struct cache_manifest *manifest, uint64_t samples, FILE *out)
{
    int width = 8;
    for (int i = 0; i < manifest->feature_count; i++) {
        int length = (int)strlen(manifest->features[i].tensor);
        width = length > width ? length : width;
    }
    if (manifest->feature_count)
        fprintf(out, "  %-*s %-7s %-12s %6s %14s %12s\n", width, "feature", "form", "shape", "views", "bytes/view",
                "uncompressed");
    for (int i = 0; i < manifest->feature_count; i++) {
        const struct cache_feature *feature = &manifest->features[i];
        const size_t bytes = cache_feature_bytes(feature);
        char shape[48], all[32];
        snprintf(shape, sizeof shape, "%dx%dx%d", feature->c, feature->h, feature->w);
        fprintf(out, "  %-*s %-7s %-12s %6d %14zu %12s\n", width, feature->tensor, feature_form_name(feature->form),
                shape, feature->views, bytes, summary_bytes(samples * (uint64_t)feature->views * bytes, all));
    }
}

void summary_features_to_json(const struct cache_manifest *manifest, uint64_t samples, cJSON *object)
{
    cJSON *features = cJSON_AddArrayToObject(object, "features");
    for (int i = 0; i < manifest->feature_count; i++) {
        const struct cache_feature *feature = &manifest->features[i];
        const int shape[4] = {feature->views, feature->c, feature->h, feature->w};
        const double bytes = (double)cache_feature_bytes(feature);
        cJSON *item = cJSON_CreateObject();
        cJSON_AddItemToArray(features, item);
        cJSON_AddStringToObject(item, "tensor", feature->tensor);
        cJSON_AddStringToObject(item, "form", feature_form_name(feature->form));
        cJSON_AddItemToObject(item, "shape", cJSON_CreateIntArray(shape, 4));
        cJSON_AddNumberToObject(item, "uncompressed_bytes_per_view", bytes);
        cJSON_AddNumberToObject(item, "uncompressed_bytes", (double)samples * feature->views * bytes);
    }
}

enum status summary_print_json(cJSON *object, struct error *err)
{
    char *text = json_text(object, false);
    if (!text)
        return error_no_memory(err, 0, "the summary");
    puts(text);
    cJSON_free(text);
    return STATUS_OK;
}
