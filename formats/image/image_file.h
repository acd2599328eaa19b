/* Image files of every format that is read, recognised by their content. Pixels equal Pillow's
 * Image.open(f).convert('RGB') bit for bit (tests/golden/make_image_files.py): grayscale is replicated, 16 bits of gray
 * are clipped to 255 and 16 bits of colour lose their low byte, palettes are looked up, transparency is dropped and not
 * blended, CMYK is converted, an animation is its first frame.
 *
 * JPEG, PNG, BMP and GIF are decoded in the program. WebP and TIFF come from shared objects of ours that are opened
 * when the first such file is met (image_codec.h), so that a program needs libwebp and libtiff only for their files. */
#ifndef FORMATS_IMAGE_IMAGE_FILE_H
#define FORMATS_IMAGE_IMAGE_FILE_H

#include "formats/image/image_format.h"
#include "shared/tensor/image.h"

/* Larger images are refused before memory is allocated for them. */
enum { IMAGE_MAX_PIXELS = 1 << 28 };

struct image_info {
    enum image_format format;
    int h, w;        /* as stored: the orientation is not applied */
    int orientation; /* of EXIF or TIFF, 1..8; 1 if there is none */
    bool gray, cmyk; /* converted to RGB */
    bool alpha;      /* has transparency, which is dropped */
    bool deep_gray;  /* 16 bits of gray, which are clipped to 255 */
};

/* How files are read; zeroed: as Pillow does it by default, refusing what is damaged. */
struct image_reading {
    bool upright; /* the orientation is applied, as Pillow's ImageOps.exif_transpose does */
    bool salvage; /* of a truncated or damaged file, what can be decoded; the rest is black (JPEG: gray), as Pillow does
                     with ImageFile.LOAD_TRUNCATED_IMAGES. For JPEG, PNG and GIF */
};

/* Reads headers only. `path` is for messages only. STATUS_BAD_DATA: no image that is read, or a broken header;
 * STATUS_CONFIG: the shared object for this format is not there. */
enum status image_file_inspect(const uint8_t *bytes, size_t size, const char *path, struct image_info *info,
                               struct error *err);

/* Decodes into *image (owned by the caller, 3 channels). Errors as above. */
enum status image_file_decode(const uint8_t *bytes, size_t size, const struct image_reading *reading, const char *path,
                              struct image *image, struct error *err);

/* Refuses h x w pixels of a file of `size` bytes: none, too many, a side above IMAGE_MAX_SIDE, or far more than any
 * compression makes of so few bytes. STATUS_BAD_DATA. */
enum status image_check_size(int64_t h, int64_t w, size_t size, const char *path, struct error *err);

/* An image of 3 channels, all black, of a checked size. */
enum status image_init_black(struct image *image, int h, int w, struct error *err);

#endif
