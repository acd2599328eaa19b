/* TIFF 6.0 by libtiff: strips and tiles, all compressions that libtiff has; gray, palette, RGB, CMYK and YCbCr of 1
 * to 16 bits; the first page, turned upright as its orientation says (Pillow does that for TIFF always). In a shared
 * object of its own. */
#include "formats/image/exif.h"
#include "formats/image/image_codec.h"
#include "shared/base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

extern const struct image_codec softcache_codec;

enum { MAX_SAMPLES = 6, MAX_ALLOCATION = 1 << 29, MAX_BYTES = 1 << 30, MAX_SIDE = 1 << 24 };

/* libtiff's view of the bytes, and its first message. */
struct memory_file {
    const uint8_t *bytes;
    size_t size, at;
    char message[256];
};

struct tiff {
    struct memory_file file;
    TIFF *handle;
    uint32_t w, h;
    uint16_t bits, samples, photometric, planar, compression, format, orientation;
    uint16_t extra_count, extra; /* extra: what the first extra sample means */
    uint8_t palette[256][3];
    const char *path;
    struct error *err;
};

static tmsize_t read_bytes(thandle_t handle, void *buffer, tmsize_t size)
{
    struct memory_file *file = handle;
    const size_t left = file->at < file->size ? file->size - file->at : 0,
                 count = (size_t)size < left ? (size_t)size : left;
    memcpy(buffer, file->bytes + (left ? file->at : 0), count);
    file->at += count;
    return (tmsize_t)count;
}

static tmsize_t write_bytes(thandle_t handle, void *buffer, tmsize_t size)
{
    (void)handle;
    (void)buffer;
    (void)size;
    return 0;
}

static toff_t seek_bytes(thandle_t handle, toff_t offset, int whence)
{
    struct memory_file *file = handle;
    file->at = whence == SEEK_SET ? offset : whence == SEEK_CUR ? file->at + offset : file->size + offset;
    return file->at;
}

static int close_bytes(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t size_of_bytes(thandle_t handle)
{
    return ((struct memory_file *)handle)->size;
}

static int on_error(TIFF *handle, void *context, const char *module, const char *format, va_list arguments)
{
    struct memory_file *file = context;
    (void)handle;
    (void)module;
    if (!file->message[0])
        vsnprintf(file->message, sizeof file->message, format, arguments);
    return 1;
}

static int on_warning(TIFF *handle, void *context, const char *module, const char *format, va_list arguments)
{
    (void)handle;
    (void)context;
    (void)module;
    (void)format;
    (void)arguments;
    return 1;
}

static enum status damaged(const struct tiff *tiff)
{
    return error_set(tiff->err, STATUS_BAD_DATA, tiff->path, "not a readable TIFF, or truncated: %s",
                     tiff->file.message[0] ? tiff->file.message : "libtiff cannot read it");
}

static void close_tiff(struct tiff *tiff)
{
    if (tiff->handle)
        TIFFClose(tiff->handle);
}

static enum status read_palette(struct tiff *tiff)
{
    uint16_t *colors[3];
    if (!TIFFGetField(tiff->handle, TIFFTAG_COLORMAP, &colors[0], &colors[1], &colors[2]))
        return error_set(tiff->err, STATUS_BAD_DATA, tiff->path, "TIFF without its palette");
    for (int i = 0; i < 1 << tiff->bits; i++)
        for (int c = 0; c < 3; c++)
            tiff->palette[i][c] = (uint8_t)(colors[c][i] >> 8);
    return STATUS_OK;
}

/* How many samples the colour needs; 0 for kinds that are not read. */
static int color_samples(const struct tiff *tiff)
{
    const bool bytes = tiff->bits == 8 || tiff->bits == 16;
    const bool small = tiff->bits == 1 || tiff->bits == 2 || tiff->bits == 4;
    if (tiff->format != SAMPLEFORMAT_UINT && !(tiff->format == SAMPLEFORMAT_INT && tiff->bits == 8))
        return 0;
    switch (tiff->photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
        return small || bytes ? 1 : 0;
    case PHOTOMETRIC_PALETTE:
        return small || tiff->bits == 8 ? 1 : 0;
    case PHOTOMETRIC_RGB:
        return bytes ? 3 : 0;
    case PHOTOMETRIC_SEPARATED:
        return bytes ? 4 : 0;
    case PHOTOMETRIC_YCBCR:
        return tiff->bits == 8 && tiff->samples == 3 ? 3 : 0;
    default:
        return 0;
    }
}

static enum status check_kind(struct tiff *tiff)
{
    const int colors = color_samples(tiff);
    if (colors == 0 || tiff->samples < colors || tiff->samples > MAX_SAMPLES || (tiff->bits < 8 && tiff->samples > 1) ||
        (colors == 1 && tiff->samples > 1 && tiff->extra == EXTRASAMPLE_ASSOCALPHA))
        return error_set(
            tiff->err, STATUS_BAD_DATA, tiff->path,
            "TIFF of a kind that is not read (photometric %u, %u samples of %u bits, format %u): convert it "
            "to PNG",
            tiff->photometric, tiff->samples, tiff->bits, tiff->format);
    return tiff->photometric == PHOTOMETRIC_PALETTE ? read_palette(tiff) : STATUS_OK;
}

static enum status open_tiff(struct tiff *tiff, const uint8_t *bytes, size_t size, const char *path, struct error *err)
{
    uint16_t *extra = NULL;
    *tiff = (struct tiff){.file = {.bytes = bytes, .size = size}, .path = path, .err = err};
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options)
        return error_no_memory(err, 0, "a TIFF");
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, MAX_ALLOCATION);
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, &tiff->file);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, NULL);
    tiff->handle = TIFFClientOpenExt("memory", "rm", &tiff->file, read_bytes, write_bytes, seek_bytes, close_bytes,
                                     size_of_bytes, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    if (!tiff->handle || !TIFFGetField(tiff->handle, TIFFTAG_IMAGEWIDTH, &tiff->w) ||
        !TIFFGetField(tiff->handle, TIFFTAG_IMAGELENGTH, &tiff->h))
        return damaged(tiff);
    TIFFGetFieldDefaulted(tiff->handle, TIFFTAG_BITSPERSAMPLE, &tiff->bits);
    TIFFGetFieldDefaulted(tiff->handle, TIFFTAG_SAMPLESPERPIXEL, &tiff->samples);
    TIFFGetFieldDefaulted(tiff->handle, TIFFTAG_PLANARCONFIG, &tiff->planar);
    TIFFGetFieldDefaulted(tiff->handle, TIFFTAG_COMPRESSION, &tiff->compression);
    TIFFGetFieldDefaulted(tiff->handle, TIFFTAG_SAMPLEFORMAT, &tiff->format);
    TIFFGetFieldDefaulted(tiff->handle, TIFFTAG_ORIENTATION, &tiff->orientation);
    TIFFGetFieldDefaulted(tiff->handle, TIFFTAG_EXTRASAMPLES, &tiff->extra_count, &extra);
    TIFFGetField(tiff->handle, TIFFTAG_PHOTOMETRIC, &tiff->photometric);
    tiff->extra = tiff->extra_count && extra ? extra[0] : EXTRASAMPLE_UNASSALPHA;
    if (tiff->compression == COMPRESSION_OJPEG)
        tiff->photometric = PHOTOMETRIC_YCBCR;
    if (tiff->orientation < 1 || tiff->orientation > 8)
        tiff->orientation = 1;
    enum status status = image_check_size(tiff->h, tiff->w, size, path, err);
    return status == STATUS_OK ? check_kind(tiff) : status;
}

/* One row of a strip or tile, `count` pixels of `step` samples (1 in planes), to samples[count][tiff->samples]. */
static void unpack_row(const struct tiff *tiff, const uint8_t *row, size_t count, size_t step, uint16_t *samples)
{
    for (size_t i = 0; i < count; i++)
        for (size_t s = 0; s < step; s++) {
            uint16_t *to = samples + i * tiff->samples + s;
            const size_t at = i * step + s;
            if (tiff->bits == 16)
                memcpy(to, row + 2 * at, 2);
            else if (tiff->bits == 8)
                *to = row[at];
            else
                *to = (uint16_t)(row[at * tiff->bits / 8] >> (8 - tiff->bits - at * tiff->bits % 8)) &
                      (uint16_t)((1u << tiff->bits) - 1);
        }
}

static enum status read_strips(struct tiff *tiff, uint8_t *row, uint16_t *samples)
{
    const bool planes = tiff->planar == PLANARCONFIG_SEPARATE;
    for (uint16_t plane = 0; plane < (planes ? tiff->samples : 1); plane++)
        for (uint32_t y = 0; y < tiff->h; y++) {
            if (TIFFReadScanline(tiff->handle, row, y, plane) < 0)
                return damaged(tiff);
            unpack_row(tiff, row, tiff->w, planes ? 1 : tiff->samples,
                       samples + (size_t)y * tiff->w * tiff->samples + plane);
        }
    return STATUS_OK;
}

static enum status read_tiles(struct tiff *tiff, uint8_t *tile, uint16_t *samples)
{
    const bool planes = tiff->planar == PLANARCONFIG_SEPARATE;
    const size_t row_bytes = (size_t)TIFFTileRowSize(tiff->handle);
    uint32_t tile_w = 0, tile_h = 0;
    TIFFGetField(tiff->handle, TIFFTAG_TILEWIDTH, &tile_w);
    TIFFGetField(tiff->handle, TIFFTAG_TILELENGTH, &tile_h);
    if (tile_w == 0 || tile_h == 0 || tile_w > MAX_SIDE || tile_h > MAX_SIDE)
        return damaged(tiff);
    for (uint16_t plane = 0; plane < (planes ? tiff->samples : 1); plane++)
        for (uint32_t y = 0; y < tiff->h; y += tile_h)
            for (uint32_t x = 0; x < tiff->w; x += tile_w) {
                if (TIFFReadTile(tiff->handle, tile, x, y, 0, plane) < 0)
                    return damaged(tiff);
                const uint32_t w = tiff->w - x < tile_w ? tiff->w - x : tile_w;
                for (uint32_t i = 0; i < tile_h && y + i < tiff->h; i++)
                    unpack_row(tiff, tile + i * row_bytes, w, planes ? 1 : tiff->samples,
                               samples + ((size_t)(y + i) * tiff->w + x) * tiff->samples + plane);
            }
    return STATUS_OK;
}

/* A color of 8 bits out of a sample. */
static uint8_t shorten(const struct tiff *tiff, uint16_t sample)
{
    return (uint8_t)(tiff->bits == 16 ? sample >> 8 : sample);
}

static uint8_t gray(const struct tiff *tiff, uint16_t sample)
{
    if (tiff->bits == 16)
        return (uint8_t)(sample > 255 ? 255 : sample);
    const uint8_t value = (uint8_t)(sample * (255 / ((1u << tiff->bits) - 1)));
    return tiff->photometric == PHOTOMETRIC_MINISWHITE ? 255 - value : value;
}

static void convert_pixel(const struct tiff *tiff, const uint16_t *pixel, uint8_t *rgb)
{
    const bool premultiplied = tiff->samples > 3 && tiff->extra == EXTRASAMPLE_ASSOCALPHA;
    const int alpha = premultiplied ? shorten(tiff, pixel[3]) : 255,
              key = 255 - shorten(tiff, pixel[tiff->samples > 3 ? 3 : 0]);
    for (int c = 0; c < 3; c++)
        switch (tiff->photometric) {
        case PHOTOMETRIC_PALETTE:
            rgb[c] = tiff->palette[pixel[0]][c];
            break;
        case PHOTOMETRIC_SEPARATED: { /* Pillow's cmyk2rgb */
            const int product = shorten(tiff, pixel[c]) * key + 128;
            rgb[c] = (uint8_t)(key - (((product >> 8) + product) >> 8));
            break;
        }
        case PHOTOMETRIC_RGB:
        case PHOTOMETRIC_YCBCR: {
            const int value = shorten(tiff, pixel[c]), whole = alpha ? value * 255 / alpha : 0;
            rgb[c] = (uint8_t)(whole > 255 ? 255 : whole);
            break;
        }
        default:
            rgb[c] = gray(tiff, pixel[0]);
        }
}

static enum status read_samples(struct tiff *tiff, struct image *image)
{
    enum status status = STATUS_OK;
    const bool tiled = TIFFIsTiled(tiff->handle);
    const int64_t buffer_bytes = tiled ? TIFFTileSize(tiff->handle) : TIFFScanlineSize(tiff->handle);
    const uint64_t count = (uint64_t)tiff->w * tiff->h * tiff->samples;
    uint8_t *buffer = NULL;
    uint16_t *samples = NULL;
    if (buffer_bytes < 1)
        return damaged(tiff);
    if (buffer_bytes > MAX_ALLOCATION || count > MAX_BYTES / sizeof *samples)
        return error_set(tiff->err, STATUS_BAD_DATA, tiff->path, "is too large: %u x %u pixels of %u samples", tiff->w,
                         tiff->h, tiff->samples);
    buffer = calloc(1, (size_t)buffer_bytes);
    samples = calloc(count, sizeof *samples);
    if (!buffer || !samples)
        FAIL(error_no_memory(tiff->err, count * sizeof *samples, "a TIFF"));
    TRY((tiled ? read_tiles : read_strips)(tiff, buffer, samples));
    for (size_t i = 0; i < (size_t)tiff->w * tiff->h; i++)
        convert_pixel(tiff, samples + i * tiff->samples, image->pixels + 3 * i);
cleanup:
    free(buffer);
    free(samples);
    return status;
}

/* YCbCr that is not JPEG: libtiff converts and upsamples it. */
static enum status read_ycbcr(struct tiff *tiff, struct image *image)
{
    enum status status = STATUS_OK;
    TIFFRGBAImage reader;
    char message[1024];
    const size_t count = (size_t)tiff->w * tiff->h;
    uint32_t *pixels = calloc(count, sizeof *pixels);
    if (!pixels)
        return error_no_memory(tiff->err, count * sizeof *pixels, "a TIFF");
    if (!TIFFRGBAImageBegin(&reader, tiff->handle, 1, message)) {
        free(pixels);
        return damaged(tiff);
    }
    reader.req_orientation = reader.orientation; /* we turn it ourselves */
    if (!TIFFRGBAImageGet(&reader, pixels, tiff->w, tiff->h))
        status = damaged(tiff);
    for (size_t i = 0; i < count; i++) {
        image->pixels[3 * i] = (uint8_t)TIFFGetR(pixels[i]);
        image->pixels[3 * i + 1] = (uint8_t)TIFFGetG(pixels[i]);
        image->pixels[3 * i + 2] = (uint8_t)TIFFGetB(pixels[i]);
    }
    TIFFRGBAImageEnd(&reader);
    free(pixels);
    return status;
}

static enum status tiff_inspect(const uint8_t *bytes, size_t size, const char *path, struct image_info *info,
                                struct error *err)
{
    struct tiff tiff;
    enum status status = open_tiff(&tiff, bytes, size, path, err);
    info->h = (int)(tiff.orientation < 5 ? tiff.h : tiff.w);
    info->w = (int)(tiff.orientation < 5 ? tiff.w : tiff.h);
    info->gray = tiff.photometric == PHOTOMETRIC_MINISBLACK || tiff.photometric == PHOTOMETRIC_MINISWHITE;
    info->deep_gray = info->gray && tiff.bits == 16;
    info->cmyk = tiff.photometric == PHOTOMETRIC_SEPARATED;
    info->alpha = tiff.extra_count > 0 && tiff.extra != EXTRASAMPLE_UNSPECIFIED;
    close_tiff(&tiff);
    return status;
}

static enum status tiff_decode(const uint8_t *bytes, size_t size, bool salvage, const char *path, struct image *image,
                               struct error *err)
{
    enum status status = STATUS_OK;
    struct tiff tiff;
    (void)salvage;
    TRY(open_tiff(&tiff, bytes, size, path, err));
    const bool jpeg = tiff.compression == COMPRESSION_JPEG && tiff.planar == PLANARCONFIG_CONTIG;
    if (jpeg && tiff.photometric == PHOTOMETRIC_YCBCR)
        TIFFSetField(tiff.handle, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    TRY(image_init_black(image, (int)tiff.h, (int)tiff.w, err));
    TRY((tiff.photometric == PHOTOMETRIC_YCBCR && !jpeg ? read_ycbcr : read_samples)(&tiff, image));
    TRY(exif_turn(image, tiff.orientation, err));
cleanup:
    close_tiff(&tiff);
    return status;
}

const struct image_codec softcache_codec = {.inspect = tiff_inspect, .decode = tiff_decode};
