/* libFuzzer: image headers and pixels from hostile bytes, of the formats that are decoded in the program, and of
 * WebP and TIFF where softcache_webp.so and softcache_tiff.so are beside this program (make fuzz). */
#include "formats/image/image_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct image_info info;
    struct image image = {0};
    if (image_file_inspect(bytes, size, "fuzz", &info, NULL) != STATUS_OK ||
        (uint64_t)info.h * (uint64_t)info.w > 1 << 20)
        return 0; /* large pictures only take time */
    for (int salvage = 0; salvage < 2; salvage++) {
        const struct image_reading reading = {.upright = true, .salvage = salvage};
        image_file_decode(bytes, size, &reading, "fuzz", &image, NULL);
        image_release(&image);
    }
    return 0;
}
