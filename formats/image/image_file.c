#include "formats/image/image_file.h"

#include "formats/image/exif.h"
#include "formats/image/image_codec.h"
#include "shared/base/library.h"

#include <string.h>

/* Up to this many pixels any size is accepted; above it, a file must have a byte for every PIXELS_PER_BYTE, which is
 * more than JPEG (a bit for each 64 pixels) and deflate (1032 bytes from one) can do. So a short file cannot make us
 * allocate gigabytes. */
enum { BELIEVED_PIXELS = 1 << 22, PIXELS_PER_BYTE = 2048 };

enum status image_check_size(int64_t h, int64_t w, size_t size, const char *path, struct error *err)
{
    if (h < 1 || w < 1)
        return error_set(err, STATUS_BAD_DATA, path, "has no pixels: its header says %lld x %lld", (long long)w,
                         (long long)h);
    const bool too_large = w > IMAGE_MAX_SIDE || h > IMAGE_MAX_SIDE || w * h > IMAGE_MAX_PIXELS;
    if (too_large || (w * h > BELIEVED_PIXELS && (uint64_t)(w * h) / PIXELS_PER_BYTE > size))
        return error_set(err, STATUS_BAD_DATA, path, "claims %lld x %lld pixels in %zu bytes, which is %s",
                         (long long)w, (long long)h, size,
                         too_large ? "over the limit of 2^28 pixels and 65500 in a row" : "impossible");
    return STATUS_OK;
}

enum status image_init_black(struct image *image, int h, int w, struct error *err)
{
    enum status status = image_init(image, h, w, 3, err);
    if (status == STATUS_OK)
        memset(image->pixels, 0, (size_t)h * (size_t)w * 3);
    return status;
}

/* Those of big libraries are opened; opening what is open already costs little. */
static enum status find_codec(enum image_format format, const char *path, const struct image_codec **codec,
                              struct error *err)
{
    static const struct image_codec *const own[IMAGE_FORMAT_COUNT] = {[IMAGE_FORMAT_JPEG] = &image_codec_jpeg,
                                                                      [IMAGE_FORMAT_PNG] = &image_codec_png,
                                                                      [IMAGE_FORMAT_BMP] = &image_codec_bmp,
                                                                      [IMAGE_FORMAT_GIF] = &image_codec_gif};
    static const char *const files[IMAGE_FORMAT_COUNT] = {
        [IMAGE_FORMAT_WEBP] = "softcache_webp.so", [IMAGE_FORMAT_TIFF] = "softcache_tiff.so"};
    const void *symbol;
    struct error why = {0};
    *codec = own[format];
    if (*codec)
        return STATUS_OK;
    const enum status status = library_symbol(files[format], "softcache_codec", &symbol, &why);
    if (status == STATUS_IO || status == STATUS_INTERNAL)
        return error_set(err, status, path, "%s: %s", why.path, why.message);
    if (status != STATUS_OK)
        return error_set(err, STATUS_CONFIG, path, "is a %s file, which needs a library that is not here: %s%s%s",
                         image_format_name(format), why.path[0] ? why.path : "", why.path[0] ? ": " : "", why.message);
    *codec = symbol;
    return STATUS_OK;
}

static enum status explain_format(const uint8_t *bytes, size_t size, enum image_format format, const char *path,
                                  struct error *err)
{
    if (size == 0)
        return error_set(err, STATUS_BAD_DATA, path, "is empty: get the file again, or remove it");
    if (format == IMAGE_FORMAT_UNKNOWN)
        return error_set(err, STATUS_BAD_DATA, path,
                         "is not an image of a kind that is read (%s): it starts with 0x%02x 0x%02x",
                         image_formats_read, bytes[0], size > 1 ? bytes[1] : 0);
    return error_set(err, STATUS_BAD_DATA, path, "is a %s file, which is not read: convert it to JPEG or PNG",
                     image_format_name(format));
}

static enum status recognise(const uint8_t *bytes, size_t size, const char *path, enum image_format *format,
                             const struct image_codec **codec, struct error *err)
{
    *format = image_format_of(bytes, size);
    if (!image_format_is_read(*format))
        return explain_format(bytes, size, *format, path, err);
    return find_codec(*format, path, codec, err);
}

enum status image_file_inspect(const uint8_t *bytes, size_t size, const char *path, struct image_info *info,
                               struct error *err)
{
    enum status status = STATUS_OK;
    const struct image_codec *codec;
    *info = (struct image_info){.orientation = 1};
    TRY(recognise(bytes, size, path, &info->format, &codec, err));
    TRY(codec->inspect(bytes, size, path, info, err));
cleanup:
    return status;
}

enum status image_file_decode(const uint8_t *bytes, size_t size, const struct image_reading *reading, const char *path,
                              struct image *image, struct error *err)
{
    enum status status = STATUS_OK;
    const struct image_codec *codec;
    struct image_info info = {.orientation = 1};
    *image = (struct image){0};
    TRY(recognise(bytes, size, path, &info.format, &codec, err));
    if (reading->upright)
        TRY(codec->inspect(bytes, size, path, &info, err));
    TRY(codec->decode(bytes, size, reading->salvage, path, image, err));
    TRY(exif_turn(image, info.orientation, err));
cleanup:
    if (status != STATUS_OK)
        image_release(image);
    return status;
}
