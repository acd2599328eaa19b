/* libFuzzer: cache.json from hostile text with a right seal, published or not (make fuzz). */
#include "formats/cache/manifest.h"
#include "formats/json.h"
#include "tests/helper_fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *text = malloc(size + 1);
    memcpy(text, bytes, size);
    fuzz_seal(text, size, size, FUZZ_JSON_SEAL);
    for (int published = 0; published < 2; published++) {
        struct cache_manifest manifest = {0};
        if (manifest_parse(&manifest, (const char *)text, size, published, "fuzz", NULL) == STATUS_OK)
            free(manifest_text(manifest_to_json(&manifest, published)));
        arena_release(&manifest.arena);
    }
    free(text);
    return 0;
}
