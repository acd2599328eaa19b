/* libsoftcache_views.so's functions: the pixels are those of the executable specifications, for every preset, for mixed
 * views, colour and grey, and several sizes; and what they refuse. */
#include "formats/cache/cache_library.h"

#include "formats/cache/manifest.h"
#include "formats/image/jpeg.h"
#include "formats/json.h"
#include "shared/augment/view.h"
#include "shared/base/files.h"
#include "tests/helper_images.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SAMPLES = 5, VIEWS = 4, COUNT = SAMPLES * VIEWS, RAW_H = 30, RAW_W = 26 };
static const uint32_t ids[SAMPLES] = {0, 2, 3, 7, 90000};

struct set {
    bool raw; /* grey */
    const char *recipe;
    int base, size, side;
    char *text; /* cache.json */
    uint8_t *bytes[SAMPLES];
    size_t sizes[SAMPLES];
};

static void open_set(struct set *set)
{
    static const char *const classes[] = {"a", "b"};
    struct cache_manifest manifest = {.format_version = CACHE_FORMAT_VERSION,
                                      .program_version = "test",
                                      .classes = classes,
                                      .class_count = 2,
                                      .source_format = "test",
                                      .source_path = "",
                                      .encoding = set->raw ? IMAGE_RAW : IMAGE_JPEG,
                                      .raw_h = set->raw ? RAW_H : 0,
                                      .raw_w = set->raw ? RAW_W : 0,
                                      .channels = set->raw ? 1 : 3,
                                      .images_embedded = true,
                                      .teacher_file = "",
                                      .device = "",
                                      .precision = "",
                                      .augment_version = AUGMENT_VERSION,
                                      .seed = 1ull << 63 | 5,
                                      .views = VIEWS,
                                      .base = set->base,
                                      .size = set->size,
                                      .std = {1, 1, 1}};
    struct recipe recipe;
    assert_int_equal(recipe_parse(&recipe, set->recipe, NULL), STATUS_OK);
    manifest.recipe = recipe.text;
    memset(manifest.source_digest, '0', 64);
    for (int s = 0; s < 2; s++) {
        struct cache_shard_entry *shard = arena_alloc(&manifest.arena, 1, sizeof *shard);
        *shard = (struct cache_shard_entry){s ? "val-00000.h5" : "train-00000.h5", .count = SAMPLES, .bytes = 1};
        memset(shard->digest, '0', 64);
        manifest.splits[s] = (struct cache_split){SAMPLES, s ? 1 : VIEWS, shard, 1, -1};
    }
    set->text = manifest_text(manifest_to_json(&manifest, true));
    arena_release(&manifest.arena);
    for (int i = 0; i < SAMPLES; i++) {
        struct image photo;
        synthetic_photo(&photo, set->raw ? RAW_H : 50 + 9 * i, set->raw ? RAW_W : 90 - 8 * i, i, (uint32_t)i);
        if (set->raw) {
            set->sizes[i] = RAW_H * RAW_W;
            set->bytes[i] = malloc(set->sizes[i]);
            for (size_t p = 0; p < set->sizes[i]; p++)
                set->bytes[i][p] = photo.pixels[3 * p];
        } else {
            assert_int_equal(jpeg_encode(&photo, 80, &set->bytes[i], &set->sizes[i], NULL), STATUS_OK);
        }
        image_release(&photo);
    }
}

static void close_set(struct set *set)
{
    for (int i = 0; i < SAMPLES; i++)
        free(set->bytes[i]);
    free(set->text);
}

/* A view by the executable specifications, not mixed: what cache_view.h promises, step by step. */
static void specified_view(const struct set *set, int split, uint32_t sample, int number, int side, uint8_t *pixels)
{
    struct image stored, base, levels[VIEW_MAX_LEVELS];
    struct recipe recipe;
    struct view view;
    int count;
    assert_int_equal(recipe_parse(&recipe, set->recipe, NULL), STATUS_OK);
    const struct image_coding coding = {
        set->raw ? IMAGE_RAW : IMAGE_JPEG, set->raw ? RAW_H : 0, set->raw ? RAW_W : 0, set->raw ? 1 : 3, {0}};
    assert_int_equal(image_decode(&coding, set->bytes[sample], set->sizes[sample], "photo", &stored, NULL), STATUS_OK);
    assert_int_equal(image_resize_short_side(&stored, set->base, &base, NULL), STATUS_OK);
    assert_int_equal(view_pyramid(&base, levels, &count, NULL), STATUS_OK);
    if (split != SPLIT_TRAIN && side != set->size) {
        struct image seen;
        assert_int_equal(evaluation_image(&base, set->size, side, &seen, NULL), STATUS_OK);
        memcpy(pixels, seen.pixels, (size_t)side * (size_t)side * (size_t)seen.channels);
        image_release(&seen);
    } else {
        if (split == SPLIT_TRAIN)
            view_make(&view, &recipe, 1ull << 63 | 5, ids[sample], (uint32_t)number, base.h, base.w, set->size, side);
        else
            view_make_evaluation(&view, base.h, base.w, set->size);
        view_render_reference(&view, levels, count, side, pixels);
    }
    view_pyramid_release(levels, count);
    image_release(&base);
    image_release(&stored);
}

/* Returns how many views were mixed. */
static int compare_views(const struct set *set, int split, struct softcache_views *views,
                         struct softcache_image *const *images, const struct softcache_choice *choice)
{
    const int side = set->side ? set->side : set->size, channels = set->raw ? 1 : 3;
    const size_t bytes = (size_t)side * (size_t)side * (size_t)channels;
    const struct softcache_image *own[COUNT], *partners[COUNT];
    struct softcache_mix mixes[COUNT];
    uint32_t partner_ids[COUNT];
    uint8_t *pixels = malloc(COUNT * bytes), *wanted = malloc(2 * bytes);
    char message[CALL_MESSAGE];
    struct recipe recipe;
    int mixed = 0;
    assert_int_equal(recipe_parse(&recipe, set->recipe, NULL), STATUS_OK);
    assert_int_equal(softcache_views_mix(views, choice, mixes, message), STATUS_OK);
    for (int k = 0; k < choice->count; k++) {
        own[k] = images[choice->samples[k]];
        partners[k] = images[mixes[k].partner];
        partner_ids[k] = ids[mixes[k].partner];
    }
    assert_int_equal(softcache_views_render(views, choice, own, partner_ids, partners, pixels, message), STATUS_OK);
    for (int k = 0; k < choice->count; k++) {
        struct view_mix mix = {.kind = VIEW_MIX_NONE, .share = 65536};
        uint32_t partner = choice->samples[k];
        specified_view(set, split, choice->samples[k], choice->views[k], side, wanted);
        if (split == SPLIT_TRAIN)
            view_mix_make(&mix, &partner, &recipe, 1ull << 63 | 5, choice->ids[k], (uint32_t)choice->views[k],
                          choice->samples[k], SAMPLES, set->size, side);
        if (mix.kind != VIEW_MIX_NONE) {
            specified_view(set, split, partner, choice->views[k], side, wanted + bytes);
            view_mix_reference(&mix, side, channels, wanted, wanted + bytes);
            mixed++;
        }
        assert_int_equal(mixes[k].partner, partner);
        assert_int_equal(mixes[k].share, mix.share);
        assert_memory_equal(pixels + (size_t)k * bytes, wanted, bytes);
    }
    free(pixels);
    free(wanted);
    return mixed;
}

static struct softcache_views *open_views(const struct set *set, int threads, struct softcache_image *images[SAMPLES])
{
    const uint8_t *bytes[SAMPLES];
    const char *names[SAMPLES];
    char message[CALL_MESSAGE];
    struct softcache_views *views;
    for (int i = 0; i < SAMPLES; i++) {
        bytes[i] = set->bytes[i];
        names[i] = "photo";
    }
    if (softcache_views_open(&views, set->text, strlen(set->text), set->side, threads, message) != STATUS_OK ||
        softcache_images_make(views, SAMPLES, bytes, set->sizes, names, images, message) != STATUS_OK)
        fail_msg("%s", message);
    return views;
}

static void pixels_are_the_specified_ones(void **state)
{
    static const char *const recipes[] = {
        "none",
        "light",
        "food11-strong",
        "cifar",
        "light+mixup+cutmix",
        "rotate(15)+affine(10,translate=0.1)+color_jitter(0.4,contrast=0.4,hue=0.1)+erase+cutmix(1,p=0.5)",
        "random_crop(padding=3)+vflip+mixup(0.4,p=0.5)"};
    (void)state;
    for (size_t r = 0; r < sizeof recipes / sizeof *recipes; r++) {
        for (int kind = 0; kind < 6; kind++) {
            struct set set = {.raw = kind % 2,
                              .recipe = recipes[r],
                              .base = kind == 2   ? 0
                                      : kind == 3 ? 40
                                      : kind % 2  ? 0
                                                  : 36,
                              .size = kind == 4 ? 48 : 24, /* 48: larger than the base */
                              .side = kind >= 2 && kind < 4 ? 17 : 0};
            struct softcache_image *images[SAMPLES];
            uint32_t samples[COUNT], chosen[COUNT];
            int32_t numbers[COUNT], zeros[SAMPLES] = {0};
            open_set(&set);
            struct softcache_views *views = open_views(&set, kind == 0 ? 3 : 1, images);
            for (uint32_t k = 0; k < COUNT; k++) {
                samples[k] = (k * 7) % SAMPLES; /* in any order */
                numbers[k] = (int32_t)(k * 3 / SAMPLES % VIEWS);
                chosen[k] = ids[samples[k]];
            }
            const struct softcache_choice train = {SPLIT_TRAIN, COUNT, samples, chosen, numbers};
            const struct softcache_choice val = {SPLIT_VAL, SAMPLES, samples, chosen, zeros};
            const int mixed = compare_views(&set, SPLIT_TRAIN, views, images, &train);
            assert_int_equal(mixed > 0, strstr(recipes[r], "mix") != NULL);
            assert_int_equal(compare_views(&set, SPLIT_VAL, views, images, &val), 0);
            for (int i = 0; i < SAMPLES; i++)
                softcache_image_free(images[i]);
            softcache_views_close(views);
            close_set(&set);
        }
    }
}

static void base_and_description(void **state)
{
    (void)state;
    struct set set = {.recipe = "light+mixup", .base = 36, .size = 24};
    struct softcache_image *images[SAMPLES];
    char text[1024], message[CALL_MESSAGE], wanted[1024], mixed[100];
    const uint32_t sample = 3;
    const int32_t number = 2;
    int32_t shape[3];
    open_set(&set);
    struct softcache_views *views = open_views(&set, 1, images);
    const struct softcache_choice choice = {SPLIT_TRAIN, 1, &sample, &ids[3], &number};
    assert_int_equal(softcache_views_describe(views, &choice, 0, images[3], text, sizeof text, message), STATUS_OK);
    assert_non_null(softcache_image_base(images[3], shape));
    assert_int_equal(shape[0], 42); /* of a photo of 77 x 66 */
    assert_int_equal(shape[1], 36);
    assert_int_equal(shape[2], 3);
    assert_true(softcache_image_bytes(images[3]) >= 42 * 36 * 3);
    struct recipe recipe;
    struct view view;
    struct view_mix mix;
    uint32_t partner;
    assert_int_equal(recipe_parse(&recipe, set.recipe, NULL), STATUS_OK);
    view_make(&view, &recipe, 1ull << 63 | 5, ids[3], 2, 42, 36, 24, 24);
    view_describe(&view, wanted, sizeof wanted);
    view_mix_make(&mix, &partner, &recipe, 1ull << 63 | 5, ids[3], 2, 3, SAMPLES, 24, 24);
    view_mix_describe(&mix, partner, mixed, sizeof mixed);
    strcat(wanted, mixed);
    assert_string_equal(text, wanted);
    /* Of another size than the teacher's, where no evaluation view is rendered. */
    struct softcache_views *small;
    const struct softcache_choice val = {SPLIT_VAL, 1, &sample, &ids[3], (const int32_t[]){0}};
    assert_int_equal(softcache_views_open(&small, set.text, strlen(set.text), 12, 1, message), STATUS_OK);
    assert_int_equal(softcache_views_describe(small, &val, 0, images[3], text, sizeof text, message), STATUS_OK);
    view_make_evaluation(&view, 42, 36, 24);
    view_describe(&view, wanted, sizeof wanted);
    strcat(wanted, "  resized to 12x12");
    assert_string_equal(text, wanted);
    softcache_views_close(small);
    for (int i = 0; i < SAMPLES; i++)
        softcache_image_free(images[i]);
    softcache_views_close(views);
    close_set(&set);
}

static void assert_told(int status, int wanted, const char *message, const char *text)
{
    if (status != wanted || !strstr(message, text))
        fail_msg("status %d, wanted %d and \"%s\": %s", status, wanted, text, message);
}

static void mistakes_are_told(void **state)
{
    (void)state;
    struct set set = {.recipe = "light+mixup", .base = 36, .size = 24};
    struct softcache_image *images[SAMPLES], *bad[2];
    struct softcache_views *views, *none;
    struct softcache_mix mix;
    char message[CALL_MESSAGE] = "";
    uint8_t pixels[24 * 24 * 3];
    open_set(&set);
    views = open_views(&set, 1, images);
    assert_told(softcache_views_open(&none, "{}", 2, 0, 1, message), STATUS_BAD_DATA, message, "format is missing");
    assert_null(none);
    assert_told(softcache_views_open(&none, set.text, strlen(set.text), 5000, 1, message), STATUS_USAGE, message,
                "1 to 4096 pixels a side, not 5000");
    assert_told(softcache_views_open(&none, set.text, strlen(set.text), -1, 1, message), STATUS_USAGE, message,
                "1 to 4096 pixels a side, not -1");
    char *version = strstr(set.text, "\"version\":\t1");
    version[strlen("\"version\":\t")] = '2';
    strcpy(strstr(set.text, ",\n\t\"" JSON_SEAL "\""), "\n}\n"); /* the seal would no longer fit */
    assert_told(softcache_views_open(&none, set.text, strlen(set.text), 0, 1, message), STATUS_CONFIG, message,
                "made by algorithm 2");
    const uint8_t *bytes[2] = {set.bytes[0], (const uint8_t *)"no JPEG file"};
    const size_t sizes[2] = {set.sizes[0], 12};
    const char *const names[2] = {"one.jpg", "two.jpg"};
    assert_told(softcache_images_make(views, 2, bytes, sizes, names, bad, message), STATUS_BAD_DATA, message,
                "two.jpg");
    assert_non_null(bad[0]);
    assert_null(bad[1]);
    softcache_image_free(bad[0]);
    const struct {
        int32_t split, number;
        uint32_t sample;
    } wrong[] = {{0, VIEWS, 0}, {0, -1, 0}, {0, 0, SAMPLES}, {1, 1, 0}, {2, 0, 0}, {3, 0, 0}, {-1, 0, 0}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const struct softcache_choice choice = {wrong[i].split, 1, &wrong[i].sample, &ids[0], &wrong[i].number};
        assert_told(softcache_views_mix(views, &choice, &mix, message), STATUS_USAGE, message, "no");
        assert_int_equal(softcache_views_render(views, &choice, NULL, NULL, NULL, pixels, message), STATUS_USAGE);
    }
    const uint32_t sample = 0;
    const int32_t number = 0;
    const struct softcache_choice choice = {0, 1, &sample, &ids[0], &number};
    const struct softcache_image *own = images[0];
    assert_told(softcache_views_render(views, &choice, &own, NULL, NULL, pixels, message), STATUS_USAGE, message,
                "images are missing");
    for (int i = 0; i < SAMPLES; i++)
        softcache_image_free(images[i]);
    softcache_views_close(views);
    softcache_views_close(NULL);
    softcache_image_free(NULL);
    softcache_rows_close(NULL);
    close_set(&set);
}

/* Packed rows are what the golden folder holds, whose values test_answers.c knows. */
static void rows_are_packed(void **state)
{
    (void)state;
    struct softcache_rows *rows;
    char message[CALL_MESSAGE] = "";
    unsigned char *text, *file;
    size_t size, file_size;
    float logits[6], map[24], embedding[10];
    const float *values[5] = {map, map, map, map, embedding};
    int32_t shapes[15] = {2, 2, 3, 2, 2, 3, 2, 2, 3, 2, 2, 3, 5, 1, 1};
    uint8_t packed[512];
    assert_int_equal(file_read("tests/golden/answers/answers.json", 1 << 20, &text, &size, NULL), STATUS_OK);
    assert_int_equal(file_read("tests/golden/answers/train-0000000000.rows", 1 << 20, &file, &file_size, NULL),
                     STATUS_OK);
    assert_int_equal(softcache_rows_open(&rows, (char *)text, size, message), STATUS_OK);
    const uint8_t *stored = memchr(file, '\n', file_size);
    stored += 1 + softcache_rows_bytes(rows, SPLIT_TRAIN, 0, 5);
    for (int k = 0; k < 2; k++) { /* rows 5 and 6: the last view of sample 1, the first of sample 2 */
        const int sample = (5 + k) / 3, view = (5 + k) % 3;
        for (int c = 0; c < 3; c++)
            logits[3 * k + c] = (float)((31 * sample + 17 * view + 7 * c) % 23 - 11) / 4;
        for (int e = 0; e < 12; e++)
            map[12 * k + e] = (float)((5 * sample + 3 * view + 2 * e) % 19 - 9) / 8;
        for (int e = 0; e < 5; e++)
            embedding[5 * k + e] = (float)((5 * sample + 3 * view + 2 * e) % 19 - 9) / 8;
    }
    assert_int_equal(softcache_rows_pack(rows, SPLIT_TRAIN, 5, 2, logits, values, shapes, packed, message), STATUS_OK);
    assert_memory_equal(packed, stored, softcache_rows_bytes(rows, SPLIT_TRAIN, 5, 2));
    shapes[0] = 3;
    assert_told(softcache_rows_pack(rows, SPLIT_TRAIN, 5, 2, logits, values, shapes, packed, message), STATUS_USAGE,
                message, "map: is 3x2x3, but it was 2x2x3");
    shapes[0] = 2;
    static const bool averaged[15] = {[7] = true, [8] = true, [9] = true, [13] = true, [14] = true};
    for (int d = 0; d < 15; d++) /* each dimension of each feature; those that its form averages over may be any */
        for (int change = 0; change < (averaged[d] ? 1 : 2); change++) {
            int32_t wrong[15];
            memcpy(wrong, shapes, sizeof wrong);
            wrong[d] = change ? wrong[d] + 1 : 0;
            assert_told(softcache_rows_pack(rows, SPLIT_TRAIN, 5, 2, logits, values, wrong, packed, message),
                        STATUS_USAGE, message, "but it was");
        }
    for (int split = -1; split <= SPLIT_COUNT; split += SPLIT_COUNT + 1)
        assert_told(softcache_rows_pack(rows, split, 0, 1, logits, values, shapes, packed, message), STATUS_USAGE,
                    message, "there is no split");
    map[3] = INFINITY;
    assert_told(softcache_rows_pack(rows, SPLIT_TRAIN, 5, 2, logits, values, shapes, packed, message), STATUS_BAD_DATA,
                message, "map");
    map[3] = 0;
    struct softcache_rows *none;
    assert_told(softcache_rows_open(&none, "{}", 2, message), STATUS_BAD_DATA, message, "answers.json");
    assert_null(none);
    logits[4] = 1e6f;
    assert_told(softcache_rows_pack(rows, SPLIT_TRAIN, 5, 2, logits, values, shapes, packed, message), STATUS_BAD_DATA,
                message, "sample 2 of split train: the teacher's logit of class 1 for view 0 is 1e+06");
    softcache_rows_close(rows);
    free(text);
    free(file);
}

/* ---- shards ---- */

#define GOLDEN_CACHE "tests/golden/caches/version_3"

/* A copy of the golden cache whose shard has `size` bytes, one of them changed (-1: none). */
static void copy_cache(const char *folder, long size, long changed)
{
    static const char *const names[] = {"cache.json", "train-00000.h5"};
    for (int i = 0; i < 2; i++) {
        unsigned char *bytes;
        char path[128];
        size_t all;
        snprintf(path, sizeof path, GOLDEN_CACHE "/%s", names[i]);
        assert_int_equal(file_read(path, 1 << 20, &bytes, &all, NULL), STATUS_OK);
        if (i == 1 && changed >= 0)
            bytes[changed] ^= 0xFF;
        write_file(folder, names[i], bytes, i == 1 && size >= 0 ? (size_t)size : all);
        free(bytes);
    }
}

static struct softcache_shard *open_shard(const char *folder, char *message)
{
    struct softcache_cache *cache;
    struct softcache_shard *shard;
    assert_int_equal(softcache_cache_open(&cache, folder, message), STATUS_OK);
    const int status = softcache_shard_open(&shard, cache, SPLIT_TRAIN, 0, message);
    assert_int_equal(status == STATUS_OK, shard != NULL);
    softcache_cache_close(cache);
    return shard;
}

static void wrong_shards_are_told(void **state)
{
    (void)state;
    static const int absent[][2] = {{-1, 0}, {SPLIT_COUNT, 0}, {SPLIT_TRAIN, -1}, {SPLIT_TRAIN, 1}, {SPLIT_TEST, 0}};
    static const int64_t rows[] = {0, -1, 10, 20547};
    enum { LOGITS = 2189, TABLE = 37900 }; /* bytes of the golden shard */
    char message[CALL_MESSAGE] = "", *folder = memory_folder();
    struct softcache_cache *cache;
    struct softcache_shard *shard;
    struct softcache_data data;
    uint8_t out[1024];
    assert_told(softcache_cache_open(&cache, folder, message), STATUS_NO_INPUT, message, folder);
    assert_null(cache);
    assert_int_equal(softcache_cache_open(&cache, GOLDEN_CACHE, message), STATUS_OK);
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        assert_told(softcache_shard_open(&shard, cache, absent[i][0], absent[i][1], message), STATUS_USAGE, message,
                    "has no shard");
        assert_null(shard);
    }
    assert_int_equal(softcache_shard_open(&shard, cache, SPLIT_TRAIN, 0, message), STATUS_OK);
    assert_told(softcache_shard_data(shard, "logit", &data, message), STATUS_USAGE, message, "has no data set logit");
    assert_told(softcache_shard_rows(shard, "logit", rows, 1, out, message), STATUS_USAGE, message,
                "no data set logit");
    assert_told(softcache_shard_rows(shard, "ids", rows, 2, out, message), STATUS_USAGE, message, "has no row -1");
    assert_told(softcache_shard_rows(shard, "ids", &rows[2], 1, out, message), STATUS_USAGE, message, "has no row 10");
    assert_told(softcache_shard_rows(shard, "images", &rows[3], 1, out, message), STATUS_USAGE, message,
                "no row 20547");
    assert_int_equal(softcache_shard_rows(shard, "images", rows, 0, out, message), STATUS_OK);
    assert_int_equal(softcache_shard_data(shard, "logits", &data, message), STATUS_OK);
    assert_int_equal(data.offset, -1);
    assert_int_equal(softcache_shard_data(shard, "images", &data, message), STATUS_OK);
    assert_int_equal(data.offset, 16833);
    softcache_shard_close(shard);
    softcache_cache_close(cache);
    softcache_shard_close(NULL);
    softcache_cache_close(NULL);

    copy_cache(folder, 39204, -1);
    assert_null(open_shard(folder, message));
    assert_non_null(strstr(message, "has 39204 bytes, but the manifest says 39205"));
    copy_cache(folder, -1, TABLE + 50);
    assert_null(open_shard(folder, message));
    assert_non_null(strstr(message, "its table"));
    copy_cache(folder, -1, LOGITS); /* no zstd frame any more */
    shard = open_shard(folder, message);
    assert_told(softcache_shard_rows(shard, "logits", rows, 1, out, message), STATUS_BAD_DATA, message,
                "data set logits has a chunk that does not decompress");
    copy_cache(folder, 100, -1); /* the file that is open becomes shorter */
    assert_told(softcache_shard_rows(shard, "images", rows, 1, out, message), STATUS_BAD_DATA, message,
                "ends before byte");
    softcache_shard_close(shard);
    remove_folder(folder);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_are_the_specified_ones),
        cmocka_unit_test(base_and_description),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(rows_are_packed),
        cmocka_unit_test(wrong_shards_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
