#include "teacher_dump/compare_augment.h"

#include "shared/base/interrupt.h"
#include "teacher_dump/photo_sample.h"
#include "teacher_dump/summary.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Base images that are kept in memory; photos beyond that are not looked at. */
static const size_t MEMORY_LIMIT = (size_t)1 << 30;
/* A recipe with so many fewer right views than plain ones is too strong, as in summary.c. */
static const double LARGEST_LOSS = 0.1;

/* What was found of one recipe. */
struct row {
    const char *name, *text; /* as given, canonical */
    double accuracy, entropy, deviation;
    bool mixed;
};

struct comparison {
    struct dump_job *job;
    struct photo_sample sample;
    uint32_t *ids;         /* [count] of the photos, as they would be in a cache */
    double *probabilities; /* [classes] */
    double *sums;          /* [count, classes] of the probabilities of a photo's views */
    struct row *rows;
    int row_count;
};

/* ---- photos ---- */

static enum status read_photos(struct comparison *c, struct error *err)
{
    enum status status = STATUS_OK;
    const struct dump_job *job = c->job;
    struct photo_sample *sample = &c->sample;
    size_t kept = 0, bytes = 0;
    TRY(photo_sample_choose(sample, &job->source, SPLIT_TRAIN, job->options->seed, COMPARE_PHOTOS, err));
    for (int i = 0; i < sample->count; i++) {
        struct sampled_photo photo = sample->photos[i];
        const char *name = job->source.sets[SPLIT_TRAIN].samples[photo.index].name;
        uint8_t *stored = NULL;
        size_t size;
        if (bytes < MEMORY_LIMIT && photo.label >= 0 &&
            image_source_read(&job->source, SPLIT_TRAIN, photo.index, &stored, &size, NULL) == STATUS_OK &&
            prepared_image_make(&photo.image, &job->manifest, stored, size, name, NULL) == STATUS_OK) {
            bytes += prepared_image_bytes(&photo.image);
            sample->photos[kept++] = photo;
        }
        free(stored);
    }
    sample->count = (int)kept;
    if (kept == 0)
        FAIL(error_set(err, STATUS_CONFIG, job->source.path, "no training photo has a label: nothing can be compared"));
cleanup:
    return status;
}

static enum status allocate(struct comparison *c, struct error *err)
{
    const size_t count = (size_t)c->sample.count, classes = (size_t)c->job->teacher.classes;
    c->ids = malloc(count * sizeof *c->ids);
    c->probabilities = malloc(classes * sizeof *c->probabilities);
    c->sums = malloc(count * classes * sizeof *c->sums);
    if (!c->ids || !c->probabilities || !c->sums)
        return error_no_memory(err, count * classes * sizeof *c->sums, "the teacher's answers");
    for (size_t i = 0; i < count; i++)
        c->ids[i] = c->sample.photos[i].index;
    return STATUS_OK;
}

/* ---- one recipe ---- */

static void fill_request(const struct comparison *c, const struct cache_views *views, int photo, int number,
                         struct view_request *request)
{
    const struct sampled_photo *own = &c->sample.photos[photo];
    *request = (struct view_request){.image = &own->image, .which = {SPLIT_TRAIN, (uint32_t)photo, own->index, number}};
    cache_view_mix(views, &request->which, c->ids, &request->mix, &request->partner);
    request->partner_image = &c->sample.photos[request->partner.sample].image;
}

/* The label of the picture that has the larger share. */
static int label_of(const struct comparison *c, const struct view_request *request)
{
    const uint32_t photo = request->mix.share >= 32768 ? request->which.sample : request->partner.sample;
    return c->sample.photos[photo].label;
}

static void add_answer(struct comparison *c, const struct view_request *request, const float *logits, struct row *row)
{
    const int classes = c->job->teacher.classes;
    double *sums = c->sums + (size_t)request->which.sample * (size_t)classes;
    int best = 0;
    row->entropy += cache_probabilities(logits, classes, c->probabilities);
    for (int k = 0; k < classes; k++) {
        sums[k] += c->probabilities[k];
        best = logits[k] > logits[best] ? k : best;
    }
    row->accuracy += best == label_of(c, request);
}

static enum status run_views(struct comparison *c, struct view_batch *views, struct view_request *requests,
                             struct row *row, struct error *err)
{
    enum status status = STATUS_OK;
    const int total = c->sample.count * COMPARE_VIEWS;
    const size_t classes = (size_t)c->job->teacher.classes;
    struct view_answers answers;
    for (int at = 0, count; at < total; at += count) {
        count = total - at < views->batch ? total - at : views->batch;
        for (int k = 0; k < count; k++)
            fill_request(c, &views->cache_views, (at + k) / COMPARE_VIEWS, (at + k) % COMPARE_VIEWS, &requests[k]);
        TRY(view_batch_submit(views, 0, requests, count, err));
        TRY(view_batch_collect(views, 0, &answers, err));
        for (int k = 0; k < count; k++)
            add_answer(c, &requests[k], answers.outputs[0] + (size_t)k * classes, row);
        if (interrupt_requested())
            FAIL(error_set(err, STATUS_INTERRUPTED, NULL, "nothing was written"));
    }
cleanup:
    return status;
}

/* Sums become means. */
static void finish_row(const struct comparison *c, struct row *row)
{
    const size_t count = (size_t)c->sample.count, classes = (size_t)c->job->teacher.classes;
    double squares = 0;
    for (size_t i = 0; i < count * classes; i++)
        squares += c->sums[i] / COMPARE_VIEWS * (c->sums[i] / COMPARE_VIEWS);
    row->deviation = cache_deviation(squares / (double)count, (int)classes);
    row->accuracy /= (double)count * COMPARE_VIEWS;
    row->entropy /= (double)count * COMPARE_VIEWS;
}

static enum status try_recipe(struct comparison *c, struct row *row, struct error *err)
{
    enum status status = STATUS_OK;
    struct cache_manifest manifest = c->job->manifest; /* its arena stays the job's */
    struct view_batch views = {0};
    struct view_request *requests = NULL;
    manifest.recipe = row->text;
    manifest.views = COMPARE_VIEWS;
    manifest.splits[SPLIT_TRAIN].samples = (uint32_t)c->sample.count;
    memset(c->sums, 0, (size_t)c->sample.count * (size_t)manifest.class_count * sizeof *c->sums);
    TRY(view_batch_init(&views, &manifest, &c->job->teacher, c->job->engine.batch, err));
    row->mixed = recipe_mixes(&views.cache_views.recipe);
    requests = calloc((size_t)views.batch, sizeof *requests);
    if (!requests)
        FAIL(error_no_memory(err, (size_t)views.batch * sizeof *requests, "a batch"));
    TRY(run_views(c, &views, requests, row, err));
    finish_row(c, row);
cleanup:
    free(requests);
    view_batch_release(&views);
    return status;
}

/* ---- all recipes ---- */

/* The presets, and the run's own recipe unless it is one of them. The first is `none`. */
static enum status list_recipes(struct comparison *c, struct error *err)
{
    enum status status = STATUS_OK;
    struct arena *arena = &c->job->manifest.arena;
    const struct cache_manifest *manifest = &c->job->manifest;
    struct recipe recipe;
    const int presets = recipe_preset_count();
    bool listed = false;
    c->rows = arena_alloc(arena, (size_t)presets + 1, sizeof *c->rows);
    for (int i = 0; c->rows && i < presets; i++) {
        const char *name = recipe_preset_name(i);
        TRY(recipe_parse(&recipe, name, err));
        c->rows[c->row_count++] = (struct row){.name = name, .text = arena_strdup(arena, recipe.text)};
        listed |= strcmp(recipe.text, manifest->recipe) == 0;
    }
    if (c->rows && !listed)
        c->rows[c->row_count++] = (struct row){.name = c->job->options->recipe, .text = manifest->recipe};
    for (int i = 0; c->rows && i < c->row_count; i++)
        if (!c->rows[i].text)
            c->rows = NULL;
    if (!c->rows)
        status = error_no_memory(err, 0, "the recipes");
cleanup:
    return status;
}

static bool is_too_strong(const struct comparison *c, const struct row *row)
{
    return !row->mixed && c->rows[0].accuracy - row->accuracy > LARGEST_LOSS;
}

/* The recipe of the lowest deviation among those that are not too strong. */
static const struct row *gentlest(const struct comparison *c)
{
    const struct row *best = &c->rows[0];
    for (int i = 1; i < c->row_count; i++)
        if (!is_too_strong(c, &c->rows[i]) && !c->rows[i].mixed && c->rows[i].deviation < best->deviation)
            best = &c->rows[i];
    return best;
}

static void print_table(const struct comparison *c)
{
    const int classes = c->job->teacher.classes;
    printf("%d views of %d training photos each; of mixed views, the label is that of the larger share\n\n",
           COMPARE_VIEWS, c->sample.count);
    printf("  %-14s %8s %9s %10s\n", "recipe", "right", "entropy", "deviation");
    for (int i = 0; i < c->row_count; i++) {
        const struct row *row = &c->rows[i];
        printf("  %-14s %6.1f %% %9.3f %10.4f%s%s\n", row->name, 100 * row->accuracy, row->entropy, row->deviation,
               row->mixed ? "  mixed" : "", is_too_strong(c, row) ? "  too strong for this teacher" : "");
    }
    printf(
        "\nentropy: of the teacher's probabilities, in nats (even: %.3f); deviation: of its mean probability over the "
        "views of a photo (sure: %.4f), the lower the better for a student as long as the teacher stays right\n",
        log(classes), cache_sure_deviation(classes));
    printf("try first: --augment %s\n", gentlest(c)->name);
}

static enum status print_json(const struct comparison *c, struct error *err)
{
    cJSON *object = cJSON_CreateObject(), *recipes = cJSON_AddArrayToObject(object, "recipes");
    cJSON_AddNumberToObject(object, "photos", c->sample.count);
    cJSON_AddNumberToObject(object, "views", COMPARE_VIEWS);
    cJSON_AddStringToObject(object, "try_first", gentlest(c)->name);
    for (int i = 0; i < c->row_count; i++) {
        const struct row *row = &c->rows[i];
        cJSON *item = json_append(recipes, cJSON_CreateObject());
        cJSON_AddStringToObject(item, "name", row->name);
        cJSON_AddStringToObject(item, "recipe", row->text);
        cJSON_AddNumberToObject(item, "accuracy", row->accuracy);
        cJSON_AddNumberToObject(item, "entropy", row->entropy);
        cJSON_AddNumberToObject(item, "deviation", row->deviation);
        cJSON_AddBoolToObject(item, "mixed", row->mixed);
        cJSON_AddBoolToObject(item, "too_strong", is_too_strong(c, row));
    }
    return summary_print_json(object, err);
}

enum status compare_augment(struct dump_job *job, struct progress *progress, struct error *err)
{
    enum status status = STATUS_OK;
    struct comparison c = {.job = job};
    TRY(list_recipes(&c, err));
    TRY(read_photos(&c, err));
    TRY(allocate(&c, err));
    progress_begin(progress, "compare", "recipes", (size_t)c.row_count, 0);
    for (int i = 0; i < c.row_count; i++) {
        TRY(try_recipe(&c, &c.rows[i], err));
        progress_update(progress, (size_t)i + 1, c.rows[i].name);
    }
    progress_end(progress);
    if (job->options->json)
        TRY(print_json(&c, err));
    else
        print_table(&c);
cleanup:
    photo_sample_release(&c.sample);
    free(c.ids);
    free(c.probabilities);
    free(c.sums);
    return status;
}
