/* The command `inspect`: what is in a cache (with the parameters of views), or in an ONNX file. */
#define _GNU_SOURCE
#include "teacher_dump/commands.h"

#include "shared/base/files.h"
#include "shared/base/options.h"
#include "teacher_dump/cache_page.h"
#include "teacher_dump/summary.h"
#include "teacher_dump/view_batch.h"
#include <stdlib.h>
#include <string.h>

struct inspect {
    const char *path, *data, *html;
    int views, photos, sample, size, engine;
    bool json, quiet;
};

/* ---- a cache ---- */
static void add_engine(cJSON *object, const struct cache_engine *engine)
{
    cJSON_AddStringToObject(object, "engine", engine->name[0] ? engine->name : "native");
    if (engine->name[0])
        cJSON_AddStringToObject(object, "engine_version", engine->version);
}

static void add_members(cJSON *object, const struct cache_manifest *manifest)
{
    if (cache_has_teacher(manifest))
        add_engine(object, &manifest->engine);
    if (!manifest->member_count)
        return;
    cJSON_AddStringToObject(object, "ensemble", manifest->ensemble);
    cJSON_AddStringToObject(object, "tta", manifest->tta);
    cJSON *members = cJSON_AddArrayToObject(object, "teachers");
    for (int i = 0; i < manifest->member_count; i++) {
        const struct cache_member *member = &manifest->members[i];
        cJSON *item = json_append(members, cJSON_CreateObject());
        cJSON_AddStringToObject(item, "file", member->file);
        cJSON_AddStringToObject(item, "sha256", member->digest);
        cJSON_AddNumberToObject(item, "weight", member->weight);
        add_engine(item, &member->engine);
    }
}

/* What was made of the teacher's outputs and inputs, if not the usual. */
static void add_outputs(cJSON *object, const struct cache_manifest *manifest)
{
    if (manifest->selected_count)
        json_add(object, "logits", cJSON_CreateIntArray(manifest->selected, manifest->selected_count));
    if (manifest->from_probabilities)
        cJSON_AddStringToObject(object, "from", "probabilities");
    if (manifest->bgr)
        cJSON_AddStringToObject(object, "channels", "bgr");
}

static enum status inspect_cache_json(const struct cache *cache, struct error *err)
{
    const struct cache_manifest *manifest = &cache->manifest;
    cJSON *object = cJSON_CreateObject(), *classes;
    char seed[24];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)manifest->seed);
    cJSON_AddStringToObject(object, "cache", cache->path);
    cJSON_AddStringToObject(object, "source", manifest->source_format);
    cJSON_AddStringToObject(object, "teacher", manifest->teacher_file);
    cJSON_AddStringToObject(object, "teacher_sha256", manifest->teacher_digest);
    add_members(object, manifest);
    add_outputs(object, manifest);
    cJSON_AddStringToObject(object, "device", manifest->device);
    cJSON_AddStringToObject(object, "precision", manifest->precision);
    cJSON_AddStringToObject(object, "recipe", manifest->recipe);
    cJSON *kernels = cJSON_AddArrayToObject(object, "kernels");
    for (int i = 0; i < manifest->kernel_count; i++)
        json_append(kernels, cJSON_CreateString(manifest->kernels[i]));
    cJSON_AddStringToObject(object, "seed", seed);
    cJSON_AddNumberToObject(object, "views", manifest->views);
    cJSON_AddNumberToObject(object, "base", manifest->base);
    cJSON_AddNumberToObject(object, "size", manifest->size);
    classes = cJSON_AddArrayToObject(object, "classes");
    for (int c = 0; c < manifest->class_count; c++)
        json_append(classes, cJSON_CreateString(manifest->classes[c]));
    summary_features_to_json(manifest, manifest->splits[SPLIT_TRAIN].samples, object);
    summary_to_json(manifest, object);
    return summary_print_json(object, err);
}

static void print_engine(const struct cache_engine *engine)
{
    if (engine->name[0])
        printf(", by %s %s", engine->name, engine->version);
}

static void print_teacher(const struct cache_manifest *manifest)
{
    printf("  teacher  %s, SHA-256 %.16s..., ran on %s in %s", manifest->teacher_file, manifest->teacher_digest,
           manifest->device, manifest->precision);
    if (!manifest->member_count)
        print_engine(&manifest->engine);
    printf("\n");
    for (int i = 0; i < manifest->kernel_count; i++)
        printf("  %s %s%s\n", i ? "         and" : "computed", i ? "" : "by ", manifest->kernels[i]);
    if (manifest->kernel_count > 1)
        printf("           (mixed: answers of different shards may differ in their last bits)\n");
    if (!manifest->member_count)
        return;
    printf("           mean of %s%s\n", manifest->ensemble,
           strcmp(manifest->tta, "hflip") == 0 ? ", of each view and its mirror image" : "");
    for (int i = 0; i < manifest->member_count; i++) {
        const struct cache_member *member = &manifest->members[i];
        printf("           %-8.6g %s, SHA-256 %.16s...", member->weight, member->file, member->digest);
        print_engine(&member->engine);
        printf("\n");
    }
}

/* What was made of the teacher's outputs and inputs, and what the check said about it. */
static void print_check(const struct cache_manifest *manifest)
{
    const struct cache_check *check = &manifest->check;
    if (manifest->selected_count)
        printf("           the classes are %d of its outputs: %d, %d, ...\n", manifest->selected_count,
               manifest->selected[0], manifest->selected[manifest->selected_count > 1]);
    if (manifest->from_probabilities)
        printf("           the logits are the logarithms of its outputs\n");
    if (manifest->bgr)
        printf("           it takes the channels in the order blue, green, red\n");
    if (check->photos)
        printf("  check    right on %d of %d plain photos", check->right, check->photos);
    if (check->train_photos)
        printf("%s %d of %d plain training photos", check->photos ? " and" : "  check    right on", check->train_right,
               check->train_photos);
    if (check->photos + check->train_photos)
        printf(" before the run%s%s\n", check->finding[0] ? "; it warned: " : "", check->finding);
}

static void print_cache(const struct cache *cache)
{
    static const char *const resize_words[IMAGE_RESIZE_COUNT] = {"", " (squashed)", " (padded)"};
    const struct cache_manifest *manifest = &cache->manifest;
    printf("%s: cache of format %d, written by softcache %s\n", cache->path, manifest->format_version,
           manifest->program_version);
    printf("  data     %s, %s, %d classes, images %s%s\n", manifest->source_format,
           image_encoding_name(manifest->encoding), manifest->class_count,
           manifest->images_embedded ? "embedded" : "linked to ", manifest->source_path);
    if (cache_is_imported(manifest))
        printf("  teacher  %s, imported answers with SHA-256 %.16s..., precision %s\n", manifest->teacher_file,
               manifest->teacher_digest, manifest->precision);
    else if (cache_has_teacher(manifest))
        print_teacher(manifest);
    else
        printf("  teacher  none: images, labels and views only\n");
    print_check(manifest);
    printf("  views    %d of %s (algorithm %d, seed %llu)\n", manifest->views, manifest->recipe,
           manifest->augment_version, (unsigned long long)manifest->seed);
    printf("  input    base %d%s%s, size %d, mean %g,%g,%g, std %g,%g,%g\n", manifest->base,
           resize_words[manifest->resize], manifest->reading.upright ? ", upright (EXIF)" : "", manifest->size,
           (double)manifest->mean[0], (double)manifest->mean[1], (double)manifest->mean[2], (double)manifest->std[0],
           (double)manifest->std[1], (double)manifest->std[2]);
    if (manifest->top_k)
        printf("  logits   the %d largest of %d\n", manifest->top_k, manifest->class_count);
    summary_print_features(manifest, manifest->splits[SPLIT_TRAIN].samples, stdout);
    summary_print(manifest, stdout);
    for (int i = 0; i < manifest->skipped_count; i++)
        printf("  left out %s: %s\n", manifest->skipped[i].name, manifest->skipped[i].reason);
    for (int i = 0; i < manifest->salvaged_count; i++)
        printf("  salvaged %s: %s\n", manifest->salvaged[i].name, manifest->salvaged[i].reason);
    for (int i = 0; i < manifest->left_out_count; i++)
        printf("  left out %lld %s\n", (long long)manifest->left_out[i].count, manifest->left_out[i].kind);
}

/* Decodes the sample's image, since a view depends on the size of the base image. */
static enum status print_views(const struct cache *cache, const struct inspect *inspect, struct error *err)
{
    const struct cache_manifest *manifest = &cache->manifest;
    const struct cache_split *train = &manifest->splits[SPLIT_TRAIN];
    struct prepared_image prepared = {0};
    struct cache_shard shard = {0};
    struct cache_views views;
    enum status status = STATUS_OK;
    const uint8_t *bytes;
    uint8_t *owned = NULL;
    size_t size;
    int s = 0;
    if (inspect->sample < 0 || (uint32_t)inspect->sample >= train->samples)
        return error_set(err, STATUS_USAGE, cache->path, "--sample %d: the training split has samples 0 to %lld",
                         inspect->sample, (long long)train->samples - 1);
    while ((uint32_t)inspect->sample >= train->shards[s].first + train->shards[s].count)
        s++;
    TRY(cache_read_shard(cache, SPLIT_TRAIN, s, CACHE_READ_IMAGES, &shard, err));
    uint32_t i = (uint32_t)inspect->sample - shard.first;
    TRY(cache_image(cache, &shard, i, &bytes, &size, &owned, err));
    TRY(prepared_image_make(&prepared, manifest, bytes, size, shard.names[i], err));
    TRY(cache_views_init(&views, manifest, manifest->size, err));
    printf("views of %s (id %u, base %dx%d):\n", shard.names[i], shard.ids[i], prepared.levels[0].h,
           prepared.levels[0].w);
    for (int v = 0; v < inspect->views; v++) {
        const struct cache_view which = {
            .split = SPLIT_TRAIN, .sample = (uint32_t)inspect->sample, .id = shard.ids[i], .number = v};
        struct cache_view partner;
        struct view view;
        struct view_mix mix;
        char text[1024], mixed[100];
        cache_view_make(&views, &which, prepared.levels[0].h, prepared.levels[0].w, &view);
        view_describe(&view, text, sizeof text);
        cache_view_mix(&views, &which, NULL, &mix, &partner);
        view_mix_describe(&mix, partner.sample, mixed, sizeof mixed);
        printf("  %3d  %s%s\n", v, text, mixed);
    }
cleanup:
    free(owned);
    prepared_image_release(&prepared);
    cache_shard_release(&shard);
    return status;
}

enum { PAGE_VIEWS = 6 }; /* of each photo, if --views does not say it */

static enum status publish_page(const struct cache *cache, const struct inspect *inspect, struct error *err)
{
    const struct cache_manifest *manifest = &cache->manifest;
    const uint32_t samples = manifest->splits[SPLIT_TRAIN].samples;
    const int wanted = inspect->views ? inspect->views : PAGE_VIEWS;
    struct cache_study study = {0};
    struct progress progress;
    enum status status = STATUS_OK;
    progress_init(&progress, stderr, inspect->quiet || inspect->json);
    if ((uint32_t)inspect->sample >= samples && inspect->sample > 0)
        FAIL(error_set(err, STATUS_USAGE, cache->path, "--sample %d: the training split has %u samples, from 0 on",
                       inspect->sample, samples));
    TRY(cache_study_make(&study, cache, &progress, err));
    const struct cache_page page = {.cache = cache,
                                    .study = &study,
                                    .first = (uint32_t)inspect->sample,
                                    .photos = inspect->photos,
                                    .views = wanted < manifest->views ? wanted : manifest->views};
    TRY(cache_page_publish(&page, inspect->html, err));
    if (!inspect->json)
        printf("page: %s\n", inspect->html);
cleanup:
    cache_study_release(&study);
    return status;
}

static enum status inspect_cache(const struct inspect *inspect, struct error *err)
{
    struct cache cache;
    enum status status = STATUS_OK;
    TRY(cache_open(&cache, inspect->path, err));
    TRY(cache_set_data(&cache, inspect->data, err));
    if (inspect->json)
        TRY(inspect_cache_json(&cache, err));
    else
        print_cache(&cache);
    if (inspect->html)
        TRY(publish_page(&cache, inspect, err));
    else if (inspect->views && !inspect->json)
        TRY(print_views(&cache, inspect, err));
cleanup:
    cache_release(&cache);
    return status;
}

/* ---- an ONNX file ---- */
static enum status inspect_model_json(const struct teacher_model *model, const struct teacher_tensor *tensors,
                                      int count, struct error *err)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "engine", teacher_engine_names[model->kind]);
    cJSON_AddNumberToObject(object, "parameters", model->parameters);
    if (!model->foreign)
        cJSON_AddNumberToObject(object, "multiply_accumulates", (double)graph_multiply_count(&model->graph));
    cJSON_AddStringToObject(object, "output", model->output);
    cJSON *array = cJSON_AddArrayToObject(object, "tensors");
    for (int i = 0; i < count; i++) {
        const int shape[3] = {tensors[i].shape.c, tensors[i].shape.h, tensors[i].shape.w};
        if (shape[0] == 0)
            continue;
        cJSON *item = json_append(array, cJSON_CreateObject());
        cJSON_AddStringToObject(item, "name", tensors[i].name);
        cJSON_AddStringToObject(item, "op", tensors[i].op);
        json_add(item, "shape", cJSON_CreateIntArray(shape, 3));
    }
    return summary_print_json(object, err);
}

static void print_model(const struct teacher_model *model, const struct teacher_tensor *tensors, int count)
{
    char text[1024];
    printf("%s: %.0f parameters", model->path, model->parameters);
    if (!model->foreign)
        printf(", %.1f MMAC per sample", (double)graph_multiply_count(&model->graph) / 1e6);
    teacher_model_explain(model, text, sizeof text);
    printf("\n  engine   %s\n", text);
    printf("  %-40s %-22s %s\n", "tensor (for --feature)", "operator", "shape");
    for (int i = 0; i < count; i++) {
        const struct teacher_tensor *tensor = &tensors[i];
        if (tensor->shape.c == 0)
            continue;
        printf("  %-40s %-22s %dx%dx%d%s\n", tensor->name, tensor->op, tensor->shape.c, tensor->shape.h,
               tensor->shape.w,
               strcmp(tensor->name, model->output) == 0     ? "  logits"
               : !model->foreign && i == model->graph.input ? "  input"
                                                            : "");
    }
}

static enum status inspect_onnx(const struct inspect *inspect, struct error *err)
{
    enum status status = STATUS_OK;
    struct teacher_model model = {0};
    struct teacher_tensor *tensors = NULL;
    int count;
    if (inspect->html)
        FAIL(error_set(err, STATUS_USAGE, inspect->path, "--html makes a page about a cache, and this is no folder"));
    const struct teacher_model_request request = {
        .path = inspect->path, .size = inspect->size, .kind = (enum teacher_engine_kind)inspect->engine};
    TRY(teacher_model_read(&model, &request, err));
    TRY(teacher_model_list(&model, &tensors, &count, err));
    if (inspect->json)
        TRY(inspect_model_json(&model, tensors, count, err));
    else
        print_model(&model, tensors, count);
cleanup:
    free(tensors);
    teacher_model_release(&model);
    return status;
}

enum status inspect_command(int argc, char **argv, struct error *err)
{
    struct inspect inspect = {0};
    enum status status = STATUS_OK;
    const struct option_spec specs[] = {
        {"path", OPTION_POSITIONAL, &inspect.path, "CACHE|FILE.onnx", NULL, "what to inspect", .required = true},
        {"html", OPTION_STRING, &inspect.html, "FILE.html", NULL,
         "cache: write a page with what the teacher saw and said, its accuracy and reliability, and what takes the "
         "bytes"},
        {"photos", OPTION_INT, &inspect.photos, "N", "8", "--html: show this many training photos", .minimum = 0,
         .maximum = 1000},
        {"views", OPTION_INT, &inspect.views, "N", "0",
         "cache: print the parameters of N views; --html: show N views of each photo (0: up to 6)", .minimum = 0,
         .maximum = 65536},
        {"sample", OPTION_INT, &inspect.sample, "I", "0",
         "cache: of this training sample; --html: the photo that comes first", .minimum = 0, .maximum = INT32_MAX},
        {"data", OPTION_STRING, &inspect.data, "DIR", NULL,
         "cache: where its linked photos are now, if they have moved"},
        {"size", OPTION_INT, &inspect.size, "N", "224", "ONNX file: the input size, if it is dynamic", .minimum = 1,
         .maximum = VIEW_MAX_SIZE},
        {"teacher-engine", OPTION_CHOICE, &inspect.engine, NULL, "auto", "ONNX file: as for `run`",
         .choices = teacher_engine_names},
        {"json", OPTION_FLAG, &inspect.json, NULL, NULL, "print JSON"},
        {"quiet", OPTION_FLAG, &inspect.quiet, NULL, NULL, "no progress"},
    };
    struct options options = {.command = "teacher_dump inspect",
                              .summary = "Prints what is in a cache or in an ONNX file.",
                              .specs = specs,
                              .count = sizeof specs / sizeof *specs};
    TRY(options_parse(&options, argc, argv, err));
    if (options.help)
        options_print_help(&options, stdout);
    else
        status = folder_exists(inspect.path) ? inspect_cache(&inspect, err) : inspect_onnx(&inspect, err);
cleanup:
    options_release(&options);
    return status;
}
