/* libFuzzer: the two texts of a folder of answers, from hostile bytes (make fuzz). */
#include "formats/cache/answers.h"

#include "formats/cache/cache_row.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char digest[65] = "0000000000000000000000000000000000000000000000000000000000000000";
    struct cache_manifest manifest = {0},
                          plain = {.class_count = 10, .views = 3, .teacher_digest = "0", .feature_count = 1};
    struct answers_file file;
    plain.features[0] = (struct cache_feature){"map", FEATURE_INT8, 6, 3, 2, 2};
    if (answers_parse(&manifest, (const char *)bytes, size, "fuzz", NULL) == STATUS_OK &&
        cache_row_bytes(&manifest, SPLIT_TRAIN, 0, (uint64_t)manifest.views) > CACHE_SHARD_LIMIT)
        abort();
    arena_release(&manifest.arena);
    if (answers_parse_head(&plain, digest, (const char *)bytes, size, size, "fuzz", &file, NULL) == STATUS_OK &&
        file.head + file.bytes != size)
        abort();
    return 0;
}
