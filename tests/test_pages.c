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
#include "formats/json.h"
#include "shared/base/files.h"
#include "student_train/run/run_folder.h"
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
    for (int version = 1; version <= 3; version++) { /* of every released form */
        char name[100];
        snprintf(name, sizeof name, "tests/golden/caches/version_%d", version);
        char *path = realpath(name, NULL);
        expect(0, "page: old.html", shell("%s inspect '%s' --html old.html --quiet", dumper, path));
        page = text_of("old.html");
        assert_has(page, "<td>logits</td>");
        free(page);
        free(path);
    }
    expect(64, "--html makes a page about a cache", shell("%s inspect teacher.onnx --html x.html", dumper));
    expect(64, "--sample 72", shell("%s inspect cache --html x.html --sample 72", dumper));
    expect(73, "nowhere/x.html", shell("%s inspect cache --html nowhere/x.html", dumper));
}

/* ---- names ---- */

/* Means over two runs with each loss, class by class: each mean change is that of the four metrics.json. */
static void comparisons_have_pages(void **state)
{
    (void)state;
    double change[3] = {0};
    for (int i = 0; i < 4; i++) {
        char text[100];
        expect(0, "",
               shell("%s fit --cache cache --student tiny.net --loss '%s' --seed %d --epochs 2 --lr 1e-2 --out m%d "
                     "--quiet",
                     program, i < 2 ? "ce" : "kd(T=4)", i, i));
        snprintf(text, sizeof text, "m%d/metrics.json", i);
        cJSON *metrics = json_of(text);
        const cJSON *classes = cJSON_GetObjectItem(cJSON_GetObjectItem(metrics, "validation"), "per_class");
        for (int k = 0; k < 3; k++)
            change[k] +=
                (i < 2 ? -50 : 50) * cJSON_GetObjectItem(cJSON_GetArrayItem(classes, k), "accuracy")->valuedouble;
        cJSON_Delete(metrics);
    }
    expect(0, "", shell("%s compare --run m0 --run m1 --run m2 --run m3 --baseline ce --html compare.html", program));
    char *page = text_of("compare.html");
    for (int k = 0; k < 3; k++) {
        char text[100];
        snprintf(text, sizeof text, "class_%02d: ", k);
        const char *at = strstr(page, text);
        assert_non_null(at);
        assert_true(fabs(atof(at + strlen(text)) - change[k]) < 0.006);
    }
    assert_has(page, "tiny.net, kd(T=4) against tiny.net, ce, in points");
    free(page);
}

/* Writes RUN/metrics.json anew, with these accuracies of the classes. */
static void set_accuracies(const char *run, double a, double b, double c)
{
    char path[4400];
    const double accuracies[] = {a, b, c};
    snprintf(path, sizeof path, "%s/metrics.json", run);
    cJSON *metrics = json_of(path), *validation = cJSON_GetObjectItem(metrics, "validation");
    cJSON_SetNumberValue(cJSON_GetObjectItem(validation, "accuracy"), (a + b + c) / 3);
    for (int k = 0; k < 3; k++) {
        cJSON *class = cJSON_GetArrayItem(cJSON_GetObjectItem(validation, "per_class"), k);
        cJSON_SetNumberValue(cJSON_GetObjectItem(class, "accuracy"), accuracies[k]);
    }
    cJSON_DeleteItemFromObject(metrics, JSON_SEAL); /* which the next line makes anew */
    snprintf(path, sizeof path, "%s/%s", folder, run);
    assert_int_equal(run_publish_json(metrics, path, "metrics.json", NULL), STATUS_OK);
}

static double change_of(const char *page, const char *title, const char *class)
{
    char text[100];
    snprintf(text, sizeof text, "%s: ", class);
    const char *chart = strstr(page, title), *at = chart ? strstr(chart, text) : NULL;
    if (!at)
        fail_msg("the page has no change of %s under '%s'", class, title);
    return atof(at + strlen(text));
}

/* Runs of one name at several places are rows of their own, each against the baseline at its place. */
static void comparisons_keep_places_apart(void **state)
{
    (void)state;
    static const struct {
        const char *name, *loss;
        double accuracies[3];
    } runs[] = {{"same", "kd(T=4)", {0.5, 0.25, 0.75}},
                {"same", "kd(T=4)", {1, 0.5, 0}},
                {"plain 2", "ce", {0.75, 0.75, 0.75}},
                {"plain 1", "ce", {0.25, 0.5, 0.5}}};
    for (int i = 0; i < 4; i++) {
        char run[10];
        snprintf(run, sizeof run, "x%d", i);
        expect(0, "",
               shell("%s fit --cache cache --student tiny.net --loss '%s' --name '%s' --epochs 1 --out %s --quiet",
                     program, runs[i].loss, runs[i].name, run));
        set_accuracies(run, runs[i].accuracies[0], runs[i].accuracies[1], runs[i].accuracies[2]);
    }
    expect(0, "",
           shell("%s compare --run x0 --x 1 --run x1 --x 2 --run x2 --x 2 --run x3 --x 1 --baseline ce --html "
                 "places.html",
                 program));
    char *page = text_of("places.html");
    assert_int_equal(count_of(page, ", in points</h3>"), 2);
    assert_true(fabs(change_of(page, "same at 1 against plain 1, in points", "class_00") - 25) < 0.006);
    assert_true(fabs(change_of(page, "same at 2 against plain 2, in points", "class_00") - 25) < 0.006);
    assert_true(fabs(change_of(page, "same at 1 against plain 1, in points", "class_02") - 25) < 0.006);
    assert_true(fabs(change_of(page, "same at 2 against plain 2, in points", "class_02") + 75) < 0.006);
    assert_has(page, "<td>same at 2</td><td>1</td>");
    free(page);
    expect(0, "",
           shell("%s compare --run x0 --x 1 --run x1 --x 2 --run x3 --x 1 --baseline ce --html places.html", program));
    page = text_of("places.html"); /* there is no baseline at 2 */
    assert_int_equal(count_of(page, ", in points</h3>"), 1);
    assert_true(fabs(change_of(page, "same at 1 against plain 1, in points", "class_01") + 25) < 0.006);
    free(page);
}

/* The logits of students that are evaluated side by side are not mixed up. */
static void side_by_side_is_calibrated_as_alone(void **state)
{
    (void)state;
    for (int parallel = 1; parallel <= 3; parallel += 2)
        expect(0, "3 runs",
               shell("%s sweep --cache cache --student tiny.net --grid lr=1e-3,1e-2,3e-2 --loss 'kd(T=2)' "
                     "--epochs 2 --parallel %d --out p%d --quiet",
                     program, parallel, parallel));
    expect(0, "3 different, same",
           shell("for p in p1 p3; do cat $p/runs/*/metrics.json | grep -w calibration_error >$p.txt; done; "
                 "echo $(sort -u p1.txt | wc -l) different, $(cmp p1.txt p3.txt && echo same)"));
    expect(0, "same",
           shell("for run in p1/runs/*; do "
                 "for p in p1 p3; do grep -o 'figcaption><b>[^<]*' $p/runs/$(basename $run)/report.html >$p.txt; done; "
                 "test -s p1.txt && cmp p1.txt p3.txt || exit 1; done; echo same"));
}

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
    /* once more as the names of a run, a student and a key's value, long ones of Greek letters with them */
    char greek[401] = "";
    for (int i = 0; i < 200; i++)
        strcat(greek, "λ");
    expect(0, "",
           shell("cp tiny.net 'a\"><img src=x onerror=alert(1)>&.net' && %s fit --cache evil2 --student tiny.net "
                 "--loss ce --epochs 1 --out evilbase --name 'b%s' --quiet && %s fit --cache evil2 --student tiny.net "
                 "--loss 'kd(T=4)' --epochs 1 --out evilname --name 'a\"><img src=x onerror=alert(1)>&%s' --quiet && "
                 "%s compare --run evilname --run evilbase --baseline ce --html compare.html && %s sweep --cache "
                 "evil2 --grid 'student=a\"><img src=x onerror=alert(1)>&.net' --grid 'loss=ce,kd(T=4)' --epochs 1 "
                 "--out evilsweep --quiet",
                 program, greek, program, greek, program, program));
    static const char *const pages[] = {"evil.html", "evilrun/report.html", "evilname/report.html", "compare.html",
                                        "evilsweep/sweep.html"};
    for (int i = 0; i < 5; i++) {
        char *page = text_of(pages[i]);
        assert_null(strstr(page, "<img src=x"));
        assert_null(strstr(page, "a\">"));
        assert_int_equal(count_of(page, "<script"), i == 4); /* the table's own, that sorts */
        assert_has(page, "a&quot;&gt;&lt;img src=x onerror=alert(1)&gt;&amp;");
        free(page);
        expect(0, "", shell("iconv -f UTF-8 -t UTF-8 %s >utf8.txt", pages[i]));
    }
    char *page = text_of("compare.html");
    snprintf(from, sizeof from, "%s against b%s, in points", greek, greek);
    assert_has(page, from);
    free(page);
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
    char *pair = path_join(folder, "pair");
    write_image_folder(pair, "train", 2, 6, 40, 40);
    write_image_folder(pair, "val", 2, 6, 40, 40);
    free(pair);
    expect(0, "",
           shell("%s run --data pair --teacher none --out paircache --size 32 --views 1 --quiet && %s fit --cache "
                 "paircache --student tiny.net --loss ce --epochs 1 --out pairrun --quiet",
                 dumper, program));
    expect(78, "is of a run with 2 classes, here are 3",
           shell("%s fit --cache cache --student tiny.net --epochs 1 --out x --baseline pairrun --quiet", program));
}

/* The best run, with a teacher, against the best one without: also where their other keys differ. */
static void sweeps_show_changes(void **state)
{
    (void)state;
    static const char sweep[] = "sweep --cache cache --student tiny.net --grid 'loss=ce,kd(T=4)' --grid lr=1e-3,1e-2 "
                                "--epochs 1 --out sweep --quiet";
    expect(0, "", shell("%s %s", program, sweep));
    set_accuracies("sweep/runs/0001_loss=ce,_lr=1e-3", 0.5, 0.5, 0.5);
    set_accuracies("sweep/runs/0002_loss=ce,_lr=1e-2", 0.25, 0.25, 0.25);
    set_accuracies("sweep/runs/0003_loss=kd(T=4),_lr=1e-3", 0.5, 0.25, 0);
    set_accuracies("sweep/runs/0004_loss=kd(T=4),_lr=1e-2", 1, 0.25, 0.75);
    expect(0, "", shell("%s %s --resume", program, sweep));
    char *page = text_of("sweep/sweep.html");
    static const char title[] = "Change per class in points, of loss=kd(T=4), lr=1e-2 against loss=ce, lr=1e-3";
    assert_int_equal(count_of(page, "Change per class in points, of "), 1);
    assert_true(fabs(change_of(page, title, "class_00") - 50) < 0.006);
    assert_true(fabs(change_of(page, title, "class_01") + 25) < 0.006);
    assert_true(fabs(change_of(page, title, "class_02") - 25) < 0.006);
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_the_views_that_the_teacher_saw),
        cmocka_unit_test(shows_the_numbers_of_inspect),
        cmocka_unit_test(odd_caches_have_pages),
        cmocka_unit_test(comparisons_have_pages),
        cmocka_unit_test(comparisons_keep_places_apart),
        cmocka_unit_test(side_by_side_is_calibrated_as_alone),
        cmocka_unit_test(names_stay_text),
        cmocka_unit_test(reports_show_disagreements_and_changes),
        cmocka_unit_test(sweeps_show_changes),
    };
    return cmocka_run_group_tests(tests, program_setup, program_teardown);
}
