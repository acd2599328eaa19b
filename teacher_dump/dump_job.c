#define _GNU_SOURCE
#include "teacher_dump/dump_job.h"

#include "formats/datasets/class_order.h"
#include "formats/datasets/file_name.h"
#include "shared/augment/view.h"
#include "teacher_dump/estimate.h"
#include "teacher_dump/feature_request.h"
#include "teacher_dump/output_choice.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES_AT_ONCE = 32 }; /* a batch without a teacher */

static const float imagenet_mean[3] = {0.485f, 0.456f, 0.406f}, imagenet_std[3] = {0.229f, 0.224f, 0.225f};

static enum status set_source(struct dump_job *job, struct error *err)
{
    struct cache_manifest *manifest = &job->manifest;
    const struct image_source *source = &job->source;
    manifest->source_format = source->format;
    manifest->classes = source->classes;
    manifest->class_count = source->class_count;
    manifest->encoding = source->encoding;
    manifest->raw_h = source->encoding == IMAGE_RAW ? source->h : 0;
    manifest->raw_w = source->encoding == IMAGE_RAW ? source->w : 0;
    manifest->channels = source->channels;
    manifest->images_embedded = job->options->images == IMAGES_EMBED;
    manifest->reading = (struct image_reading){
        .upright = source->encoding != IMAGE_RAW && job->options->exif == EXIF_HONOUR,
        .salvage = source->encoding != IMAGE_RAW && job->options->on_bad_image == BAD_IMAGE_SALVAGE,
    };
    manifest->source_path = "";
    if (manifest->images_embedded)
        return STATUS_OK;
    if (source->encoding == IMAGE_RAW)
        return error_set(err, STATUS_CONFIG, source->path, "--images link needs a data set of single image files");
    char *path = realpath(source->path, NULL), *escaped = path ? file_name_escape(path) : NULL;
    manifest->source_path = escaped ? arena_strdup(&manifest->arena, escaped) : NULL;
    free(path);
    free(escaped);
    return manifest->source_path ? STATUS_OK : error_no_memory(err, strlen(source->path), "a path");
}

static enum status set_left_out(struct dump_job *job, struct error *err)
{
    const struct image_source *source = &job->source;
    struct cache_left_out *list = arena_alloc(&job->manifest.arena, source->left_out_count + 1, sizeof *list);
    if (!list)
        return error_no_memory(err, source->left_out_count * sizeof *list, "the list of other files");
    for (size_t i = 0; i < source->left_out_count; i++)
        list[i] = (struct cache_left_out){source->left_out[i].kind, (int64_t)source->left_out[i].count};
    job->manifest.left_out = list;
    job->manifest.left_out_count = (int)source->left_out_count;
    return STATUS_OK;
}

/* Photos: 256 for 224, and the same proportion for larger inputs, so that the centre crop stays inside the base. Raw
 * sets are resized to the teacher's input, unless they have its size. */
static int usual_base(const struct dump_job *job)
{
    const struct image_source *source = &job->source;
    const int size = job->manifest.size, short_side = source->h < source->w ? source->h : source->w;
    if (job->manifest.resize != IMAGE_RESIZE_SHORTER)
        return size;
    if (source->encoding == IMAGE_RAW)
        return short_side == size ? 0 : size;
    return size > 224 ? (size * 8 + 6) / 7 : 256;
}

static enum status set_replay(struct dump_job *job, struct error *err)
{
    struct cache_manifest *manifest = &job->manifest;
    const struct dump_options *options = job->options;
    const bool photos = manifest->encoding != IMAGE_RAW;
    struct recipe recipe;
    enum status status = recipe_parse(&recipe, options->recipe, err);
    if (status != STATUS_OK)
        return status;
    manifest->recipe = arena_strdup(&manifest->arena, recipe.text);
    if (!manifest->recipe)
        return error_no_memory(err, sizeof recipe.text, "the recipe");
    manifest->augment_version = AUGMENT_VERSION;
    manifest->seed = options->seed;
    manifest->views = options->views;
    manifest->size = job->teacher.input.h;
    manifest->bgr = job->teacher.member_count && options->channels == CHANNELS_BGR;
    if (options->channels == CHANNELS_BGR && manifest->channels != 3)
        return error_set(err, STATUS_USAGE, NULL, "--channels bgr: the images have %d channel", manifest->channels);
    manifest->resize = (enum image_resize)options->resize;
    manifest->base = options->base >= 0 ? options->base : usual_base(job);
    if (manifest->base == 0 && manifest->resize != IMAGE_RESIZE_SHORTER)
        return error_set(err, STATUS_USAGE, NULL,
                         "--base 0 does not resize: leave out --resize, or give another --base");
    for (int c = 0; c < 3; c++) {
        manifest->mean[c] = options->mean_given ? (float)options->mean[c] : photos ? imagenet_mean[c] : 0.5f;
        manifest->std[c] = options->std_given ? (float)options->std[c] : photos ? imagenet_std[c] : 0.5f;
    }
    return STATUS_OK;
}

static enum status set_features(struct dump_job *job, struct error *err)
{
    enum status status = STATUS_OK;
    struct cache_manifest *manifest = &job->manifest;
    const struct dump_options *options = job->options;
    struct feature_request requests[CACHE_MAX_FEATURES];
    const char *tensors[CACHE_MAX_FEATURES];
    struct shape shapes[CACHE_MAX_FEATURES];
    if (options->features.count > CACHE_MAX_FEATURES)
        return error_set(err, STATUS_USAGE, NULL, "--feature: at most %d are allowed", CACHE_MAX_FEATURES);
    if (options->feature_views > options->views)
        return error_set(err, STATUS_USAGE, NULL, "--feature-views %d is more than --views %d", options->feature_views,
                         options->views);
    for (int i = 0; i < options->features.count; i++) {
        requests[i] =
            (struct feature_request){.views = options->feature_views ? options->feature_views : options->views};
        TRY(feature_request_parse(&requests[i], options->features.items[i], options->views, &manifest->arena, err));
        tensors[i] = requests[i].tensor;
    }
    if (options->features.count)
        TRY(teacher_model_find(teacher_first(&job->teacher), tensors, options->features.count, shapes, err));
    for (int i = 0; i < options->features.count; i++) {
        const struct feature_request *request = &requests[i];
        const struct shape shape = cache_feature_shape(request->form, shapes[i]);
        manifest->features[i] =
            (struct cache_feature){request->tensor, request->form, shape.c, shape.h, shape.w, request->views};
        manifest->feature_count++;
    }
cleanup:
    return status;
}

/* The input's side before the teacher is known: --size, or what the data suggests. */
static int wanted_size(const struct dump_job *job)
{
    const struct image_source *source = &job->source;
    if (job->options->size)
        return job->options->size;
    return source->encoding == IMAGE_RAW ? (source->h < source->w ? source->h : source->w) : 224;
}

static enum status check_fit(const struct dump_job *job, struct error *err)
{
    const struct teacher *teacher = &job->teacher;
    const struct image_source *source = &job->source;
    const char *path = teacher_first(teacher)->path;
    if (teacher->classes > source->class_count)
        return error_set(err, STATUS_CONFIG, path,
                         "the teacher has %d logits, but the data set %s has %d classes: name the outputs that are "
                         "these classes, in their order (%s, %s...), with --logits N,N,..., or they do not belong "
                         "together",
                         teacher->classes, source->path, source->class_count, source->classes[0],
                         source->class_count > 1 ? source->classes[1] : "");
    if (teacher->classes != source->class_count)
        return error_set(err, STATUS_CONFIG, path,
                         "the teacher has %d logits, but the data set %s has %d classes: they do not belong together",
                         teacher->classes, source->path, source->class_count);
    if (teacher->input.c != source->channels)
        return error_set(err, STATUS_CONFIG, path, "the teacher takes %d channels, but the images of %s have %d",
                         teacher->input.c, source->path, source->channels);
    if (job->options->size && teacher->input.h != job->options->size)
        return error_set(err, STATUS_CONFIG, path,
                         "the teacher's input is fixed to %dx%d, but --size is %d: leave --size out", teacher->input.h,
                         teacher->input.w, job->options->size);
    if (teacher->input.h > VIEW_MAX_SIZE)
        return error_set(err, STATUS_CONFIG, path, "the teacher's input of %d pixels is larger than %d, the maximum",
                         teacher->input.h, VIEW_MAX_SIZE);
    return STATUS_OK;
}

/* Where the teacher runs is part of the cache's identity: another kind of device gives other bytes. */
static enum status choose_engine(struct dump_job *job, struct error *err)
{
    const struct dump_options *options = job->options;
    enum status status = STATUS_OK;
    job->engine = (struct teacher_engine){
        .device = options->device,
        .threads = options->threads,
        .gpu_memory = options->gpu_memory,
        .max_memory = options->max_memory,
        .precision = options->precision,
        .batch = options->batch,
        .in_flight = TEACHER_IN_FLIGHT,
        .deterministic = options->deterministic,
    };
    job->manifest.device = job->manifest.precision = "";
    if (!cache_has_teacher(&job->manifest)) {
        job->engine.batch = options->batch ? options->batch : IMAGES_AT_ONCE;
        return STATUS_OK;
    }
    TRY(teacher_choose(&job->teacher, &job->engine, err));
    if (options->deterministic && job->engine.backend != &backend_cpu)
        FAIL(error_set(
            err, STATUS_USAGE, NULL,
            "--deterministic is for the CPU, since GPUs of different kinds round differently: add --device cpu"));
    job->manifest.device = job->engine.backend->name;
    job->manifest.precision = precision_name((enum precision)job->engine.precision);
cleanup:
    return status;
}

/* Without a teacher, the data set decides the size of the input. */
static enum status open_teacher(struct dump_job *job, struct error *err)
{
    const struct image_source *source = &job->source;
    enum status status = STATUS_OK;
    const struct dump_options *options = job->options;
    struct teacher_request request = {.teachers = options->teachers,
                                      .ensemble = (enum ensemble)options->ensemble,
                                      .tta = (enum teacher_tta)options->tta,
                                      .kind = (enum teacher_engine_kind)options->engine,
                                      .size = wanted_size(job),
                                      .max_memory = options->max_memory,
                                      .outputs = {.from = (enum teacher_from)options->from}};
    if (options->logits) {
        TRY(output_choice_parse(options->logits, source->class_count, &job->manifest.arena, &request.outputs.selected,
                                err));
        request.outputs.selected_count = source->class_count;
    }
    if (!teacher_is_none(options->teachers.items[0])) {
        if (options->dry_run)
            estimate_begin();
        TRY(teacher_open(&job->teacher, &request, err));
        return check_fit(job, err);
    }
    job->teacher =
        (struct teacher){.input = {source->channels, request.size, request.size}, .classes = source->class_count};
    if (options->features.count)
        status = error_set(err, STATUS_USAGE, NULL, "--feature needs a teacher: --teacher none has no tensors");
cleanup:
    return status;
}

enum status dump_job_open(struct dump_job *job, const struct dump_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    struct cache_manifest *manifest = &job->manifest;
    const struct image_source_options source_options = {.val_from = options->val_from, .seed = options->seed};
    *job = (struct dump_job){.options = options};
    TRY(image_source_open(&job->source, options->data, &source_options, err));
    TRY(class_order_apply(&job->source, options->classes, err));
    TRY(open_teacher(job, err));
    manifest->program_version = SOFTCACHE_VERSION;
    TRY(teacher_identify(&job->teacher, manifest, err));
    TRY(choose_engine(job, err));
    TRY(set_source(job, err));
    TRY(set_left_out(job, err));
    TRY(set_replay(job, err));
    manifest->format_version = CACHE_FORMAT_VERSION;
    manifest->top_k = cache_has_teacher(manifest) && manifest->class_count > CACHE_DENSE_CLASSES ? CACHE_TOP_K : 0;
    TRY(set_features(job, err));
cleanup:
    if (status != STATUS_OK)
        dump_job_release(job);
    return status;
}

static enum status handle_bad_images(struct dump_job *job, struct progress *progress, struct error *err)
{
    const struct image_scan *scan = &job->scan;
    struct cache_manifest *manifest = &job->manifest;
    struct cache_skipped *skipped = arena_alloc(&manifest->arena, scan->problem_count + 1, sizeof *skipped);
    struct cache_skipped *salvaged = arena_alloc(&manifest->arena, scan->problem_count + 1, sizeof *salvaged);
    if (!skipped || !salvaged)
        return error_no_memory(err, scan->problem_count * sizeof *skipped, "the list of bad images");
    for (size_t i = 0; i < scan->problem_count; i++) {
        const struct image_problem *problem = &scan->problems[i];
        const char *name = job->source.sets[problem->split].samples[problem->index].name;
        struct cache_skipped *entry =
            problem->salvaged ? &salvaged[manifest->salvaged_count++] : &skipped[manifest->skipped_count++];
        *entry = (struct cache_skipped){.split = problem->split, .name = name, .reason = problem->reason};
        progress_note(progress, "%s %s: %s", problem->salvaged ? "salvaged" : "bad image", name, problem->reason);
    }
    if (manifest->skipped_count && job->options->on_bad_image != BAD_IMAGE_SKIP)
        return error_set(err, STATUS_BAD_DATA, job->source.path,
                         "%d of its images are broken, the first is %s (%s): repair or remove them, or pass "
                         "--on-bad-image skip%s",
                         manifest->skipped_count, skipped[0].name, skipped[0].reason,
                         job->options->on_bad_image == BAD_IMAGE_FAIL ? " or salvage" : "");
    manifest->skipped = skipped;
    manifest->salvaged = salvaged;
    return STATUS_OK;
}

/* The samples that are kept, in order, and their stored sizes. */
static enum status lay_out_split(struct dump_job *job, enum split s, struct error *err)
{
    const struct image_set *set = &job->source.sets[s];
    if (set->count == 0)
        return STATUS_OK;
    uint64_t *sizes = malloc(set->count * sizeof *sizes);
    job->kept[s] = malloc(set->count * sizeof *job->kept[s]);
    if (!sizes || !job->kept[s] || set->count > INT32_MAX) {
        free(sizes);
        return error_no_memory(err, set->count * sizeof *sizes, "the list of samples");
    }
    size_t problem = 0;
    uint32_t kept = 0;
    for (size_t i = 0; i < set->count; i++) {
        while (problem < job->scan.problem_count &&
               (job->scan.problems[problem].split < s ||
                (job->scan.problems[problem].split == s && job->scan.problems[problem].index < i)))
            problem++;
        if (problem < job->scan.problem_count && job->scan.problems[problem].split == s &&
            job->scan.problems[problem].index == i && !job->scan.problems[problem].salvaged)
            continue;
        job->kept[s][kept] = (uint32_t)i;
        sizes[kept++] = job->scan.sizes[s][i];
    }
    enum status status = kept ? cache_layout(&job->manifest, s, sizes, kept, err) : STATUS_OK;
    free(sizes);
    return status;
}

enum status dump_job_scan(struct dump_job *job, struct progress *progress, struct error *err)
{
    enum status status = STATUS_OK;
    size_t total = 0;
    for (int s = 0; s < SPLIT_COUNT; s++)
        total += job->source.sets[s].count;
    progress_begin(progress, "check images", "images", total, 0);
    status = image_source_scan(&job->source, &job->manifest.reading, job->options->threads, progress_callback, progress,
                               &job->scan, err);
    progress_end(progress);
    if (status != STATUS_OK)
        return status;
    memcpy(job->manifest.source_digest, job->scan.digest, sizeof job->manifest.source_digest);
    TRY(handle_bad_images(job, progress, err));
    for (int s = 0; s < SPLIT_COUNT; s++)
        TRY(lay_out_split(job, (enum split)s, err));
cleanup:
    return status;
}

void dump_job_release(struct dump_job *job)
{
    for (int s = 0; s < SPLIT_COUNT; s++)
        free(job->kept[s]);
    image_scan_release(&job->scan);
    arena_release(&job->manifest.arena);
    teacher_release(&job->teacher);
    image_source_release(&job->source);
    *job = (struct dump_job){0};
}

void dump_job_describe(const struct dump_job *job, char *text, size_t size)
{
    const struct image_source *source = &job->source;
    int used = snprintf(text, size, "%s, %s, %d classes", source->format, image_encoding_name(source->encoding),
                        source->class_count);
    for (int s = 0; s < SPLIT_COUNT; s++)
        if (source->sets[s].count && used > 0 && (size_t)used < size)
            used += snprintf(text + used, size - (size_t)used, ", %s %zu", split_name((enum split)s),
                             source->sets[s].count);
}
