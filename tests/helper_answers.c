#include "tests/helper_answers.h"

#include "formats/cache/answers.h"
#include "formats/cache/cache_row.h"
#include "formats/cache/manifest.h"
#include "shared/base/digest.h"
#include "teacher_dump/commands.h"
#include "tests/helper_images.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The shards of a cache in another layout than cache_layout's: at most `most` samples each. */
static void cut_shards(struct cache_manifest *manifest, uint32_t most)
{
    for (int s = 0; s < SPLIT_COUNT; s++) {
        struct cache_split *split = &manifest->splits[s];
        split->shard_count = 0;
        for (uint32_t first = 0; first < split->samples; first += most) {
            char name[32];
            manifest_shard_name(name, (enum split)s, split->shard_count);
            split->shards[split->shard_count++] =
                (struct cache_shard_entry){.file = arena_strdup(&manifest->arena, name),
                                           .first = first,
                                           .count = split->samples - first < most ? split->samples - first : most};
        }
    }
}

void write_cache(const struct cache_plan *plan, const char *path, uint32_t most)
{
    struct cache_manifest manifest;
    struct cache_writer *writer;
    int missing;
    plan_manifest(plan, &manifest);
    cut_shards(&manifest, most);
    assert_int_equal(cache_writer_open(&writer, path, &manifest, NULL), STATUS_OK);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        for (int i = 0; i < manifest.splits[s].shard_count; i++) {
            struct cache_shard content;
            struct cache_claim claim;
            assert_int_equal(cache_writer_claim(writer, (enum split)s, i, &claim, NULL), STATUS_OK);
            plan_shard(plan, &manifest, (enum split)s, i, &content);
            assert_int_equal(cache_writer_put(writer, &claim, &content, NULL, NULL), STATUS_OK);
            cache_shard_release(&content);
        }
    }
    assert_int_equal(cache_writer_publish(writer, &missing, NULL), STATUS_OK);
    assert_int_equal(missing, 0);
    cache_writer_close(writer);
    arena_release(&manifest.arena);
}

void write_head(const char *folder, const struct cache_manifest *cache, char digest[65])
{
    struct cache_manifest manifest = *cache;
    manifest.teacher_file = "elsewhere";
    digest_bytes("checkpoint", 10, manifest.teacher_digest);
    manifest.device = CACHE_IMPORTED;
    manifest.precision = "bf16";
    memset(manifest.splits, 0, sizeof manifest.splits);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "format", "softcache-answers");
    cJSON_AddNumberToObject(root, "format_version", 1);
    cJSON_AddItemToObject(root, "cache", manifest_to_json(&manifest, false));
    char *text = manifest_text(root);
    assert_non_null(text);
    write_file(folder, "answers.json", text, strlen(text));
    digest_bytes(text, strlen(text), digest);
    free(text);
}

void write_rows(const char *folder, const char digest[65], const char *split, uint64_t first, uint64_t count,
                const uint8_t *rows, size_t size)
{
    char name[64], sum[65];
    char *bytes = malloc(size + 512);
    digest_bytes(rows, size, sum);
    const int head = snprintf(bytes, 512,
                              "{\"answers\": \"%s\", \"split\": \"%s\", \"first\": %llu, \"count\": %llu, "
                              "\"sha256\": \"%s\"}\n",
                              digest, split, (unsigned long long)first, (unsigned long long)count, sum);
    memcpy(bytes + head, rows, size);
    snprintf(name, sizeof name, "%s-%010llu.rows", split, (unsigned long long)first);
    write_file(folder, name, bytes, (size_t)head + size);
    free(bytes);
}

uint8_t *split_rows(const struct cache *cache, enum split s, size_t *size)
{
    const struct cache_manifest *manifest = &cache->manifest;
    const struct cache_split *split = &manifest->splits[s];
    *size = cache_row_bytes(manifest, s, 0, (uint64_t)split->samples * (uint64_t)split->views);
    uint8_t *rows = malloc(*size + 1), *at = rows;
    for (int i = 0; i < split->shard_count; i++) {
        struct cache_shard shard;
        assert_int_equal(cache_read_shard(cache, s, i, CACHE_READ_FEATURES, &shard, NULL), STATUS_OK);
        for (uint32_t sample = 0; sample < shard.count; sample++)
            for (int view = 0; view < shard.views; view++)
                at += cache_row_get(manifest, &shard, sample, view, at);
        cache_shard_release(&shard);
    }
    assert_ptr_equal(at, rows + *size);
    return rows;
}

void write_answers(const char *folder, const char *path, uint64_t per_file)
{
    struct cache cache;
    char digest[65];
    assert_int_equal(cache_open(&cache, path, NULL), STATUS_OK);
    const struct cache_manifest *manifest = &cache.manifest;
    write_head(folder, manifest, digest);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const uint64_t total = (uint64_t)manifest->splits[s].samples * (uint64_t)manifest->splits[s].views;
        size_t size;
        uint8_t *rows = total ? split_rows(&cache, (enum split)s, &size) : NULL;
        for (uint64_t first = 0; first < total; first += per_file) {
            const uint64_t count = total - first < per_file ? total - first : per_file;
            write_rows(folder, digest, split_name((enum split)s), first, count,
                       rows + cache_row_bytes(manifest, (enum split)s, 0, first),
                       cache_row_bytes(manifest, (enum split)s, first, count));
        }
        free(rows);
    }
    cache_release(&cache);
}

enum { GOLDEN_H = 6, GOLDEN_W = 5 };

static void write_idx(const char *folder, const char *prefix, int count, int start)
{
    unsigned char bytes[16 + GOLDEN_TRAIN * GOLDEN_H * GOLDEN_W] = {0, 0, 8, 3,        0, 0, 0, (unsigned char)count,
                                                                    0, 0, 0, GOLDEN_H, 0, 0, 0, GOLDEN_W};
    unsigned char labels[8 + GOLDEN_TRAIN] = {0, 0, 8, 1, 0, 0, 0, (unsigned char)count};
    char name[64];
    for (int i = 0; i < count; i++) {
        labels[8 + i] = (unsigned char)(i % GOLDEN_CLASSES);
        for (int p = 0; p < GOLDEN_H * GOLDEN_W; p++)
            bytes[16 + i * GOLDEN_H * GOLDEN_W + p] = (unsigned char)(start + 7 * i + 13 * p);
    }
    snprintf(name, sizeof name, "%s-images-idx3-ubyte", prefix);
    write_file(folder, name, bytes, 16 + (size_t)count * GOLDEN_H * GOLDEN_W);
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte", prefix);
    write_file(folder, name, labels, 8 + (size_t)count);
}

void make_golden_cache(const char *photos, const char *out, const char *seed)
{
    char *arguments[] = {"run",
                         "--data",
                         (char *)(uintptr_t)photos,
                         "--teacher",
                         "none",
                         "--out",
                         (char *)(uintptr_t)out,
                         "--views",
                         "3",
                         "--augment",
                         "random_crop(padding=1)+hflip+cutmix",
                         "--seed",
                         (char *)(uintptr_t)seed,
                         "--quiet",
                         NULL};
    struct error err = {0};
    write_idx(photos, "train", GOLDEN_TRAIN, 0);
    write_idx(photos, "t10k", GOLDEN_TEST, 100);
    if (run_command(14, arguments, &err) != STATUS_OK)
        fail_msg("%s: %s", err.path, err.message);
}
