/* BMP (Microsoft's "Bitmap Storage"; OS/2's forms of it): headers of 12 to 124 bytes; 1, 4 and 8 bits with a palette,
 * also run-length encoded; 16, 24 and 32 bits of colour. Bits 24 to 31 are never alpha for a plain image of 32 bits, as
 * in Pillow. */
#include "formats/image/image_codec.h"
#include "shared/base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_HEADER = 14, MAX_HEADER = 124, OS2_HEADER = 12, INFO_HEADER = 40 };
enum { PLAIN, RLE8, RLE4, BIT_FIELDS };

/* Where the colours of a pixel of 16, 24 or 32 bits are. */
struct layout {
    int bits;
    uint32_t red, green, blue, alpha;
};

struct bmp {
    int64_t h, w;
    bool top_down;
    uint32_t bits, compression, colors;
    struct layout layout;
    uint8_t palette[256][3];
    size_t pixels_at;
};

static uint32_t read_uint(const uint8_t *bytes, int count)
{
    uint32_t value = 0;
    for (int i = count - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

/* The layouts that Pillow knows; those with an alpha mask lose it. */
static bool is_known(const struct layout *layout)
{
    static const struct layout known[] = {
        {32, 0xFF0000, 0xFF00, 0xFF, 0},
        {32, 0xFF000000, 0xFF0000, 0xFF00, 0},
        {32, 0xFF000000, 0xFF00, 0xFF, 0},
        {32, 0xFF000000, 0xFF0000, 0xFF00, 0xFF},
        {32, 0xFF, 0xFF00, 0xFF0000, 0xFF000000},
        {32, 0xFF0000, 0xFF00, 0xFF, 0xFF000000},
        {32, 0xFF000000, 0xFF00, 0xFF, 0xFF0000},
        {24, 0xFF0000, 0xFF00, 0xFF, 0},
        {16, 0xF800, 0x7E0, 0x1F, 0},
        {16, 0x7C00, 0x3E0, 0x1F, 0},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (layout->bits == known[i].bits && layout->red == known[i].red && layout->green == known[i].green &&
            layout->blue == known[i].blue && (layout->bits != 32 || layout->alpha == known[i].alpha))
            return true;
    return false;
}

static enum status read_layout(struct bmp *bmp, const uint8_t *bytes, size_t size, size_t header, const char *path,
                               struct error *err)
{
    static const struct layout plain[3] = {
        {16, 0x7C00, 0x3E0, 0x1F, 0}, {24, 0xFF0000, 0xFF00, 0xFF, 0}, {32, 0xFF0000, 0xFF00, 0xFF, 0}};
    bmp->layout = plain[bmp->bits / 8 - 2];
    if (bmp->compression != BIT_FIELDS)
        return STATUS_OK;
    const uint8_t *masks = bytes + FILE_HEADER + INFO_HEADER; /* in the header, or after a header of 40 bytes */
    if (size < FILE_HEADER + INFO_HEADER + 16)
        return error_set(err, STATUS_BAD_DATA, path, "truncated BMP: the data ends in the header");
    const struct layout given = {(int)bmp->bits, read_uint(masks, 4), read_uint(masks + 4, 4), read_uint(masks + 8, 4),
                                 header >= 56 ? read_uint(masks + 12, 4) : 0};
    if (given.red || given.green || given.blue || given.alpha || bmp->bits != 32)
        bmp->layout = given;
    if (!is_known(&bmp->layout))
        return error_set(err, STATUS_BAD_DATA, path, "BMP with unusual colour masks %08x %08x %08x: convert it to PNG",
                         given.red, given.green, given.blue);
    return STATUS_OK;
}

static void read_palette(struct bmp *bmp, const uint8_t *bytes, size_t size, size_t at, size_t item)
{
    for (uint32_t i = 0; i < bmp->colors && i < 256 && at + item <= size; i++, at += item)
        memcpy(bmp->palette[i], (uint8_t[3]){bytes[at + 2], bytes[at + 1], bytes[at]}, 3);
}

static enum status read_header(struct bmp *bmp, const uint8_t *bytes, size_t size, const char *path, struct error *err)
{
    const size_t header = read_uint(bytes + FILE_HEADER, 4); /* one of the seven sizes that image_format_of knows */
    const uint8_t *at = bytes + FILE_HEADER;
    const bool os2 = header == OS2_HEADER;
    enum status status = STATUS_OK;
    *bmp = (struct bmp){.pixels_at = read_uint(bytes + 10, 4)};
    if (size < FILE_HEADER + header)
        return error_set(err, STATUS_BAD_DATA, path, "truncated BMP: the data ends in the header");
    bmp->w = os2 ? (int32_t)read_uint(at + 4, 2) : (int32_t)read_uint(at + 4, 4);
    bmp->h = os2 ? (int32_t)read_uint(at + 6, 2) : (int32_t)read_uint(at + 8, 4);
    bmp->bits = os2 ? read_uint(at + 10, 2) : read_uint(at + 14, 2);
    bmp->compression = os2 ? PLAIN : read_uint(at + 16, 4);
    bmp->colors = os2 ? 0 : read_uint(at + 32, 4);
    bmp->top_down = bmp->h < 0;
    bmp->h = bmp->top_down ? -bmp->h : bmp->h;
    TRY(image_check_size(bmp->h, bmp->w, size, path, err));
    if (bmp->bits != 1 && bmp->bits != 4 && bmp->bits != 8 && bmp->bits != 16 && bmp->bits != 24 && bmp->bits != 32)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "BMP with %u bits a pixel: convert it to PNG", bmp->bits));
    if (bmp->compression > BIT_FIELDS || (bmp->compression == BIT_FIELDS && bmp->bits < 16) ||
        (bmp->compression == RLE8 && bmp->bits != 8) || (bmp->compression == RLE4 && bmp->bits != 4))
        FAIL(error_set(err, STATUS_BAD_DATA, path, "BMP with compression %u of %u bits a pixel: convert it to PNG",
                       bmp->compression, bmp->bits));
    if (bmp->bits >= 16) {
        TRY(read_layout(bmp, bytes, size, header, path, err));
    } else {
        bmp->colors = bmp->colors ? bmp->colors : 1u << bmp->bits;
        const size_t item = os2 ? 3 : 4;
        read_palette(bmp, bytes, size, FILE_HEADER + header, item);
        if (bmp->pixels_at == FILE_HEADER + header) /* some writers forget the palette */
            bmp->pixels_at += item * bmp->colors;
    }
cleanup:
    return status;
}

static enum status bmp_inspect(const uint8_t *bytes, size_t size, const char *path, struct image_info *info,
                               struct error *err)
{
    struct bmp bmp;
    enum status status = read_header(&bmp, bytes, size, path, err);
    if (status != STATUS_OK)
        return status;
    info->h = (int)bmp.h;
    info->w = (int)bmp.w;
    info->alpha = bmp.layout.alpha != 0;
    return STATUS_OK;
}

static uint8_t *row_of(const struct bmp *bmp, const struct image *image, int64_t y)
{
    return image->pixels + 3 * (size_t)((bmp->top_down ? y : bmp->h - 1 - y) * bmp->w);
}

/* The bits of a mask as 0..255. */
static uint8_t component(uint32_t pixel, uint32_t mask)
{
    const uint32_t lowest = mask & (0u - mask), largest = mask / lowest;
    return (uint8_t)((pixel & mask) / lowest * 255 / largest);
}

static void plain_row(const struct bmp *bmp, const uint8_t *bytes, uint8_t *rgb)
{
    const struct layout *layout = &bmp->layout;
    for (int64_t x = 0; x < bmp->w; x++, rgb += 3) {
        if (bmp->bits >= 16) {
            const uint32_t pixel = read_uint(bytes + x * (bmp->bits / 8), (int)bmp->bits / 8);
            rgb[0] = component(pixel, layout->red);
            rgb[1] = component(pixel, layout->green);
            rgb[2] = component(pixel, layout->blue);
        } else {
            const uint32_t bit = (uint32_t)x * bmp->bits,
                           index = (bytes[bit / 8] >> (8 - bmp->bits - bit % 8)) & ((1u << bmp->bits) - 1);
            memcpy(rgb, bmp->palette[index], 3);
        }
    }
}

static enum status read_plain(const struct bmp *bmp, const uint8_t *bytes, size_t size, const char *path,
                              struct image *image, struct error *err)
{
    const size_t stride = ((size_t)bmp->w * bmp->bits + 31) / 32 * 4;
    for (int64_t y = 0; y < bmp->h; y++) {
        const size_t at = bmp->pixels_at + (size_t)y * stride;
        /* The padding of the last row may be missing. */
        if (at > size || ((size_t)bmp->w * bmp->bits + 7) / 8 > size - at)
            return error_set(err, STATUS_BAD_DATA, path,
                             "truncated BMP: the data ends after %zu bytes, in row %lld of %lld", size, (long long)y,
                             (long long)bmp->h);
        plain_row(bmp, bytes + at, row_of(bmp, image, y));
    }
    return STATUS_OK;
}

/* Pixels in the order of the file; those that are skipped have index 0. */
struct runs {
    uint8_t *indices; /* [count] */
    size_t used, count, w;
    size_t x; /* of the next pixel, for the ends of rows */
};

static void add_run(struct runs *runs, const uint8_t *values, size_t length, bool nibbles, bool repeat)
{
    for (size_t i = 0; i < length && runs->used < runs->count; i++) {
        const uint8_t byte = values[repeat ? 0 : nibbles ? i / 2 : i];
        runs->indices[runs->used++] = !nibbles ? byte : i % 2 ? byte & 15 : byte >> 4;
    }
}

static void skip_pixels(struct runs *runs, size_t length)
{
    runs->used += length < runs->count - runs->used ? length : runs->count - runs->used; /* they are 0 already */
}

/* Reads all runs; stops at the end of the bitmap or of the bytes. */
static void read_runs(struct runs *runs, const uint8_t *bytes, size_t size, size_t at, bool nibbles)
{
    while (runs->used < runs->count && at + 2 <= size) {
        const size_t first = bytes[at], second = bytes[at + 1];
        at += 2;
        if (first) {
            const size_t room = runs->x < runs->w ? runs->w - runs->x : 0, length = first < room ? first : room;
            add_run(runs, bytes + at - 1, length, nibbles, true);
            runs->x += length;
        } else if (second == 0) {
            skip_pixels(runs, (runs->w - runs->used % runs->w) % runs->w);
            runs->x = 0;
        } else if (second == 1) {
            return;
        } else if (second == 2) {
            if (at + 2 > size)
                return;
            skip_pixels(runs, bytes[at] + bytes[at + 1] * runs->w);
            runs->x = runs->used % runs->w;
            at += 2;
        } else {
            const size_t left = runs->count - runs->used, length = second < left ? second : left;
            const size_t stored = nibbles ? (length + 1) / 2 : length;
            if (stored > size - at)
                return;
            add_run(runs, bytes + at, length, nibbles, false);
            runs->x += second;
            at += stored + (at + stored) % 2; /* runs begin at even places */
        }
    }
}

static enum status read_rle(const struct bmp *bmp, const uint8_t *bytes, size_t size, const char *path,
                            struct image *image, struct error *err)
{
    struct runs runs = {.count = (size_t)(bmp->h * bmp->w), .w = (size_t)bmp->w};
    runs.indices = calloc(runs.count, 1);
    if (!runs.indices)
        return error_no_memory(err, runs.count, "a BMP");
    read_runs(&runs, bytes, size, bmp->pixels_at, bmp->compression == RLE4);
    if (runs.used == runs.count)
        for (int64_t y = 0; y < bmp->h; y++)
            for (int64_t x = 0; x < bmp->w; x++)
                memcpy(row_of(bmp, image, y) + 3 * x, bmp->palette[runs.indices[y * bmp->w + x]], 3);
    free(runs.indices);
    return runs.used == runs.count ? STATUS_OK
                                   : error_set(err, STATUS_BAD_DATA, path, "truncated BMP: it has %zu of %zu pixels",
                                               runs.used, runs.count);
}

static enum status bmp_decode(const uint8_t *bytes, size_t size, bool salvage, const char *path, struct image *image,
                              struct error *err)
{
    struct bmp bmp;
    enum status status = STATUS_OK;
    (void)salvage;
    TRY(read_header(&bmp, bytes, size, path, err));
    TRY(image_init_black(image, (int)bmp.h, (int)bmp.w, err));
    TRY((bmp.compression == RLE8 || bmp.compression == RLE4 ? read_rle : read_plain)(&bmp, bytes, size, path, image,
                                                                                     err));
cleanup:
    return status;
}

const struct image_codec image_codec_bmp = {.inspect = bmp_inspect, .decode = bmp_decode};
