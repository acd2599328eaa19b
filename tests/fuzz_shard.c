/* libFuzzer: shards from hostile bytes, behind a right end line (make fuzz). The first byte chooses the manifest; what
 * follows is the file, of which the text after the last byte 0 is the table. */
#include "formats/cache/shard_table.h"
#include "tests/helper_cache.h"
#include "tests/helper_fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static const struct cache_plan plans[] = {
    {.classes = 3, .views = 2, .samples = {5, 0, 0}, .seed = 1},
    {.classes = 300, .views = 2, .samples = {4, 0, 0}, .seed = 1, .features = true},
    {.classes = 3, .views = 1, .samples = {5, 0, 0}, .seed = 1, .raw = true},
};
enum { PLANS = sizeof plans / sizeof *plans };

static struct cache_manifest manifests[PLANS];

/* A shard of each manifest, as a file of the corpus. */
static void write_seed(int i)
{
    struct cache_shard content;
    unsigned char *bytes, *seed;
    uint64_t image_bytes;
    size_t size, end;
    char name[16];
    struct shard_table table = {0};
    plan_shard(&plans[i], &manifests[i], SPLIT_TRAIN, 0, &content);
    if (shard_build(&manifests[i], &content, NULL, &bytes, &size, &image_bytes, NULL) != STATUS_OK ||
        shard_table_read(&table, bytes, size, &end, "seed", NULL) != STATUS_OK)
        abort();
    char *text = shard_table_text(&table);
    if (!text || !(seed = malloc(end + strlen(text) + 1)))
        abort();
    memcpy(seed, bytes, end);
    seed[end] = 0;
    memcpy(seed + end + 1, text, strlen(text));
    snprintf(name, sizeof name, "%d", i);
    fuzz_seed(name, (uint8_t)i, seed, end + 1 + strlen(text));
    free(seed);
    free(text);
    free(bytes);
    shard_table_release(&table);
    cache_shard_release(&content);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    for (int i = 0; i < PLANS; i++) {
        plan_manifest(&plans[i], &manifests[i]);
        if (getenv("FUZZ_SEEDS"))
            write_seed(i);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char tail[64];
    struct cache_shard shard = {0};
    if (size < 2)
        return 0;
    const struct cache_manifest *manifest = &manifests[bytes[0] % PLANS];
    size_t table = size;
    while (table > 1 && bytes[table - 1] != 0)
        table--;
    unsigned char *file = malloc(size + sizeof tail);
    const int length = snprintf(tail, sizeof tail, "\nsoftcache-table %010zu\n", size - table);
    memcpy(file, bytes + 1, size - 1);
    memcpy(file + size - 1, tail, (size_t)length);
    shard_parse(manifest, SPLIT_TRAIN, &manifest->splits[SPLIT_TRAIN].shards[0], file, size - 1 + (size_t)length,
                CACHE_READ_IMAGES | CACHE_READ_FEATURES, "fuzz", &shard, NULL);
    cache_shard_release(&shard);
    free(file);
    return 0;
}
