/* cache.json, answers.json and the table of a shard with one thing changed, and the seal made right: each field in turn
 * is left out, is there twice, or has another type or value. They are read or refused, with a message that names the
 * file. A manifest that is read can be written again, and is the same then. */
#include "formats/cache/answers.h"
#include "formats/cache/cache_row.h"
#include "formats/cache/manifest.h"
#include "formats/cache/shard_table.h"
#include "shared/base/files.h"
#include "tests/helper_cache.h"
#include "tests/helper_images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const values[] = {"null",       "true",       "-1",         "0",        "0.5",      "1e300", "1e999",
                                     "4294967296", "65537",      "\"\"",       "\"x\"",    "\"../x\"", "[]",    "[{}]",
                                     "{}",         "[\"x\", 1]", "{\"x\": 1}", "\"link\"", "\"raw\""};
enum { VALUES = sizeof values / sizeof *values, REMOVED = VALUES, TWICE, VARIANTS };

/* Node `number` of the tree, in the order of the text; *number is counted down. */
static cJSON *find(cJSON *node, int *number, cJSON **parent)
{
    for (cJSON *child = node->child; child; child = child->next) {
        *parent = node;
        if ((*number)-- == 0)
            return child;
        cJSON *found = find(child, number, parent);
        if (found)
            return found;
    }
    return NULL;
}

/* A copy of the tree with node `number` changed; NULL: there are fewer. */
static cJSON *change(const cJSON *tree, int number, int variant)
{
    cJSON *copy = cJSON_Duplicate(tree, true), *parent = NULL, *node = find(copy, &number, &parent);
    if (!node) {
        cJSON_Delete(copy);
        return NULL;
    }
    if (variant == TWICE) {
        cJSON *again = cJSON_Duplicate(node, true);
        if (node->string)
            cJSON_AddItemToObject(parent, node->string, again);
        else
            cJSON_AddItemToArray(parent, again);
    } else if (variant == REMOVED) {
        cJSON_Delete(cJSON_DetachItemViaPointer(parent, node));
    } else {
        cJSON *other = cJSON_Parse(values[variant]);
        if (node->string)
            cJSON_ReplaceItemInObjectCaseSensitive(parent, node->string, other);
        else
            cJSON_ReplaceItemViaPointer(parent, node, other);
    }
    return copy;
}

typedef enum status reader(const char *text, size_t size, const void *context, struct error *err);

static void try_all(const cJSON *tree, reader *read, const void *context)
{
    int made = 0, read_well = 0, wrong = 0;
    cJSON *copy;
    for (int number = 0; (copy = change(tree, number, 0)); number++) {
        cJSON_Delete(copy);
        for (int variant = 0; variant < VARIANTS; variant++) {
            struct error err = {0};
            char *text = manifest_text(change(tree, number, variant));
            assert_non_null(text);
            const enum status status = read(text, strlen(text), context, &err);
            const bool right = status == STATUS_OK || ((status == STATUS_BAD_DATA || status == STATUS_CONFIG) &&
                                                       strcmp(err.path, "variant") == 0 && strlen(err.message) > 5);
            if (!right && wrong++ < 5)
                print_message("node %d, variant %d: status %d: %s: %s\n", number, variant, status, err.path,
                              err.message);
            made++;
            read_well += status == STATUS_OK;
            cJSON_free(text);
        }
    }
    print_message("%d variants, %d of them read\n", made, read_well);
    assert_int_equal(wrong, 0);
    assert_true(made > 500 && read_well < made / 2);
}

/* ---- cache.json ---- */

static enum status read_manifest(const char *text, size_t size, const void *published, struct error *err)
{
    struct cache_manifest manifest = {0}, again = {0};
    enum status status = manifest_parse(&manifest, text, size, published != NULL, "variant", err);
    if (status == STATUS_OK) {
        char *copy = manifest_text(manifest_to_json(&manifest, published != NULL));
        assert_non_null(copy);
        if (manifest_parse(&again, copy, strlen(copy), published != NULL, "variant", err) != STATUS_OK)
            fail_msg("what was read is written as what is refused: %s", err->message);
        char *third = manifest_text(manifest_to_json(&again, published != NULL));
        assert_string_equal(copy, third);
        cJSON_free(copy);
        cJSON_free(third);
    }
    arena_release(&manifest.arena);
    arena_release(&again.arena);
    return status;
}

static void manifests(void **state)
{
    (void)state;
    static const struct cache_plan plans[] = {
        {.classes = 3, .views = 2, .samples = {5, 4, 2}, .features = true, .seed = 7},
        {.classes = 3, .views = 1, .samples = {5, 0, 0}, .raw = true, .seed = 7},
    };
    for (int i = 0; i < 2; i++) {
        struct error err = {0};
        struct cache cache;
        char *folder = memory_folder(), path[512];
        snprintf(path, sizeof path, "%s/cache", folder);
        assert_int_equal(plan_write(&plans[i], path, 100), 0);
        assert_int_equal(cache_open(&cache, path, &err), STATUS_OK);
        if (i == 0) {
            fill_manifest(&cache.manifest);
        } else {
            cache.manifest.resize = IMAGE_RESIZE_SQUASH;
            cache.manifest.engine = (struct cache_engine){"onnxruntime", "1.22.1"};
        }
        for (int published = 0; published < 2; published++) {
            cJSON *tree = manifest_to_json(&cache.manifest, published);
            char *text = manifest_text(cJSON_Duplicate(tree, true));
            if (read_manifest(text, strlen(text), published ? tree : NULL, &err) != STATUS_OK)
                fail_msg("the manifest itself: %s", err.message);
            cJSON_free(text);
            try_all(tree, read_manifest, published ? tree : NULL);
            cJSON_Delete(tree);
        }
        cache_release(&cache);
        remove_folder(folder);
        free(folder);
    }
}

/* ---- answers.json ---- */

static enum status read_answers(const char *text, size_t size, const void *context, struct error *err)
{
    (void)context;
    struct cache_manifest manifest = {0};
    const enum status status = answers_parse(&manifest, text, size, "variant", err);
    if (status == STATUS_OK)
        assert_true(cache_row_bytes(&manifest, SPLIT_TRAIN, 0, (uint64_t)manifest.views) <= CACHE_SHARD_LIMIT);
    arena_release(&manifest.arena);
    return status;
}

static void answers(void **state)
{
    (void)state;
    unsigned char *text;
    size_t size;
    assert_int_equal(file_read("tests/golden/answers/answers.json", 1 << 20, &text, &size, NULL), STATUS_OK);
    cJSON *tree = cJSON_ParseWithLength((const char *)text, size);
    assert_non_null(tree);
    try_all(tree, read_answers, NULL);
    cJSON_Delete(tree);
    free(text);
}

/* ---- the table of a shard ---- */

struct shard_bytes {
    struct cache_manifest manifest;
    const unsigned char *file; /* [end] of the HDF5 file */
    size_t end;
};

/* The shard with this text as its table. */
static enum status read_shard(const char *text, size_t size, const void *context, struct error *err)
{
    const struct shard_bytes *shard = context;
    const struct cache_shard_entry *entry = &shard->manifest.splits[SPLIT_TRAIN].shards[0];
    struct cache_shard content = {0};
    char tail[40];
    const size_t tail_size = (size_t)snprintf(tail, sizeof tail, "\nsoftcache-table %010zu\n", size);
    unsigned char *bytes = malloc(shard->end + size + tail_size);
    memcpy(bytes, shard->file, shard->end);
    memcpy(bytes + shard->end, text, size);
    memcpy(bytes + shard->end + size, tail, tail_size);
    const enum status status = shard_parse(&shard->manifest, SPLIT_TRAIN, entry, bytes, shard->end + size + tail_size,
                                           CACHE_READ_IMAGES | CACHE_READ_FEATURES, "variant", &content, err);
    cache_shard_release(&content);
    free(bytes);
    return status;
}

static void tables(void **state)
{
    (void)state;
    static const struct cache_plan plans[] = {
        {.classes = 11, .views = 3, .samples = {5, 0, 0}, .features = true, .seed = 7},
        {.classes = 300, .views = 2, .samples = {5, 0, 0}, .raw = true, .seed = 7},
    };
    for (int i = 0; i < 2; i++) {
        struct shard_bytes shard = {0};
        struct shard_table table = {0};
        struct cache_shard content;
        struct error err = {0};
        unsigned char *bytes;
        uint64_t image_bytes;
        size_t size;
        plan_manifest(&plans[i], &shard.manifest);
        plan_shard(&plans[i], &shard.manifest, SPLIT_TRAIN, 0, &content);
        assert_int_equal(shard_build(&shard.manifest, &content, NULL, &bytes, &size, &image_bytes, NULL), STATUS_OK);
        assert_int_equal(shard_table_read(&table, bytes, size, &shard.end, "shard", NULL), STATUS_OK);
        shard.file = bytes;
        char *text = shard_table_text(&table);
        if (read_shard(text, strlen(text), &shard, &err) != STATUS_OK)
            fail_msg("the shard itself: %s", err.message);
        cJSON *tree = cJSON_Parse(text);
        try_all(tree, read_shard, &shard);
        cJSON_Delete(tree);
        cJSON_free(text);
        shard_table_release(&table);
        cache_shard_release(&content);
        arena_release(&shard.manifest.arena);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(manifests), cmocka_unit_test(answers),
                                       cmocka_unit_test(tables)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
