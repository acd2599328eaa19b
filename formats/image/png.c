/* PNG by libpng, fed as a stream, so that a truncated file gives the rows that it has. */
#include "formats/image/exif.h"
#include "formats/image/image_codec.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

enum { SIGNATURE = 8, CHUNK_HEAD = 8, CHUNK_CRC = 4, IHDR_BYTES = 13, IHDR_AT = SIGNATURE + CHUNK_HEAD };
enum { MAX_CHUNK_BYTES = 8 << 20 }; /* of texts and profiles, which are not used */

struct png_reading {
    png_structp png;
    png_infop info;
    struct image *image;
    int color_type, depth;
    uint8_t palette[256][3];
    size_t rows, expected_rows; /* of all passes */
    const char *path;
    struct error *err;
    enum status status;
};

static uint32_t read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The content of the first chunk of a type; NULL if there is none. */
static const uint8_t *find_chunk(const uint8_t *bytes, size_t size, const char type[4], uint32_t *length)
{
    size_t at = SIGNATURE;
    while (size - at >= CHUNK_HEAD) {
        *length = read_u32(bytes + at);
        if (*length > size - at - CHUNK_HEAD)
            return NULL;
        if (memcmp(bytes + at + 4, type, 4) == 0)
            return bytes + at + CHUNK_HEAD;
        if (size - at - CHUNK_HEAD - *length < CHUNK_CRC)
            return NULL;
        at += CHUNK_HEAD + (size_t)*length + CHUNK_CRC;
    }
    return NULL;
}

static enum status png_inspect(const uint8_t *bytes, size_t size, const char *path, struct image_info *info,
                               struct error *err)
{
    const uint8_t *header = bytes + IHDR_AT, *exif;
    uint32_t length;
    if (size < IHDR_AT + IHDR_BYTES || memcmp(bytes + SIGNATURE + 4, "IHDR", 4) != 0)
        return error_set(err, STATUS_BAD_DATA, path, "not a readable PNG: it has no header (IHDR)");
    const uint32_t w = read_u32(header), h = read_u32(header + 4);
    enum status status = image_check_size(h, w, size, path, err);
    if (status != STATUS_OK)
        return status;
    info->h = (int)h;
    info->w = (int)w;
    info->gray = (header[9] & PNG_COLOR_MASK_COLOR) == 0;
    info->deep_gray = header[9] == PNG_COLOR_TYPE_GRAY && header[8] == 16;
    info->alpha = (header[9] & PNG_COLOR_MASK_ALPHA) != 0 || find_chunk(bytes, size, "tRNS", &length);
    exif = find_chunk(bytes, size, "eXIf", &length);
    if (exif)
        info->orientation = exif_orientation(exif, length);
    return STATUS_OK;
}

_Noreturn static void on_error(png_structp png, png_const_charp message)
{
    struct png_reading *reading = png_get_error_ptr(png);
    reading->status = error_set(reading->err, STATUS_BAD_DATA, reading->path, "not a readable PNG: %s (in row %zu)",
                                message, reading->rows);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

/* Passes of an interlaced image that have no pixels are not in the file. */
static size_t count_rows(size_t h, size_t w, bool interlaced)
{
    size_t rows = 0;
    for (int pass = 0; interlaced && pass < PNG_INTERLACE_ADAM7_PASSES; pass++)
        rows += PNG_PASS_COLS(w, pass) ? PNG_PASS_ROWS(h, pass) : 0;
    return interlaced ? rows : h;
}

static void read_palette(struct png_reading *reading)
{
    png_colorp colors;
    int count = 0;
    if (reading->color_type != PNG_COLOR_TYPE_PALETTE)
        return;
    png_get_PLTE(reading->png, reading->info, &colors, &count);
    for (int i = 0; i < count && i < 256; i++)
        memcpy(reading->palette[i], (uint8_t[3]){colors[i].red, colors[i].green, colors[i].blue}, 3);
}

/* Everything before the pixels has been read: rows are wanted as samples of 8 bits, indices and deep gray as they
 * are. */
static void on_info(png_structp png, png_infop info)
{
    struct png_reading *reading = png_get_progressive_ptr(png);
    png_uint_32 w, h;
    int interlace;
    png_get_IHDR(png, info, &w, &h, &reading->depth, &reading->color_type, &interlace, NULL, NULL);
    reading->expected_rows = count_rows(h, w, interlace == PNG_INTERLACE_ADAM7);
    read_palette(reading);
    if (reading->color_type == PNG_COLOR_TYPE_GRAY && reading->depth < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    else if (reading->depth < 8)
        png_set_packing(png);
    if (reading->color_type != PNG_COLOR_TYPE_GRAY)
        png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_read_update_info(png, info);
    reading->status = image_init_black(reading->image, (int)h, (int)w, reading->err);
    if (reading->status != STATUS_OK)
        png_longjmp(png, 1);
}

static void convert_pixel(const struct png_reading *reading, const uint8_t *row, size_t i, uint8_t *rgb)
{
    switch (reading->color_type) {
    case PNG_COLOR_TYPE_RGB:
    case PNG_COLOR_TYPE_RGB_ALPHA:
        memcpy(rgb, row + 3 * i, 3);
        break;
    case PNG_COLOR_TYPE_PALETTE:
        memcpy(rgb, reading->palette[row[i]], 3);
        break;
    default:
        memset(rgb,
               reading->depth < 16 || reading->color_type == PNG_COLOR_TYPE_GRAY_ALPHA ? row[i]
               : row[2 * i]                                                            ? 255
                                                                                       : row[2 * i + 1],
               3);
    }
}

/* A row of a pass; a file that is not interlaced has one pass of all rows. */
static void on_row(png_structp png, png_bytep row, png_uint_32 number, int pass)
{
    struct png_reading *reading = png_get_progressive_ptr(png);
    const struct image *image = reading->image;
    const bool interlaced = png_get_interlace_type(png, reading->info) == PNG_INTERLACE_ADAM7;
    const size_t count = interlaced ? PNG_PASS_COLS((size_t)image->w, pass) : (size_t)image->w;
    const size_t y = interlaced ? PNG_ROW_FROM_PASS_ROW(number, pass) : number;
    if (!row || y >= (size_t)image->h)
        return;
    for (size_t i = 0; i < count; i++) {
        const size_t x = interlaced ? PNG_COL_FROM_PASS_COL(i, pass) : i;
        convert_pixel(reading, row, i, image->pixels + 3 * (y * (size_t)image->w + x));
    }
    reading->rows++;
}

/* Must follow setjmp. */
static void feed(struct png_reading *reading, const uint8_t *bytes, size_t size)
{
    png_set_chunk_malloc_max(reading->png, MAX_CHUNK_BYTES);
    png_set_user_limits(reading->png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_progressive_read_fn(reading->png, reading, on_info, on_row, NULL);
    png_process_data(reading->png, reading->info, (png_bytep)(uintptr_t)bytes, size);
    if (reading->rows < reading->expected_rows || !reading->image->pixels)
        reading->status =
            error_set(reading->err, STATUS_BAD_DATA, reading->path,
                      "truncated PNG: the data ends after %zu bytes, in row %zu; get the file again, or remove it",
                      size, reading->rows);
}

static enum status png_decode(const uint8_t *bytes, size_t size, bool salvage, const char *path, struct image *image,
                              struct error *err)
{
    struct png_reading reading = {.image = image, .path = path, .err = salvage ? NULL : err};
    struct image_info info;
    enum status status = png_inspect(bytes, size, path, &info, err);
    if (status != STATUS_OK)
        return status;
    reading.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reading, on_error, on_warning);
    reading.info = reading.png ? png_create_info_struct(reading.png) : NULL;
    if (!reading.info) {
        png_destroy_read_struct(&reading.png, NULL, NULL);
        return error_no_memory(err, 0, "a PNG");
    }
    if (setjmp(png_jmpbuf(reading.png)) == 0)
        feed(&reading, bytes, size);
    png_destroy_read_struct(&reading.png, &reading.info, NULL);
    if (salvage && reading.status == STATUS_BAD_DATA)
        return image->pixels ? STATUS_OK
                             : error_set(err, STATUS_BAD_DATA, path, "not a readable PNG: damaged before its pixels");
    return reading.status;
}

const struct image_codec image_codec_png = {.inspect = png_inspect, .decode = png_decode};
