/* libFuzzer: gzip members from hostile bytes (make fuzz). */
#include "formats/datasets/gzip.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *out = NULL;
    size_t out_size = 0;
    if (gzip_decompress(bytes, size, 1 << 20, "fuzz", &out, &out_size, NULL) == STATUS_OK)
        free(out);
    return 0;
}
