/* Every byte of a small cache and of a run's folder changed, and every length cut: who reads the file refuses it, or
 * gets the right result. DAMAGE_STEP=1 tries every place (make torture: minutes); the default tries some of them,
 * always the same ones. */
#include "formats/cache/cache.h"
#include "formats/cache/manifest.h"
#include "formats/json.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "student_train/run/run_folder.h"
#include "student_train/run/run_metrics.h"
#include "tests/helper_cache.h"
#include "tests/helper_images.h"
#include "tests/helper_program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { USUAL_STEP = 97 };

static size_t places_apart(void)
{
    const char *text = getenv("DAMAGE_STEP");
    const long step = text ? atol(text) : 0;
    return step > 0 ? (size_t)step : USUAL_STEP;
}

static void put(const char *path, const unsigned char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb"); /* not synced: thousands of them */
    assert_non_null(file);
    assert_true(fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

/* A reader: false if it refuses, otherwise what it read, as text (malloc'ed). */
typedef bool (*reader)(const char *root, char **text);

static bool same_or_refused(reader read, const char *root, const char *wanted)
{
    char *text = NULL;
    const bool right = !read(root, &text) || strcmp(text, wanted) == 0;
    free(text);
    return right;
}

/* Damages the file in every way; the reader is asked after each. */
static void damage(const char *root, const char *name, reader read)
{
    static const unsigned char masks[] = {0x01, 0x80, 0xff};
    const size_t step = places_apart();
    unsigned char *bytes;
    size_t size, flips = 0, cuts = 0, accepted = 0;
    char *path = path_join(root, name), *wanted = NULL;
    assert_int_equal(file_read(path, 1 << 24, &bytes, &size, NULL), STATUS_OK);
    assert_true(read(root, &wanted));
    for (size_t at = 0; at < size; at += step)
        for (size_t m = 0; m < sizeof masks; m++, flips++) {
            bytes[at] ^= masks[m];
            put(path, bytes, size);
            if (!same_or_refused(read, root, wanted))
                fail_msg("%s: byte %zu changed by %02x is not noticed", name, at, masks[m]);
            bytes[at] ^= masks[m];
        }
    for (size_t length = 0; length < size; length += step, cuts++) {
        char *text = NULL;
        put(path, bytes, length);
        if (read(root, &text) && strcmp(text, wanted) != 0)
            fail_msg("%s: cut to %zu of %zu bytes, it is read as something else", name, length, size);
        accepted += text != NULL;
        free(text);
    }
    put(path, bytes, size);
    char *again = NULL;
    assert_true(read(root, &again) && strcmp(again, wanted) == 0);
    free(again);
    print_message("%s: %zu bytes, %zu changes, %zu lengths (%zu read as the right thing)\n", name, size, flips, cuts,
                  accepted);
    free(path);
    free(wanted);
    free(bytes);
}

/* ---- a cache ---- */

static bool read_shards(const struct cache *cache, struct digest *digest)
{
    const struct cache_manifest *manifest = &cache->manifest;
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int i = 0; i < manifest->splits[s].shard_count; i++) {
            struct cache_shard shard;
            if (cache_read_shard(cache, (enum split)s, i, CACHE_READ_IMAGES | CACHE_READ_FEATURES, &shard, NULL) !=
                STATUS_OK)
                return false;
            digest_update(digest, shard.labels, shard.count * sizeof *shard.labels);
            digest_update(digest, shard.logits,
                          shard.count * (size_t)shard.views * (size_t)manifest->class_count * sizeof *shard.logits);
            cache_shard_release(&shard);
        }
    return true;
}

static bool read_cache(const char *root, char **text)
{
    struct cache cache;
    struct digest *digest;
    char hex[DIGEST_HEX_SIZE];
    *text = NULL;
    if (cache_open(&cache, root, NULL) != STATUS_OK)
        return false;
    assert_int_equal(digest_new(&digest, NULL), STATUS_OK);
    const bool right = read_shards(&cache, digest);
    digest_finish(digest, hex);
    if (right) {
        char *manifest = json_text(manifest_to_json(&cache.manifest, true), false);
        const size_t size = strlen(manifest) + sizeof hex;
        *text = malloc(size);
        snprintf(*text, size, "%s%s", manifest, hex);
        free(manifest);
    }
    cache_release(&cache);
    return right;
}

static void a_cache(void **state)
{
    (void)state;
    const struct cache_plan plan = {.classes = 3, .views = 2, .samples = {5, 3, 0}, .seed = 1, .features = true};
    char *root = path_join(folder, "small");
    assert_int_equal(plan_write(&plan, root, 1 << 20), 0);
    damage(root, "cache.json", read_cache);
    damage(root, "train-00000.h5", read_cache);
    damage(root, "val-00000.h5", read_cache);
    free(root);
}

/* ---- a run ---- */

/* What eval and predict read. */
static bool read_run(const char *root, char **text)
{
    struct run_info info = {0};
    struct digest *digest;
    char hex[DIGEST_HEX_SIZE];
    bool right = run_info_read(&info, root, NULL) == STATUS_OK;
    *text = NULL;
    assert_int_equal(digest_new(&digest, NULL), STATUS_OK);
    for (int i = 0; i < 2 && right; i++) {
        struct student student;
        right = run_student(&info, root, i ? "last" : "best", &student, NULL) == STATUS_OK;
        for (int w = 0; right && w < student.graph.weight_count; w++)
            digest_update(digest, student.graph.weights[w].data,
                          student.graph.weights[w].count * sizeof *student.graph.weights[w].data);
        if (right)
            student_release(&student);
    }
    digest_finish(digest, hex);
    if (right) {
        const size_t size = 4096;
        *text = malloc(size);
        snprintf(*text, size, "%s %s %s %d %d %g %g %s", info.name, info.loss, info.structure, info.card.size,
                 info.card.class_count, (double)info.card.mean[0], (double)info.card.std[0], hex);
    }
    run_info_release(&info);
    return right;
}

static bool read_metrics(const char *root, char **text)
{
    struct run_metrics metrics = {0};
    *text = NULL;
    if (run_metrics_read(&metrics, root, NULL) != STATUS_OK) {
        run_metrics_release(&metrics);
        return false;
    }
    *text = malloc(256);
    snprintf(*text, 256, "%.17g %.17g %.17g", metrics.accuracy, metrics.parameters, metrics.best_epoch);
    run_metrics_release(&metrics);
    return true;
}

static void a_run(void **state)
{
    (void)state;
    expect(0, "",
           shell("%s fit --cache cache --student tiny.net --loss ce --epochs 2 --device cpu --threads 1 --quiet "
                 "--out run",
                 program));
    char *root = path_join(folder, "run");
    damage(root, "run.json", read_run);
    damage(root, "student.net", read_run);
    damage(root, "best.safetensors", read_run);
    damage(root, "last.safetensors", read_run);
    damage(root, "metrics.json", read_metrics);
    free(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_cache), cmocka_unit_test(a_run)};
    return cmocka_run_group_tests(tests, program_setup, program_teardown);
}
