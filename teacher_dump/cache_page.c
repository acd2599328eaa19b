#define _GNU_SOURCE
#include "teacher_dump/cache_page.h"

#include "formats/report/class_charts.h"
#include "formats/report/html_page.h"
#include "formats/report/svg_chart.h"
#include "shared/augment/recipe.h"
#include "shared/base/files.h"
#include "teacher_dump/summary.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int split_colors[SPLIT_COUNT] = {0, 1, 3};
static const char *const split_views[SPLIT_COUNT] = {"training views", "validation photos", "test photos"};

static double share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : NAN;
}

/* ---- tiles ---- */

static void percent_tile(FILE *out, const char *name, double value, const char *remark, bool main)
{
    if (!isfinite(value))
        return;
    html_tile_open(out, name, main);
    fprintf(out, "%.2f %%", 100 * value);
    html_tile_remark(out);
    fputs(remark, out);
    html_tile_close(out);
}

static void write_tiles(const struct cache_page *page, FILE *out)
{
    const struct cache_manifest *manifest = &page->cache->manifest;
    uint64_t total, images;
    char text[32];
    cache_bytes(manifest, &total, &images);
    fputs("<div class=\"tiles\">\n", out);
    for (int s = SPLIT_COUNT - 1; s >= 0; s--) {
        const double accuracy = cache_has_teacher(manifest) ? manifest->splits[s].teacher_accuracy : -1;
        if (manifest->splits[s].samples && accuracy >= 0)
            percent_tile(out, "Teacher accuracy", accuracy,
                         s == SPLIT_TRAIN ? "on the augmented training views"
                         : s == SPLIT_VAL ? "on validation photos"
                                          : "on test photos",
                         s != SPLIT_TRAIN);
    }
    html_tile_open(out, "Views", false);
    html_thousands(out, cache_view_count(manifest));
    html_tile_remark(out);
    fputs("of ", out);
    html_thousands(out, manifest->splits[SPLIT_TRAIN].samples + manifest->splits[SPLIT_VAL].samples +
                            manifest->splits[SPLIT_TEST].samples);
    fputs(" photos", out);
    html_tile_close(out);
    html_tile_open(out, "Size", false);
    fputs(summary_bytes(total, text), out);
    html_tile_remark(out);
    fprintf(out, "%s of it are images", summary_bytes(images, text));
    html_tile_close(out);
    fputs("</div>\n", out);
}

/* ---- charts ---- */

static void write_reliability(const struct cache_page *page, FILE *out)
{
    struct reliability_curve curves[SPLIT_COUNT];
    for (int s = 0; s < SPLIT_COUNT; s++)
        curves[s] = (struct reliability_curve){split_views[s], split_colors[s], &page->study->splits[s].reliability};
    chart_reliability(out, "Reliability: accuracy against confidence", curves, SPLIT_COUNT);
}

/* Accuracy against the number of the training view: a number that stands out would be a fault of the recipe. */
static bool write_views(const struct cache_page *page, FILE *out)
{
    const struct study_split *split = &page->study->splits[SPLIT_TRAIN];
    const int views = page->cache->manifest.splits[SPLIT_TRAIN].views;
    if (views < 2 || split->labelled == 0)
        return true;
    double *numbers = calloc((size_t)views, 3 * sizeof *numbers), mean[2];
    if (!numbers)
        return false;
    double *x = numbers, *y = numbers + views, *error = numbers + 2 * (ptrdiff_t)views;
    for (int v = 0; v < views; v++) {
        x[v] = v;
        y[v] = share(split->row_right[v], split->row_views[v]);
        error[v] = sqrt(y[v] * (1 - y[v]) / (double)split->row_views[v]);
    }
    const double ends[2] = {0, views - 1};
    mean[0] = mean[1] = share(split->right, split->labelled);
    const struct chart_series series[] = {
        {.name = "training views", .x = x, .y = y, .count = views, .error = views <= 64 ? error : NULL},
        {.name = "mean", .x = ends, .y = mean, .count = 2, .color = CHART_COLORS - 1, .dashed = true}};
    const struct line_chart chart = {.title = "Teacher accuracy by view",
                                     .x_label = "number of the view; bars: standard error",
                                     .series = series,
                                     .series_count = 2,
                                     .percent = true,
                                     .mark = NAN};
    chart_lines(out, &chart);
    free(numbers);
    return true;
}

static bool write_classes(const struct cache_page *page, FILE *out)
{
    const size_t classes = (size_t)page->cache->manifest.class_count;
    struct class_series series[SPLIT_COUNT];
    int count = 0;
    double *values = calloc(classes, SPLIT_COUNT * sizeof *values);
    if (!values)
        return false;
    for (int s = SPLIT_COUNT - 1; s >= 0; s--) {
        const struct study_split *split = &page->study->splits[s];
        double *row = values + (size_t)s * classes;
        if (split->labelled == 0)
            continue;
        for (size_t c = 0; c < classes; c++)
            row[c] = share(split->class_right[c], split->class_views[c]);
        series[count++] = (struct class_series){split_views[s], split_colors[s], row};
    }
    const bool ok = count == 0 || chart_class_accuracy(out, page->cache->manifest.classes, (int)classes, series, count);
    free(values);
    return ok;
}

static void storage_row(FILE *out, const char *name, uint64_t bytes, uint64_t total, double views)
{
    char text[32];
    if (bytes == 0)
        return;
    fputs("<tr><td>", out);
    html_escape(out, name);
    fprintf(out, "</td><td>%s</td><td>%.1f %%</td><td>%.2f</td></tr>\n", summary_bytes(bytes, text),
            100 * share(bytes, total), (double)bytes / views);
}

static void write_storage(const struct cache_page *page, FILE *out)
{
    const struct cache_manifest *manifest = &page->cache->manifest;
    const struct cache_storage *storage = &page->study->storage;
    const double views = (double)cache_view_count(manifest);
    uint64_t total, images, parts = storage->images + storage->logits + storage->records + storage->form;
    char name[CACHE_NAME_SIZE + 32];
    cache_bytes(manifest, &total, &images);
    fputs("<div class=\"chart\"><h3>Storage by part</h3>\n<table><thead><tr><th>part</th><th>bytes</th>"
          "<th>share</th><th>bytes a view</th></tr></thead><tbody>\n",
          out);
    storage_row(out, "images", storage->images, total, views);
    storage_row(out, "logits", storage->logits, total, views);
    for (int i = 0; i < manifest->feature_count; i++) {
        snprintf(name, sizeof name, "feature %s, %s", manifest->features[i].tensor,
                 feature_form_name(manifest->features[i].form));
        storage_row(out, name, storage->features[i], total, views);
        parts += storage->features[i];
    }
    storage_row(out, "names, ids and labels", storage->records, total, views);
    storage_row(out, "form of the files", storage->form, total, views);
    storage_row(out, "cache.json", total > parts ? total - parts : 0, total, views);
    storage_row(out, "all", total, total, views);
    fputs("</tbody></table></div>\n", out);
}

/* ---- page ---- */

static const char *subtitle_of(const struct cache_manifest *manifest, struct arena *arena)
{
    return arena_printf(arena, "%s, %d classes, %d views of %s, teacher: %s, %d pixels", manifest->source_format,
                        manifest->class_count, manifest->views, manifest->recipe,
                        cache_has_teacher(manifest) ? manifest->teacher_file : "none", manifest->size);
}

static enum status write_page(const struct cache_page *page, FILE *out, struct error *err)
{
    const struct cache_study *study = page->study;
    enum status status = STATUS_OK;
    struct recipe recipe;
    struct arena arena = {0};
    uint64_t counted = 0;
    const char *subtitle = subtitle_of(&page->cache->manifest, &arena);
    if (!subtitle)
        FAIL(error_no_memory(err, 0, "the page"));
    html_page_begin(out, page->cache->path, subtitle);
    write_tiles(page, out);
    TRY(cache_page_photos(page, out, err));
    for (int s = 0; s < SPLIT_COUNT; s++)
        counted += study->splits[s].views;
    fputs("<h2>Numbers</h2>\n", out);
    if (counted && counted < cache_view_count(&page->cache->manifest))
        fprintf(out, "<p class=\"note\">The charts are of %llu views: every second or third sample, or fewer.</p>\n",
                (unsigned long long)counted);
    if (recipe_parse(&recipe, page->cache->manifest.recipe, NULL) == STATUS_OK && recipe_mixes(&recipe))
        fputs("<p class=\"note\">Training views are mixed with other photos: an answer counts as right if it is the "
              "class "
              "of the first one, so their accuracy says little.</p>\n",
              out);
    fputs("<div class=\"grid\">\n", out);
    write_reliability(page, out);
    if (!write_views(page, out) || !write_classes(page, out))
        FAIL(error_no_memory(err, 0, "the page"));
    write_storage(page, out);
    fputs("</div>\n", out);
    html_page_end(out);
cleanup:
    arena_release(&arena);
    return status;
}

enum status cache_page_publish(const struct cache_page *page, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return error_no_memory(err, 0, "the page");
    status = write_page(page, out, err);
    const bool failed = ferror(out);
    if ((fclose(out) != 0 || failed) && status == STATUS_OK)
        status = error_no_memory(err, 0, "the page");
    if (status == STATUS_OK)
        status = file_publish(path, text, size, err);
    free(text);
    return status;
}
