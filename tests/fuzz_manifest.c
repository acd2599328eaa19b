/* libFuzzer: cache.json from hostile text, published or not (make fuzz). */
#include "formats/cache/manifest.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    for (int published = 0; published < 2; published++) {
        struct cache_manifest manifest = {0};
        if (manifest_parse(&manifest, (const char *)bytes, size, published, "fuzz", NULL) == STATUS_OK)
            free(manifest_text(manifest_to_json(&manifest, published)));
        arena_release(&manifest.arena);
    }
    return 0;
}
