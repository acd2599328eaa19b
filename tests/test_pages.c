/* The pages that people look at: `inspect --html` and report.html show the pictures and numbers of the cache and run
 * that they are about, and nothing that a name could smuggle in. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "formats/cache/prepared_image.h"
#include "formats/report/html_page.h"
#include "shared/base/files.h"
#include "tests/helper_images.h"
#include "tests/helper_program.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *text_of(const char *name)
{
    char path[4200];
    unsigned char *text;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(file_read(path, 1 << 26, &text, &size, NULL), STATUS_OK);
    return (char *)text;
}

static int count_of(const char *text, const char *word)
{
    int count = 0;
    for (; (text = strstr(text, word)) != NULL; text++)
        count++;
    return count;
}

static void assert_has(const char *text, const char *word)
{
    if (!strstr(text, word))
        fail_msg("'%s' is not in the page", word);
}

/* ---- pictures ---- */

static void prepare(const struct cache *cache, const struct cache_shard *shard, uint32_t i,
                    struct prepared_image *prepared)
{
    const uint8_t *bytes;
    uint8_t *owned;
    size_t size;
    assert_int_equal(cache_image(cache, shard, i, &bytes, &size, &owned, NULL), STATUS_OK);
    assert_int_equal(prepared_image_make(prepared, &cache->manifest, bytes, size, "photo", NULL), STATUS_OK);
    free(owned);
}

/* The pixels of training view `number` of sample i by the executable specification of rendering and mixing. */
static void reference(const struct cache *cache, const struct cache_shard *shard, uint32_t i, int number,
                      struct image *image)
{
    const struct cache_manifest *manifest = &cache->manifest;
    struct cache_view which = {SPLIT_TRAIN, i, shard->ids[i], number}, partner;
    struct prepared_image own, other;
    struct cache_views views;
    struct view_mix mix;
    struct view view;
    uint8_t *mixed = malloc((size_t)manifest->size * (size_t)manifest->size * 3);
    assert_int_equal(cache_views_init(&views, manifest, manifest->size, NULL), STATUS_OK);
    assert_int_equal(image_init(image, manifest->size, manifest->size, 3, NULL), STATUS_OK);
    cache_view_mix(&views, &which, shard->ids, &mix, &partner);
    prepare(cache, shard, i, &own);
    prepare(cache, shard, partner.sample, &other);
    cache_view_make(&views, &which, own.levels[0].h, own.levels[0].w, &view);
    view_render_reference(&view, own.levels, own.level_count, manifest->size, image->pixels);
    cache_view_make(&views, &partner, other.levels[0].h, other.levels[0].w, &view);
    view_render_reference(&view, other.levels, other.level_count, manifest->size, mixed);
    view_mix_reference(&mix, manifest->size, 3, image->pixels, mixed);
    prepared_image_release(&own);
    prepared_image_release(&other);
    free(mixed);
}

/* The picture, with the title of its card behind it. */
static void assert_picture(const char *page, const struct image *image, const char *title)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(html_picture(out, image, title, NULL), STATUS_OK);
    fclose(out);
    if (!strstr(page, text))
        fail_msg("the page lacks the picture of %s", title);
    free(text);
}

static void assert_views(const char *cache_name, const char *page, const uint32_t *samples, int count, int views)
{
    char path[4200], title[32];
    struct cache cache;
    struct cache_shard shard;
    snprintf(path, sizeof path, "%s/%s", folder, cache_name);
    assert_int_equal(cache_open(&cache, path, NULL), STATUS_OK);
    assert_int_equal(cache_read_shard(&cache, SPLIT_TRAIN, 0, CACHE_READ_IMAGES, &shard, NULL), STATUS_OK);
    for (int k = 0; k < count; k++)
        for (int v = 0; v < views; v++) {
            struct image image;
            snprintf(title, sizeof title, "view %d", v);
            reference(&cache, &shard, samples[k], v, &image);
            assert_picture(page, &image, title);
            image_release(&image);
        }
    cache_shard_release(&shard);
    cache_release(&cache);
}

static void shows_the_views_that_the_teacher_saw(void **state)
{
    (void)state;
    const uint32_t spread[] = {5, 41}; /* of 72 samples: --sample, and half of them further */
    expect(0, "page: page.html",
           shell("%s inspect cache --html page.html --photos 2 --views 2 --sample 5 --quiet", dumper));
    char *page = text_of("page.html");
    assert_views("cache", page, spread, 2, 2);
    assert_int_equal(count_of(page, "<b>view "), 4);
    free(page);
    expect(0, "",
           shell("%s run --data photos --teacher teacher.onnx --out mixed --size 32 --base 36 --views 2 --augment "
                 "'light+mixup(alpha=1)+cutmix(alpha=1)' --quiet",
                 dumper));
    expect(0, "page", shell("%s inspect mixed --html page.html --photos 3 --quiet", dumper));
    page = text_of("page.html");
    assert_views("mixed", page, (const uint32_t[]){0, 24, 48}, 3, 2);
    assert_int_equal(count_of(page, " with sample ") + count_of(page, " of sample "), 6);
    free(page);
}

/* ---- numbers ---- */

static void shows_the_numbers_of_inspect(void **state)
{
    (void)state;
    char text[100];
    expect(0, "", shell("%s inspect cache --json --html page.html >numbers.json", dumper));
    char *page = text_of("page.html");
    cJSON *json = json_of("numbers.json"), *splits = cJSON_GetObjectItem(json, "splits");
    const double accuracy = cJSON_GetObjectItem(cJSON_GetObjectItem(splits, "val"), "teacher_accuracy")->valuedouble;
    snprintf(text, sizeof text, "<b>%.2f %%</b>", 100 * accuracy);
    assert_has(page, text);
    /* accuracies per class are of 8 photos each: their mean is the split's */
    double sum = 0;
    const char *at = page;
    for (int c = 0; c < 3; c++) {
        snprintf(text, sizeof text, "class_%02d, validation photos: ", c);
        at = strstr(page, text);
        assert_non_null(at);
        sum += atof(at + strlen(text));
    }
    assert_true(fabs(sum / 3 - 100 * accuracy) < 0.01);
    assert_has(page, "training views (calibration error ");
    assert_has(page, "Teacher accuracy by view");
    /* shares of the parts add up to that of all */
    const char *storage = strstr(page, "Storage by part"), *end = strstr(storage, "<td>all</td>");
    double shares = 0;
    for (at = storage; (at = strstr(at, " %</td>")) != NULL && at < end; at++) {
        const char *number = at;
        while (number[-1] != '>')
            number--;
        shares += atof(number);
    }
    assert_true(fabs(shares - 100) < 0.31); /* of six rows, each rounded to a tenth */
    cJSON_Delete(json);
    free(page);
}

static void odd_caches_have_pages(void **state)
{
    (void)state;
    expect(0, "", shell("%s run --data photos --teacher none --out plain --size 32 --views 1 --quiet", dumper));
    expect(0, "page: plain.html", shell("%s inspect plain --html plain.html --quiet", dumper));
    char *page = text_of("plain.html");
    assert_has(page, "This cache has no teacher");
    assert_int_equal(count_of(page, "<img "), 8);
    assert_null(strstr(page, "Reliability"));
    free(page);
    expect(64, "--html makes a page about a cache", shell("%s inspect teacher.onnx --html x.html", dumper));
    expect(64, "--sample 72", shell("%s inspect cache --html x.html --sample 72", dumper));
    expect(73, "nowhere/x.html", shell("%s inspect cache --html nowhere/x.html", dumper));
}

/* ---- names ---- */

static void names_stay_text(void **state)
{
    (void)state;
    static const char evil[] = "a\"><img src=x onerror=alert(1)>&'";
    char *photos = path_join(folder, "evil"), from[4500], to[4400];
    write_image_folder(photos, "train", 2, 6, 40, 40);
    write_image_folder(photos, "val", 2, 6, 40, 40);
    for (int i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "%s/%s/class_00", photos, i ? "val" : "train");
        snprintf(to, sizeof to, "%s/%s/%s", photos, i ? "val" : "train", evil);
        assert_int_equal(rename(from, to), 0);
        snprintf(from, sizeof from, "%s/0000.jpg", to);
        snprintf(to + strlen(to), sizeof to - strlen(to), "/<script>alert(2)<\\script>.jpg");
        assert_int_equal(rename(from, to), 0);
    }
    expect(0, "", shell("%s run --data evil --teacher none --out evilcache --size 32 --views 1 --quiet", dumper));
    expect(0, "",
           shell("%s fit --cache evilcache --student tiny.net --loss ce --epochs 1 --out evilteacher --quiet && %s "
                 "export --run evilteacher --out evilexport --quiet && %s run --data evil --teacher "
                 "evilexport/student.onnx --out evil2 --size 32 --views 1 --teacher-check off --quiet && %s fit "
                 "--cache evil2 --student tiny.net --seed 3 --loss 'kd(T=4)' --epochs 1 --out evilrun --quiet",
                 program, program, dumper, program));
    expect(0, "", shell("%s inspect evil2 --html evil.html --photos 100 --quiet", dumper));
    static const char *const pages[] = {"evil.html", "evilrun/report.html"};
    for (int i = 0; i < 2; i++) {
        char *page = text_of(pages[i]);
        assert_null(strstr(page, "<img src=x"));
        assert_null(strstr(page, "<script"));
        assert_has(page, "&lt;img src=x onerror=alert(1)&gt;&amp;&#39;");
        free(page);
    }
    free(photos);
}

/* ---- report.html ---- */

static void reports_show_disagreements_and_changes(void **state)
{
    (void)state;
    expect(0, "", shell("%s fit --cache cache --student tiny.net --loss ce --epochs 1 --out base --quiet", program));
    expect(0, "",
           shell("%s fit --cache cache --student tiny.net --loss 'kd(T=2)' --epochs 1 --seed 7 --out kd --baseline "
                 "base --quiet",
                 program));
    char *page = text_of("kd/report.html");
    cJSON *metrics = json_of("kd/metrics.json"), *validation = cJSON_GetObjectItem(metrics, "validation");
    const double agreement = cJSON_GetObjectItem(validation, "agreement")->valuedouble;
    const int others = (int)lround((1 - agreement) * 24);
    assert_int_equal(count_of(page, "<figure class=\"photo\">"), others < 12 ? others : 12);
    assert_true(others > 0);
    const double error = cJSON_GetObjectItem(validation, "calibration_error")->valuedouble;
    char text[100];
    snprintf(text, sizeof text, "student (calibration error %.1f %%)", 100 * error);
    assert_has(page, text);
    assert_has(page, "Change per class against ce, in points");
    free(page);
    cJSON_Delete(metrics);
    expect(66, "the run is not finished",
           shell("%s fit --cache cache --student tiny.net --epochs 1 --out x --baseline nowhere --quiet", program));
    expect(2, "", shell("test ! -e x && exit 2"));
    expect(78, "is of a run with 2 classes, here are 3",
           shell("%s fit --cache cache --student tiny.net --epochs 1 --out x --baseline evilrun --quiet", program));
    expect(0, "",
           shell("%s sweep --cache cache --student tiny.net --grid 'loss=ce,kd(T=4),kd(T=1)' --epochs 1 --out sweep "
                 "--quiet",
                 program));
    /* only if another run than the one without a teacher is the best */
    page = text_of("sweep/sweep.html");
    double best = -1, ce = -1;
    for (int i = 0; i < 3; i++) {
        static const char *const runs[] = {"0001_loss=ce", "0002_loss=kd(T=4)", "0003_loss=kd(T=1)"};
        snprintf(text, sizeof text, "sweep/runs/%s/metrics.json", runs[i]);
        metrics = json_of(text);
        const cJSON *accuracy = cJSON_GetObjectItem(cJSON_GetObjectItem(metrics, "validation"), "accuracy");
        ce = i == 0 ? accuracy->valuedouble : ce;
        best = fmax(best, accuracy->valuedouble);
        cJSON_Delete(metrics);
    }
    assert_int_equal(count_of(page, "Change per class in points, of "), best > ce ? 1 : 0);
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_the_views_that_the_teacher_saw),
        cmocka_unit_test(shows_the_numbers_of_inspect),
        cmocka_unit_test(odd_caches_have_pages),
        cmocka_unit_test(names_stay_text),
        cmocka_unit_test(reports_show_disagreements_and_changes),
    };
    return cmocka_run_group_tests(tests, program_setup, program_teardown);
}
