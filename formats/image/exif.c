#include "formats/image/exif.h"

#include <stdbool.h>
#include <string.h>

static unsigned read_uint(const uint8_t *bytes, int count, bool big_endian)
{
    unsigned value = 0;
    for (int i = 0; i < count; i++)
        value = value << 8 | bytes[big_endian ? i : count - 1 - i];
    return value;
}

int exif_orientation(const uint8_t *block, size_t size)
{
    enum { MARK = 6, HEADER = 8, ENTRY = 12, TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3 };
    if (size >= MARK && memcmp(block, "Exif\0\0", MARK) == 0) {
        block += MARK;
        size -= MARK;
    }
    if (size < HEADER || (memcmp(block, "MM\0*", 4) != 0 && memcmp(block, "II*\0", 4) != 0))
        return 1;
    bool big_endian = block[0] == 'M';
    size_t at = read_uint(block + 4, 4, big_endian);
    if (at > size - 2)
        return 1;
    unsigned entries = read_uint(block + at, 2, big_endian);
    at += 2;
    for (unsigned i = 0; i < entries && size - at >= ENTRY; i++, at += ENTRY) {
        const uint8_t *entry = block + at;
        if (read_uint(entry, 2, big_endian) != TAG_ORIENTATION || read_uint(entry + 2, 2, big_endian) != TYPE_SHORT)
            continue;
        unsigned value = read_uint(entry + 8, 2, big_endian);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

enum status exif_turn(struct image *image, int orientation, struct error *err)
{
    /* Where pixel (y, x) of the upright image comes from: mirrored in its columns or rows, after exchanging both. */
    const bool exchange = orientation >= 5,
               mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8,
               mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    struct image turned;
    if (orientation == 1)
        return STATUS_OK;
    enum status status =
        image_init(&turned, exchange ? image->w : image->h, exchange ? image->h : image->w, image->channels, err);
    if (status != STATUS_OK)
        return status;
    const size_t channels = (size_t)image->channels;
    uint8_t *to = turned.pixels;
    for (int y = 0; y < turned.h; y++)
        for (int x = 0; x < turned.w; x++, to += channels) {
            int from_y = exchange ? x : y, from_x = exchange ? y : x;
            from_y = mirror_y ? image->h - 1 - from_y : from_y;
            from_x = mirror_x ? image->w - 1 - from_x : from_x;
            memcpy(to, image->pixels + ((size_t)from_y * (size_t)image->w + (size_t)from_x) * channels, channels);
        }
    image_release(image);
    *image = turned;
    return STATUS_OK;
}
