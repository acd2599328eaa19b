#define _POSIX_C_SOURCE 200809L
#include "formats/image/image_format.h"

#include "shared/base/file_calls.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

const char image_formats_read[] = "JPEG, PNG, WebP, BMP, GIF and TIFF";

/* Bytes that a file of a format has at a place. */
static const struct {
    enum image_format format;
    int at;
    const char *bytes;
    int length;
} marks[] = {
    {IMAGE_FORMAT_JPEG, 0, "\xFF\xD8\xFF", 3},
    {IMAGE_FORMAT_PNG, 0, "\x89PNG\r\n\x1A\n", 8},
    {IMAGE_FORMAT_GIF, 0, "GIF87a", 6},
    {IMAGE_FORMAT_GIF, 0, "GIF89a", 6},
    {IMAGE_FORMAT_RAW_PHOTO, 8, "CR\x02", 3}, /* Canon; before TIFF, which it is a form of */
    {IMAGE_FORMAT_TIFF, 0, "II*\0", 4},
    {IMAGE_FORMAT_TIFF, 0, "MM\0*", 4},
    {IMAGE_FORMAT_TIFF, 0, "II+\0", 4}, /* offsets of 64 bits */
    {IMAGE_FORMAT_TIFF, 0, "MM\0+", 4},
    {IMAGE_FORMAT_RAW_PHOTO, 0, "FUJIFILMCCD-RAW", 15},
    {IMAGE_FORMAT_RAW_PHOTO, 0, "IIRO", 4},  /* Olympus */
    {IMAGE_FORMAT_RAW_PHOTO, 0, "IIU\0", 4}, /* Panasonic */
    {IMAGE_FORMAT_RAW_PHOTO, 4, "ftypcrx ", 8},
    {IMAGE_FORMAT_AVIF, 4, "ftypavi", 7},
    {IMAGE_FORMAT_HEIC, 4, "ftyphei", 7},
    {IMAGE_FORMAT_HEIC, 4, "ftyphev", 7},
    {IMAGE_FORMAT_HEIC, 4, "ftypmif1", 8},
    {IMAGE_FORMAT_HEIC, 4, "ftypmsf1", 8},
    {IMAGE_FORMAT_VIDEO, 4, "ftyp", 4},
    {IMAGE_FORMAT_VIDEO, 0, "\x1A\x45\xDF\xA3", 4}, /* Matroska, WebM */
    {IMAGE_FORMAT_JPEG_XL, 0, "\xFF\x0A", 2},
    {IMAGE_FORMAT_JPEG_XL, 0, "\0\0\0\x0CJXL \r\n\x87\n", 12},
    {IMAGE_FORMAT_JPEG_2000, 0, "\0\0\0\x0CjP  \r\n\x87\n", 12},
    {IMAGE_FORMAT_JPEG_2000, 0, "\xFF\x4F\xFF\x51", 4},
    {IMAGE_FORMAT_PHOTOSHOP, 0, "8BPS", 4},
    {IMAGE_FORMAT_PDF, 0, "%PDF-", 5},
    {IMAGE_FORMAT_HTML, 0, "<!DOCTYPE html", 14},
    {IMAGE_FORMAT_HTML, 0, "<!doctype html", 14},
    {IMAGE_FORMAT_HTML, 0, "<html", 5},
};

/* "BM" alone would make images of texts: the header's size, which follows, has seven usual values. */
static bool is_bmp(const uint8_t *bytes, size_t size)
{
    static const uint8_t header_sizes[] = {12, 40, 52, 56, 64, 108, 124};
    return size >= 26 && bytes[0] == 'B' && bytes[1] == 'M' && memchr(header_sizes, bytes[14], sizeof header_sizes) &&
           bytes[15] == 0 && bytes[16] == 0 && bytes[17] == 0;
}

static bool is_netpbm(const uint8_t *bytes, size_t size)
{
    return size >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '7' && memchr(" \t\r\n", bytes[2], 4);
}

enum image_format image_format_of(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const size_t at = (size_t)marks[i].at, length = (size_t)marks[i].length;
        if (size >= at + length && memcmp(bytes + at, marks[i].bytes, length) == 0)
            return marks[i].format;
    }
    if (size >= 16 && memcmp(bytes, "RIFF", 4) == 0)
        return memcmp(bytes + 8, "WEBP", 4) == 0   ? IMAGE_FORMAT_WEBP
               : memcmp(bytes + 8, "AVI ", 4) == 0 ? IMAGE_FORMAT_VIDEO
                                                   : IMAGE_FORMAT_UNKNOWN;
    return is_bmp(bytes, size) ? IMAGE_FORMAT_BMP : is_netpbm(bytes, size) ? IMAGE_FORMAT_NETPBM : IMAGE_FORMAT_UNKNOWN;
}

/* What the files of another user are is not known, and that is no failure. */
static enum status look_failed(const char *path, struct error *err)
{
    struct error failed = {0};
    const enum status status = file_call_failed(&failed, STATUS_NO_INPUT, path, "cannot be looked at");
    return status == STATUS_NO_INPUT ? STATUS_OK : error_pass(err, &failed);
}

enum status image_format_of_file(const char *path, enum image_format *format, struct error *err)
{
    uint8_t bytes[IMAGE_FORMAT_BYTES];
    struct stat info;
    ssize_t size = 0;
    *format = IMAGE_FORMAT_UNKNOWN;
    const int file = file_call_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0); /* opening a pipe must not block */
    if (file < 0)
        return look_failed(path, err);
    enum status status = STATUS_OK;
    if (RETRY(fstat(file, &info)) != 0)
        status = look_failed(path, err);
    else if (S_ISREG(info.st_mode) && (size = RETRY(read(file, bytes, sizeof bytes))) < 0)
        status = look_failed(path, err);
    close(file);
    *format = image_format_of(bytes, size > 0 ? (size_t)size : 0);
    return status;
}

const char *image_format_name(enum image_format format)
{
    static const char *const names[IMAGE_FORMAT_COUNT] = {
        [IMAGE_FORMAT_UNKNOWN] = "unknown",
        [IMAGE_FORMAT_JPEG] = "JPEG",
        [IMAGE_FORMAT_PNG] = "PNG",
        [IMAGE_FORMAT_WEBP] = "WebP",
        [IMAGE_FORMAT_BMP] = "BMP",
        [IMAGE_FORMAT_GIF] = "GIF",
        [IMAGE_FORMAT_TIFF] = "TIFF",
        [IMAGE_FORMAT_HEIC] = "HEIC",
        [IMAGE_FORMAT_AVIF] = "AVIF",
        [IMAGE_FORMAT_JPEG_XL] = "JPEG XL",
        [IMAGE_FORMAT_JPEG_2000] = "JPEG 2000",
        [IMAGE_FORMAT_RAW_PHOTO] = "camera raw",
        [IMAGE_FORMAT_PHOTOSHOP] = "Photoshop",
        [IMAGE_FORMAT_NETPBM] = "PBM/PGM/PPM",
        [IMAGE_FORMAT_VIDEO] = "video",
        [IMAGE_FORMAT_PDF] = "PDF",
        [IMAGE_FORMAT_HTML] = "HTML",
    };
    return names[format];
}

bool image_format_is_read(enum image_format format)
{
    return format >= IMAGE_FORMAT_JPEG && format <= IMAGE_FORMAT_TIFF;
}

bool image_format_is_name(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".jpe",  ".jfif", ".png", ".apng",
                                          ".gif", ".bmp",  ".webp", ".tif",  ".tiff"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

bool image_format_is_image(const char *folder, const char *name, struct error *err)
{
    enum image_format format = IMAGE_FORMAT_UNKNOWN;
    if (image_format_is_name(name))
        return true;
    char *path = path_join(folder, name);
    if (path)
        image_format_of_file(path, &format, err);
    else
        error_no_memory(err, strlen(name), "a path");
    free(path);
    return image_format_is_read(format);
}
