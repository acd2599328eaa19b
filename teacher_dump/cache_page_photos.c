/* The photos of the page: what the teacher saw, rendered again from the images in the cache, and what it said. */
#include "teacher_dump/cache_page.h"

#include "formats/cache/prepared_image.h"
#include "formats/report/html_page.h"
#include "formats/report/svg_chart.h"
#include <stdlib.h>
#include <string.h>

enum { THUMBNAIL = 192 }; /* pixels: sharp at twice the density of a card */

/* Shards that were read; photos come mostly in the order of their shards. */
struct photo_reader {
    const struct cache *cache;
    struct cache_views views;
    enum split split;
    int index; /* of the shard that is loaded; -1: none */
    struct cache_shard shard;
};

static enum status load_shard(struct photo_reader *reader, enum split split, uint32_t sample, struct error *err)
{
    const struct cache_split *all = &reader->cache->manifest.splits[split];
    enum status status = STATUS_OK;
    int index = 0;
    while (sample >= all->shards[index].first + all->shards[index].count)
        index++;
    if (reader->index == index && reader->split == split)
        return STATUS_OK;
    cache_shard_release(&reader->shard);
    reader->index = -1;
    TRY(cache_read_shard(reader->cache, split, index, CACHE_READ_IMAGES, &reader->shard, err));
    reader->index = index;
    reader->split = split;
cleanup:
    return status;
}

/* A photo, and what the teacher said about its stored views. */
struct photo {
    struct cache_view which; /* its number is not set */
    char name[CACHE_NAME_SIZE];
    int label, rows;
    struct prepared_image prepared;
    float *logits; /* [rows, classes]; NULL without a teacher */
};

static void photo_release(struct photo *photo)
{
    prepared_image_release(&photo->prepared);
    free(photo->logits);
    *photo = (struct photo){0};
}

static enum status prepare(struct photo_reader *reader, enum split split, uint32_t sample,
                           struct prepared_image *prepared, uint32_t *id, struct error *err)
{
    enum status status = STATUS_OK;
    const uint8_t *bytes;
    uint8_t *owned = NULL;
    size_t size;
    TRY(load_shard(reader, split, sample, err));
    const uint32_t i = sample - reader->shard.first;
    *id = reader->shard.ids[i];
    TRY(cache_image(reader->cache, &reader->shard, i, &bytes, &size, &owned, err));
    TRY(prepared_image_make(prepared, &reader->cache->manifest, bytes, size, reader->shard.names[i], err));
cleanup:
    free(owned);
    return status;
}

/* first and rows: of the stored views whose answers are wanted. */
static enum status photo_load(struct photo *photo, struct photo_reader *reader, enum split split, uint32_t sample,
                              int first, int rows, struct error *err)
{
    const struct cache_manifest *manifest = &reader->cache->manifest;
    const size_t classes = (size_t)manifest->class_count;
    enum status status = STATUS_OK;
    *photo = (struct photo){.which = {.split = split, .sample = sample}, .rows = rows};
    TRY(prepare(reader, split, sample, &photo->prepared, &photo->which.id, err));
    const uint32_t i = sample - reader->shard.first;
    memcpy(photo->name, reader->shard.names[i], sizeof photo->name);
    photo->label = reader->shard.labels[i];
    if (!cache_has_teacher(manifest))
        return STATUS_OK;
    photo->logits = calloc((size_t)rows, classes * sizeof *photo->logits);
    if (!photo->logits)
        FAIL(error_no_memory(err, (size_t)rows * classes * sizeof *photo->logits, "logits"));
    for (int row = 0; row < rows; row++)
        cache_logits(manifest, &reader->shard, i, first + row, photo->logits + (size_t)row * classes);
cleanup:
    return status;
}

/* The pixels of a stored view, shrunk for the page. *picture is the caller's, also after an error. */
static enum status render(struct photo_reader *reader, const struct photo *photo, const struct cache_view *which,
                          struct image *picture, struct error *err)
{
    const struct cache_views *views = &reader->views;
    enum status status = STATUS_OK;
    struct prepared_image other = {0};
    struct image seen = {0};
    struct cache_view partner;
    struct view_mix mix;
    cache_view_mix(views, which, NULL, &mix, &partner);
    if (mix.kind != VIEW_MIX_NONE)
        TRY(prepare(reader, partner.split, partner.sample, &other, &partner.id, err));
    TRY(image_init(&seen, views->size, views->size, views->manifest->channels, err));
    TRY(prepared_view_pixels(views, which, &photo->prepared, partner.id, &other, seen.pixels, err));
    TRY(image_resize_short_side(&seen, views->size < THUMBNAIL ? 0 : THUMBNAIL, picture, err));
cleanup:
    image_release(&seen);
    prepared_image_release(&other);
    return status;
}

/* One card: row `row` of the sample's stored views, whose logits are number `answer` of the photo's. */
static enum status write_view(struct photo_reader *reader, FILE *out, const struct photo *photo, int row, int answer,
                              const char *title, bool label_shown, struct error *err)
{
    const struct cache_manifest *manifest = &reader->cache->manifest;
    const int classes = manifest->class_count;
    struct cache_view which = photo->which, partner;
    struct photo_answer said = {0};
    struct image picture = {0};
    struct view_mix mix;
    char note[100];
    enum status status = STATUS_OK;
    double *probabilities = calloc((size_t)classes, sizeof *probabilities);
    which.number = cache_view_number(which.split, row);
    if (!probabilities)
        FAIL(error_no_memory(err, (size_t)classes * sizeof *probabilities, "probabilities"));
    if (photo->logits) {
        cache_probabilities(photo->logits + (size_t)answer * (size_t)classes, classes, probabilities);
        said = photo_answer_of(NULL, probabilities, classes);
    }
    TRY(render(reader, photo, &which, &picture, err));
    cache_view_mix(&reader->views, &which, NULL, &mix, &partner);
    view_mix_describe(&mix, partner.sample, note, sizeof note);
    const struct photo_card card = {.image = &picture,
                                    .title = title,
                                    .note = note[0] ? note + strspn(note, " ") : NULL,
                                    .label = photo->label,
                                    .label_shown = label_shown,
                                    .answers = &said,
                                    .answer_count = photo->logits ? 1 : 0};
    TRY(html_photo(out, &card, manifest->classes, err));
cleanup:
    image_release(&picture);
    free(probabilities);
    return status;
}

/* The views of one training photo under its name. */
static enum status write_training_photo(const struct cache_page *page, struct photo_reader *reader, FILE *out,
                                        uint32_t sample, struct error *err)
{
    enum status status = STATUS_OK;
    struct photo photo;
    char title[32];
    TRY(photo_load(&photo, reader, SPLIT_TRAIN, sample, 0, page->views, err));
    fputs("<h3 class=\"above\">", out);
    html_escape(out, photo.name);
    if (photo.label >= 0) {
        fputs(", true class: ", out);
        html_escape(out, page->cache->manifest.classes[photo.label]);
    }
    fputs("</h3>\n<div class=\"photos\">\n", out);
    for (int row = 0; row < page->views; row++) {
        snprintf(title, sizeof title, "view %d", row);
        TRY(write_view(reader, out, &photo, row, row, title, false, err));
    }
    fputs("</div>\n", out);
cleanup:
    photo_release(&photo);
    return status;
}

static enum status write_training_photos(const struct cache_page *page, struct photo_reader *reader, FILE *out,
                                         struct error *err)
{
    const uint32_t samples = page->cache->manifest.splits[SPLIT_TRAIN].samples;
    const uint32_t count = (uint32_t)page->photos < samples ? (uint32_t)page->photos : samples;
    enum status status = STATUS_OK;
    if (count == 0 || page->views == 0)
        return STATUS_OK;
    fprintf(out,
            "<h2>What the teacher saw</h2>\n<p class=\"note\">%u of %u training photos, evenly spread, with %d of %d "
            "views each%s</p>\n",
            count, samples, page->views, page->cache->manifest.views,
            cache_has_teacher(&page->cache->manifest)
                ? ", and the three classes with the highest probabilities. A ✓ marks the true class."
                : ". This cache has no teacher.");
    for (uint32_t k = 0; k < count; k++)
        TRY(write_training_photo(page, reader, out, (uint32_t)((page->first + (uint64_t)k * samples / count) % samples),
                                 err));
cleanup:
    return status;
}

static enum status write_mistakes(const struct cache_page *page, struct photo_reader *reader, FILE *out,
                                  struct error *err)
{
    enum status status = STATUS_OK;
    struct photo photo = {0};
    if (page->study->mistake_count == 0)
        return STATUS_OK;
    fprintf(out,
            "<h2>Where the teacher is surest and wrong</h2>\n<p class=\"note\">Of the %s split. Often it is the label "
            "that is wrong.</p>\n<div class=\"photos\">\n",
            split_name(page->study->mistakes[0].split));
    for (int i = 0; i < page->study->mistake_count; i++) {
        const struct study_mistake *mistake = &page->study->mistakes[i];
        TRY(photo_load(&photo, reader, mistake->split, mistake->sample, mistake->row, 1, err));
        TRY(write_view(reader, out, &photo, mistake->row, 0, photo.name, true, err));
        photo_release(&photo);
    }
    fputs("</div>\n", out);
cleanup:
    photo_release(&photo);
    return status;
}

enum status cache_page_photos(const struct cache_page *page, FILE *out, struct error *err)
{
    struct photo_reader reader = {.cache = page->cache, .index = -1};
    enum status status = STATUS_OK;
    TRY(cache_views_init(&reader.views, &page->cache->manifest, page->cache->manifest.size, err));
    TRY(write_training_photos(page, &reader, out, err));
    TRY(write_mistakes(page, &reader, out, err));
cleanup:
    cache_shard_release(&reader.shard);
    return status;
}
