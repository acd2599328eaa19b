#include "tests/helper_cache.h"

#include "shared/base/digest.h"
#include "shared/base/random.h"
#include "tests/helper_images.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RAW_H = 6, RAW_W = 5, MAP_C = 6, MAP_H = 3, MAP_W = 2 };
static const struct shape map_shape = {MAP_C, MAP_H, MAP_W};

/* Approximately a standard normal number. */
static float noise(struct random_stream *stream)
{
    float sum = -6;
    for (int i = 0; i < 12; i++)
        sum += random_uniform(stream);
    return sum;
}

static void sample_stream(struct random_stream *stream, const struct cache_plan *plan, enum split split, uint32_t i)
{
    random_stream_init(stream, plan->seed, RANDOM_INIT, (uint32_t)split, i);
}

/* The stored bytes of a JPEG-like image. */
static uint64_t image_size(const struct cache_plan *plan, enum split split, uint32_t i)
{
    struct random_stream stream;
    if (plan->raw)
        return RAW_H * RAW_W * 3;
    sample_stream(&stream, plan, split, i);
    return 40 + random_below(&stream, 100);
}

static void image_fill(const struct cache_plan *plan, enum split split, uint32_t i, uint8_t *bytes, size_t size)
{
    struct random_stream stream;
    sample_stream(&stream, plan, split, i);
    for (size_t b = 0; b < size; b++)
        bytes[b] = (uint8_t)random_u32(&stream);
}

static void sample_name(const struct cache_plan *plan, enum split split, uint32_t i, char name[CACHE_NAME_SIZE])
{
    snprintf(name, CACHE_NAME_SIZE, "%s/n%08u/n%08u_%u.JPEG", split_name(split),
             1440764 + i * (uint32_t)plan->classes / plan->samples[split] * 7919, 1440764u, 10026 + i * 37);
}

static void set_features(struct cache_manifest *manifest)
{
    manifest->features[0] = (struct cache_feature){"map", FEATURE_FP16, MAP_C, MAP_H, MAP_W, manifest->views};
    manifest->features[1] = (struct cache_feature){"map", FEATURE_INT8, MAP_C, MAP_H, MAP_W, 1};
    manifest->features[2] = (struct cache_feature){"map", FEATURE_POOLED, MAP_C, 1, 1, manifest->views};
    manifest->features[3] = (struct cache_feature){"map", FEATURE_AT, 1, MAP_H, MAP_W, 1};
    manifest->feature_count = 4;
}

void plan_manifest(const struct cache_plan *plan, struct cache_manifest *manifest)
{
    *manifest = (struct cache_manifest){
        .format_version = plan->format_version ? plan->format_version : CACHE_FORMAT_VERSION,
        .program_version = "test",
        .class_count = plan->classes,
        .source_format = plan->raw ? "IDX" : "ImageFolder",
        .source_path = plan->link ? plan->source_path : "",
        .encoding = plan->raw ? IMAGE_RAW : IMAGE_JPEG,
        .raw_h = plan->raw ? RAW_H : 0,
        .raw_w = plan->raw ? RAW_W : 0,
        .channels = 3,
        .images_embedded = !plan->link,
        .teacher_file = "teacher.onnx",
        .device = "cpu",
        .precision = "fp32",
        .recipe = "hflip(p=0.5)",
        .augment_version = 1,
        .seed = plan->seed,
        .views = plan->views,
        .size = 4,
        .mean = {0.485f, 0.456f, 0.406f},
        .std = {0.229f, 0.224f, 0.225f},
        .top_k = plan->classes > CACHE_DENSE_CLASSES ? CACHE_TOP_K : 0,
    };
    digest_bytes("data", 4, manifest->source_digest);
    digest_bytes("teacher", 7, manifest->teacher_digest);
    const char **names = arena_alloc(&manifest->arena, (size_t)plan->classes, sizeof *names);
    assert_non_null(names);
    for (int c = 0; c < plan->classes; c++)
        names[c] = arena_printf(&manifest->arena, "n%08d", 1440764 + c * 7919);
    manifest->classes = names;
    if (plan->features)
        set_features(manifest);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        uint64_t *sizes = calloc(plan->samples[s] + 1, sizeof *sizes);
        for (uint32_t i = 0; i < plan->samples[s]; i++)
            sizes[i] = image_size(plan, (enum split)s, i);
        assert_int_equal(cache_layout(manifest, (enum split)s, sizes, plan->samples[s], NULL), STATUS_OK);
        free(sizes);
    }
}

static void fill_image(const struct cache_plan *plan, struct cache_shard *content, uint32_t i)
{
    uint8_t bytes[256];
    uint32_t id = content->ids[i];
    size_t size = image_size(plan, content->split, id);
    image_fill(plan, content->split, id, bytes, size);
    if (!plan->link) {
        content->image_offsets[i + 1] = content->image_offsets[i] + size;
        content->image_bytes = realloc(content->image_bytes, content->image_offsets[i + 1]);
        memcpy(content->image_bytes + content->image_offsets[i], bytes, size);
        return;
    }
    char digest[DIGEST_HEX_SIZE];
    digest_bytes(bytes, size, digest);
    for (int b = 0; b < 32; b++)
        sscanf(digest + 2 * b, "%2hhx", &content->link_digests[i][b]);
    content->link_sizes[i] = size;
    write_file(plan->source_path, content->names[i], bytes, size);
}

void fill_manifest(struct cache_manifest *manifest)
{
    static const int selected[] = {4, 0, 9};
    static const struct cache_skipped broken[] = {{SPLIT_TRAIN, "a.jpg", "is cut off"}};
    static const struct cache_left_out others[] = {{".txt", 3}, {"hidden", 1}};
    manifest->reading = (struct image_reading){.upright = true, .salvage = true};
    manifest->resize = IMAGE_RESIZE_PAD;
    manifest->teacher_file = "a.onnx";
    manifest->engine = (struct cache_engine){"onnxruntime", "1.22.1"};
    manifest->ensemble = "logits";
    manifest->tta = "hflip";
    manifest->member_count = 2;
    for (int i = 0; i < 2; i++) {
        manifest->members[i] = (struct cache_member){.file = "a.onnx", .weight = 0.5};
        memset(manifest->members[i].digest, 'a', 64);
    }
    manifest->members[1].engine = (struct cache_engine){"onnxruntime", "1.22.1"};
    manifest->selected = selected;
    manifest->selected_count = manifest->class_count;
    manifest->from_probabilities = manifest->bgr = true;
    manifest->kernels[0] = "oneDNN 2.6.3, avx2";
    manifest->kernel_count = 1;
    manifest->check = (struct cache_check){10, 9, 4, 4, "chance"};
    manifest->skipped = manifest->salvaged = broken;
    manifest->skipped_count = manifest->salvaged_count = 1;
    manifest->left_out = others;
    manifest->left_out_count = 2;
}

void plan_shard(const struct cache_plan *plan, const struct cache_manifest *manifest, enum split split, int shard,
                struct cache_shard *content)
{
    const struct cache_shard_entry *entry = &manifest->splits[split].shards[shard];
    float *logits = malloc((size_t)plan->classes * sizeof *logits), map[MAP_C * MAP_H * MAP_W];
    assert_int_equal(cache_shard_init(content, manifest, split, entry->first, entry->count, NULL), STATUS_OK);
    for (uint32_t i = 0; i < entry->count; i++) {
        struct random_stream stream;
        uint32_t id = entry->first + i;
        sample_stream(&stream, plan, split, id);
        content->ids[i] = id;
        content->labels[i] = split == SPLIT_TEST ? -1 : (int32_t)random_below(&stream, (uint32_t)plan->classes);
        sample_name(plan, split, id, content->names[i]);
        fill_image(plan, content, i);
        for (int v = 0; v < content->views; v++) {
            for (int c = 0; c < plan->classes; c++)
                logits[c] = 3 * noise(&stream) + (c == content->labels[i] ? 6 : 0);
            assert_int_equal(cache_store_logits(manifest, content, i, v, logits, NULL), STATUS_OK);
            for (int k = 0; k < MAP_C * MAP_H * MAP_W; k++)
                map[k] = fmaxf(0, noise(&stream));
            for (int f = 0; f < manifest->feature_count && split == SPLIT_TRAIN; f++)
                if (v < manifest->features[f].views)
                    assert_int_equal(cache_store_feature(manifest, content, f, i, v, map, map_shape, NULL), STATUS_OK);
        }
    }
    free(logits);
}

int plan_write(const struct cache_plan *plan, const char *path, int limit)
{
    struct cache_manifest manifest;
    struct cache_writer *writer;
    struct error err = {0};
    int missing, written = 0;
    plan_manifest(plan, &manifest);
    if (cache_writer_open(&writer, path, &manifest, &err) != STATUS_OK)
        fail_msg("%s: %s", err.path, err.message);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        for (int i = 0; i < manifest.splits[s].shard_count; i++) {
            struct cache_shard content;
            struct cache_claim claim;
            assert_int_equal(cache_writer_claim(writer, (enum split)s, i, &claim, NULL), STATUS_OK);
            if (claim.state != CACHE_CLAIMED)
                continue;
            if (written++ == limit) {
                cache_writer_unclaim(&claim);
                cache_writer_close(writer);
                arena_release(&manifest.arena);
                return -1;
            }
            plan_shard(plan, &manifest, (enum split)s, i, &content);
            if (cache_writer_put(writer, &claim, &content, NULL, &err) != STATUS_OK)
                fail_msg("%s: %s", err.path, err.message);
            cache_shard_release(&content);
        }
    }
    assert_int_equal(cache_writer_publish(writer, &missing, NULL), STATUS_OK);
    cache_writer_close(writer);
    arena_release(&manifest.arena);
    return missing;
}
