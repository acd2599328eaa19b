/* libFuzzer: JPEG headers and pixels from hostile bytes (make fuzz). */
#include "formats/image/image_file.h"

static const struct image_reading strict = {0};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct image_info info;
    struct image image = {0};
    if (image_file_inspect(bytes, size, "fuzz", &info, NULL) != STATUS_OK ||
        (uint64_t)info.h * (uint64_t)info.w > 1 << 20)
        return 0; /* large pictures only take time */
    image_file_decode(bytes, size, &strict, "fuzz", &image, NULL);
    image_release(&image);
    return 0;
}
