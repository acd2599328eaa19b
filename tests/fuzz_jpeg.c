/* libFuzzer: JPEG headers and pixels from hostile bytes (make fuzz). */
#include "formats/image/jpeg.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct jpeg_info info;
    struct image image = {0};
    if (jpeg_inspect(bytes, size, "fuzz", &info, NULL) != STATUS_OK || (uint64_t)info.h * (uint64_t)info.w > 1 << 20)
        return 0; /* large pictures only take time */
    jpeg_decode(bytes, size, "fuzz", &image, NULL);
    image_release(&image);
    return 0;
}
