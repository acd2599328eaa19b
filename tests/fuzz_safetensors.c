/* libFuzzer: safetensors from hostile bytes (make fuzz). */
#include "formats/export/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct safetensors file;
    if (safetensors_open(&file, bytes, size, "fuzz", NULL) != STATUS_OK)
        return 0;
    for (size_t i = 0; i < file.count; i++) {
        float *values = malloc((file.entries[i].count + 1) * sizeof *values);
        if (values)
            safetensors_floats(&file.entries[i], "fuzz", values, NULL);
        free(values);
    }
    safetensors_close(&file);
    return 0;
}
