#include "teacher_dump/summary.h"

#include "formats/json.h"
#include "shared/augment/recipe.h"
#include <math.h>
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

/* ---- teaching ---- */

/* A recipe is too strong if it makes the teacher wrong on so many more of the views than of the plain photos. */
static const double TOO_STRONG = 0.1;

/* The teacher's accuracy on plain training photos (of a check before the run), or else on the validation split; -1: not
 * known. */
static double plain_accuracy(const struct cache_manifest *manifest, const char **of)
{
    const struct cache_check *check = &manifest->check;
    *of = "plain training photos";
    if (check->train_photos)
        return (double)check->train_right / check->train_photos;
    *of = "plain validation photos";
    return manifest->splits[SPLIT_VAL].samples ? manifest->splits[SPLIT_VAL].teacher_accuracy : -1;
}

/* A mixed view has two labels, so being right on its first one says little. */
static bool is_mixed(const struct cache_manifest *manifest)
{
    struct recipe recipe;
    return recipe_parse(&recipe, manifest->recipe, NULL) == STATUS_OK && recipe_mixes(&recipe);
}

static bool is_too_strong(const struct cache_manifest *manifest, double on_views, double plain)
{
    return on_views >= 0 && plain - on_views > TOO_STRONG && !is_mixed(manifest);
}

static void print_teaching(const struct cache_manifest *manifest, FILE *out)
{
    struct cache_teaching teaching;
    const char *of;
    const double on_views = manifest->splits[SPLIT_TRAIN].teacher_accuracy, plain = plain_accuracy(manifest, &of);
    if (!cache_has_teacher(manifest))
        return;
    cache_teaching(manifest, &teaching);
    if (teaching.deviation >= 0)
        fprintf(out,
                "  teaching: entropy %.3f nats a view (even: %.3f); standard deviation of the mean probability %.4f "
                "(sure: %.4f)\n",
                teaching.entropy, log(manifest->class_count), teaching.deviation,
                cache_sure_deviation(manifest->class_count));
    if (is_too_strong(manifest, on_views, plain))
        fprintf(
            out,
            "  the recipe is too strong for this teacher: it is right on %.1f %% of the views, but on %.1f %% of %s; "
            "students learn its mistakes. Try a milder --augment; `teacher_dump run --compare-augment` compares "
            "recipes\n",
            100 * on_views, 100 * plain, of);
}

static void teaching_to_json(const struct cache_manifest *manifest, cJSON *object)
{
    struct cache_teaching teaching;
    const char *of;
    const double on_views = manifest->splits[SPLIT_TRAIN].teacher_accuracy;
    if (!cache_has_teacher(manifest))
        return;
    cache_teaching(manifest, &teaching);
    cJSON *item = cJSON_AddObjectToObject(object, "teaching");
    cJSON_AddNumberToObject(item, "labelled_views", (double)teaching.labelled);
    cJSON_AddNumberToObject(item, "correct_views", (double)teaching.correct);
    if (teaching.deviation >= 0) {
        cJSON_AddNumberToObject(item, "entropy", teaching.entropy);
        cJSON_AddNumberToObject(item, "deviation", teaching.deviation);
    }
    cJSON_AddBoolToObject(item, "too_strong", is_too_strong(manifest, on_views, plain_accuracy(manifest, &of)));
}

void summary_check_to_json(const struct cache_check *check, cJSON *object)
{
    if (check->photos + check->train_photos == 0)
        return;
    cJSON *item = cJSON_AddObjectToObject(object, "check");
    cJSON_AddNumberToObject(item, "photos", check->photos);
    cJSON_AddNumberToObject(item, "right", check->right);
    cJSON_AddNumberToObject(item, "train_photos", check->train_photos);
    cJSON_AddNumberToObject(item, "train_right", check->train_right);
    if (check->finding && check->finding[0])
        cJSON_AddStringToObject(item, "finding", check->finding);
}

/* ---- all ---- */

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
    print_teaching(manifest, out);
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
    teaching_to_json(manifest, object);
    summary_check_to_json(&manifest->check, object);
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
        cJSON *item = json_append(features, cJSON_CreateObject());
        cJSON_AddStringToObject(item, "tensor", feature->tensor);
        cJSON_AddStringToObject(item, "form", feature_form_name(feature->form));
        json_add(item, "shape", cJSON_CreateIntArray(shape, 4));
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
