/* What kind of file bytes are, by their content: the name of a file says nothing. */
#ifndef FORMATS_IMAGE_IMAGE_FORMAT_H
#define FORMATS_IMAGE_IMAGE_FORMAT_H

#include "shared/base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum image_format {
    IMAGE_FORMAT_UNKNOWN,
    /* read (image_file.h) */
    IMAGE_FORMAT_JPEG,
    IMAGE_FORMAT_PNG,
    IMAGE_FORMAT_WEBP,
    IMAGE_FORMAT_BMP,
    IMAGE_FORMAT_GIF,
    IMAGE_FORMAT_TIFF,
    /* recognised, so that a message can name it, but not read */
    IMAGE_FORMAT_HEIC,
    IMAGE_FORMAT_AVIF,
    IMAGE_FORMAT_JPEG_XL,
    IMAGE_FORMAT_JPEG_2000,
    IMAGE_FORMAT_RAW_PHOTO, /* a camera's raw format */
    IMAGE_FORMAT_PHOTOSHOP,
    IMAGE_FORMAT_NETPBM,
    IMAGE_FORMAT_VIDEO,
    IMAGE_FORMAT_PDF,
    IMAGE_FORMAT_HTML,
    IMAGE_FORMAT_COUNT
};

enum { IMAGE_FORMAT_BYTES = 64 }; /* so many bytes are enough to recognise any of them */

/* bytes: the first IMAGE_FORMAT_BYTES of a file, or all of a shorter one. */
enum image_format image_format_of(const uint8_t *bytes, size_t size);

/* "JPEG", "PNG", ...; of IMAGE_FORMAT_UNKNOWN "unknown". */
const char *image_format_name(enum image_format format);
bool image_format_is_read(enum image_format format);
extern const char image_formats_read[]; /* "JPEG, PNG, WebP, BMP, GIF and TIFF" */

/* Of a file; IMAGE_FORMAT_UNKNOWN also if it may not be opened or is no regular file. STATUS_IO, STATUS_INTERNAL: a
 * disk that fails must not turn photos into something else. */
enum status image_format_of_file(const char *path, enum image_format *format, struct error *err);

/* Whether a file's name ends as the names of image files that are read do (.jpg, .PNG, ...). */
bool image_format_is_name(const char *name);
/* Whether a file looks like an image that is read, by its name or its content. False also where image_format_of_file
 * fails; err says so. */
bool image_format_is_image(const char *folder, const char *name, struct error *err);

#endif
