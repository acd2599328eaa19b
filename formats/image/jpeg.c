#include "formats/image/jpeg.h"

#include "formats/image/exif.h"
#include "formats/image/image_codec.h"
#include "shared/base/memory.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

/* libjpeg reports an error by calling error_exit, which must not return: it jumps back to the function that called
 * libjpeg. */
struct failure {
    struct jpeg_error_mgr manager;
    jmp_buf escape;
    const char *path;
    struct error *err;
    enum status status;
};

struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct failure failure;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    size_t size;
    bool salvage;
};

static struct decoder *decoder_of(j_common_ptr common)
{
    return (struct decoder *)((char *)common - offsetof(struct decoder, jpeg));
}

/* libjpeg's text for its current message, with its first letter in lower case. */
static void format_message(j_common_ptr common, char text[JMSG_LENGTH_MAX])
{
    common->err->format_message(common, text);
    if (!isupper((unsigned char)text[1]))
        text[0] = (char)tolower((unsigned char)text[0]);
}

_Noreturn static void fail(struct failure *failure, enum status status)
{
    failure->status = status;
    longjmp(failure->escape, 1);
}

static void on_error(j_common_ptr common)
{
    struct failure *failure = (struct failure *)common->err;
    char text[JMSG_LENGTH_MAX];
    format_message(common, text);
    if (common->err->msg_code == JERR_OUT_OF_MEMORY)
        fail(failure, error_set(failure->err, STATUS_INTERNAL, failure->path, "%s", text));
    if (!common->is_decompressor)
        fail(failure, error_set(failure->err, STATUS_INTERNAL, failure->path, "cannot encode a JPEG: %s", text));
    struct decoder *decoder = decoder_of(common);
    fail(failure, error_set(failure->err, STATUS_BAD_DATA, failure->path, "not a readable JPEG: %s (near byte %zu)",
                            text, decoder->size - decoder->source.bytes_in_buffer));
}

/* Warnings about things that do not change the pixels. */
static bool is_harmless(int message)
{
    switch (message) {
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_ICC:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL:
    case JWRN_TOO_MUCH_DATA:
        return true;
    default:
        return false;
    }
}

static void on_message(j_common_ptr common, int level)
{
    if (level < 0 && !is_harmless(common->err->msg_code) && !(common->is_decompressor && decoder_of(common)->salvage))
        on_error(common);
}

static void ignore_message(j_common_ptr common)
{
    (void)common;
}

static void failure_init(struct failure *failure, const char *path, struct error *err)
{
    jpeg_std_error(&failure->manager);
    failure->manager.error_exit = on_error;
    failure->manager.emit_message = on_message;
    failure->manager.output_message = ignore_message;
    failure->path = path;
    failure->err = err;
}

static void init_source(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

/* All bytes were given at the start: if libjpeg needs more, the file is too short. When salvaging, they end with a mark
 * for the end of the image; what needs still more is given up. */
static boolean on_end_of_data(j_decompress_ptr jpeg)
{
    struct decoder *decoder = decoder_of((j_common_ptr)jpeg);
    struct failure *failure = &decoder->failure;
    if (decoder->salvage)
        return FALSE;
    fail(failure,
         error_set(failure->err, STATUS_BAD_DATA, failure->path,
                   "truncated JPEG: the data ends after %zu bytes; get the file again, or remove it", decoder->size));
}

static void skip_source(j_decompress_ptr jpeg, long count)
{
    if (count <= 0)
        return;
    if ((size_t)count > jpeg->src->bytes_in_buffer) {
        on_end_of_data(jpeg);
        count = (long)jpeg->src->bytes_in_buffer;
    }
    jpeg->src->next_input_byte += count;
    jpeg->src->bytes_in_buffer -= (size_t)count;
}

static void check_scans(j_common_ptr common)
{
    struct decoder *decoder = decoder_of(common);
    struct failure *failure = &decoder->failure;
    if (decoder->jpeg.input_scan_number > JPEG_MAX_SCANS)
        fail(failure,
             error_set(failure->err, STATUS_BAD_DATA, failure->path, "has more than %d scans", JPEG_MAX_SCANS));
    const uint64_t pixels = (uint64_t)decoder->jpeg.image_width * decoder->jpeg.image_height;
    if (pixels * (uint64_t)decoder->jpeg.input_scan_number >
        JPEG_SCAN_PIXELS + (uint64_t)decoder->size * JPEG_SCAN_PIXELS_A_BYTE)
        fail(failure,
             error_set(failure->err, STATUS_BAD_DATA, failure->path,
                       "has %d scans or more of %llu pixels in %zu bytes, as no photo has: save it again, or remove it",
                       decoder->jpeg.input_scan_number, (unsigned long long)pixels, decoder->size));
}

/* Must follow setjmp(decoder->failure.escape). */
static void decoder_start(struct decoder *decoder, const uint8_t *bytes, size_t size)
{
    decoder->size = size;
    decoder->jpeg.err = &decoder->failure.manager;
    jpeg_create_decompress(&decoder->jpeg);
    decoder->source = (struct jpeg_source_mgr){.next_input_byte = bytes,
                                               .bytes_in_buffer = size,
                                               .init_source = init_source,
                                               .fill_input_buffer = on_end_of_data,
                                               .skip_input_data = skip_source,
                                               .resync_to_restart = jpeg_resync_to_restart,
                                               .term_source = init_source};
    decoder->jpeg.src = &decoder->source;
    decoder->progress.progress_monitor = check_scans;
    decoder->jpeg.progress = &decoder->progress;
}

static void read_header(struct decoder *decoder)
{
    struct failure *failure = &decoder->failure;
    if (jpeg_read_header(&decoder->jpeg, TRUE) == JPEG_SUSPENDED)
        fail(failure, error_set(failure->err, STATUS_BAD_DATA, failure->path,
                                "truncated JPEG: the data ends in the header; get the file again, or remove it"));
    int components = decoder->jpeg.num_components;
    if (components != 1 && components != 3 && components != 4)
        fail(failure, error_set(failure->err, STATUS_BAD_DATA, failure->path,
                                "has %d colour components; only 1, 3 and 4 are supported", components));
    enum status status = image_check_size(decoder->jpeg.image_height, decoder->jpeg.image_width, decoder->size,
                                          failure->path, failure->err);
    if (status != STATUS_OK)
        fail(failure, status);
}

static int orientation_of(const struct jpeg_decompress_struct *jpeg)
{
    static const char mark[6] = "Exif\0";
    for (jpeg_saved_marker_ptr marker = jpeg->marker_list; marker; marker = marker->next)
        if (marker->data_length > sizeof mark && memcmp(marker->data, mark, sizeof mark) == 0)
            return exif_orientation(marker->data, marker->data_length);
    return 1;
}

static enum status jpeg_inspect(const uint8_t *bytes, size_t size, const char *path, struct image_info *info,
                                struct error *err)
{
    enum { APP1_LIMIT = 0xFFFF };
    struct decoder decoder = {0};
    failure_init(&decoder.failure, path, err);
    if (setjmp(decoder.failure.escape)) {
        jpeg_destroy_decompress(&decoder.jpeg);
        return decoder.failure.status;
    }
    decoder_start(&decoder, bytes, size);
    jpeg_save_markers(&decoder.jpeg, JPEG_APP0 + 1, APP1_LIMIT);
    read_header(&decoder);
    info->h = (int)decoder.jpeg.image_height;
    info->w = (int)decoder.jpeg.image_width;
    info->gray = decoder.jpeg.num_components == 1;
    info->cmyk = decoder.jpeg.num_components == 4;
    info->orientation = orientation_of(&decoder.jpeg);
    jpeg_destroy_decompress(&decoder.jpeg);
    return STATUS_OK;
}

/* Pillow's cmyk2rgb (Convert.c) on inverted samples: Pillow takes every CMYK JPEG to be inverted, as Adobe's are. */
static void convert_cmyk_row(const uint8_t *cmyk, uint8_t *rgb, int w)
{
    for (int x = 0; x < w; x++, cmyk += 4, rgb += 3)
        for (int c = 0; c < 3; c++) {
            int key = cmyk[3]; /* 255 - K */
            int product = (255 - cmyk[c]) * key + 128;
            rgb[c] = (uint8_t)(key - (((product >> 8) + product) >> 8));
        }
}

/* Rows that a file does not have any more stay as they are. */
static void read_rows(struct decoder *decoder, struct image *image)
{
    j_decompress_ptr jpeg = &decoder->jpeg;
    size_t stride = (size_t)image->w * 3;
    bool cmyk = jpeg->out_color_space == JCS_CMYK;
    JSAMPARRAY row = NULL; /* [1][w * 4] */
    if (cmyk)
        row = jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE, (JDIMENSION)image->w * 4, 1);
    for (int y = 0; y < image->h; y++) {
        JSAMPROW target = image->pixels + (size_t)y * stride;
        if (jpeg_read_scanlines(jpeg, cmyk ? row : &target, 1) == 0)
            return;
        if (cmyk)
            convert_cmyk_row(row[0], target, image->w);
    }
}

/* Must follow setjmp. */
static void decompress(struct decoder *decoder, struct image *image)
{
    struct failure *failure = &decoder->failure;
    j_decompress_ptr jpeg = &decoder->jpeg;
    read_header(decoder);
    jpeg->out_color_space = jpeg->num_components == 4 ? JCS_CMYK : JCS_RGB;
    jpeg->dct_method = JDCT_ISLOW;
    jpeg->do_fancy_upsampling = TRUE;
    enum status status = image_init(image, (int)jpeg->image_height, (int)jpeg->image_width, 3, failure->err);
    if (status != STATUS_OK)
        fail(failure, status);
    if (decoder->salvage) /* Pillow's zeros; in CMYK they are white */
        memset(image->pixels, jpeg->num_components == 4 ? 255 : 0, (size_t)image->h * (size_t)image->w * 3);
    if (!jpeg_start_decompress(jpeg))
        return;
    read_rows(decoder, image);
    jpeg_finish_decompress(jpeg);
}

static enum status decode_bytes(struct decoder *decoder, const uint8_t *bytes, size_t size, const char *path,
                                struct image *image, struct error *err)
{
    failure_init(&decoder->failure, path, err);
    if (setjmp(decoder->failure.escape)) {
        jpeg_destroy_decompress(&decoder->jpeg);
        if (decoder->salvage && image->pixels)
            return STATUS_OK;
        image_release(image);
        return decoder->failure.status;
    }
    decoder_start(decoder, bytes, size);
    decompress(decoder, image);
    jpeg_destroy_decompress(&decoder->jpeg);
    return STATUS_OK;
}

static enum status jpeg_decode(const uint8_t *bytes, size_t size, bool salvage, const char *path, struct image *image,
                               struct error *err)
{
    struct decoder decoder = {.salvage = salvage};
    *image = (struct image){0};
    if (!salvage)
        return decode_bytes(&decoder, bytes, size, path, image, err);
    /* With a mark for the end behind the bytes, libjpeg makes up what is missing. */
    uint8_t *ended = malloc(size + 2);
    if (!ended)
        return error_no_memory(err, size + 2, "a JPEG");
    memcpy(ended, bytes, size);
    memcpy(ended + size, "\xFF\xD9", 2);
    enum status status = decode_bytes(&decoder, ended, size + 2, path, image, err);
    free(ended);
    return status;
}

const struct image_codec image_codec_jpeg = {.inspect = jpeg_inspect, .decode = jpeg_decode};

/* Must follow setjmp. */
static void compress(struct jpeg_compress_struct *jpeg, const struct image *image, int quality, uint8_t **bytes,
                     unsigned long *size)
{
    jpeg_create_compress(jpeg);
    jpeg_mem_dest(jpeg, bytes, size);
    jpeg->image_width = (JDIMENSION)image->w;
    jpeg->image_height = (JDIMENSION)image->h;
    jpeg->input_components = image->channels;
    jpeg->in_color_space = image->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, quality, TRUE);
    jpeg_start_compress(jpeg, TRUE);
    for (int y = 0; y < image->h; y++) {
        JSAMPROW row = image->pixels + (size_t)y * (size_t)image->w * (size_t)image->channels;
        jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
}

enum status jpeg_encode(const struct image *image, int quality, uint8_t **bytes, size_t *size, struct error *err)
{
    struct jpeg_compress_struct jpeg = {0};
    struct failure failure = {0};
    /* Large enough for nearly every image; otherwise libjpeg allocates another block. */
    unsigned long capacity = 4096 + 2ul * (unsigned long)image->h * (unsigned long)image->w, used = capacity;
    uint8_t *const first = malloc(capacity);
    uint8_t *encoded = first;
    *bytes = NULL;
    *size = 0;
    if (!first)
        return error_no_memory(err, capacity, "a JPEG");
    failure_init(&failure, NULL, err);
    jpeg.err = &failure.manager;
    if (setjmp(failure.escape)) {
        jpeg_destroy_compress(&jpeg);
        free(first);
        return failure.status;
    }
    compress(&jpeg, image, quality, &encoded, &used);
    jpeg_destroy_compress(&jpeg);
    if (encoded != first)
        free(first);
    *bytes = encoded;
    *size = used;
    return STATUS_OK;
}
