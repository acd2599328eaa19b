#define _GNU_SOURCE
#include "tests/helper_images.h"

#include "formats/image/jpeg.h"
#include "shared/base/files.h"
#include "shared/base/random.h"

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

char *temporary_folder(void)
{
    const char *root = getenv("TMPDIR");
    char *path = path_join(root && root[0] ? root : "/tmp", "softcache-test-XXXXXX");
    assert_non_null(path);
    if (!mkdtemp(path))
        fail_msg("cannot create the folder %s", path);
    return path;
}

char *memory_folder(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    return temporary_folder();
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

void remove_folder(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void write_file(const char *folder, const char *name, const void *bytes, size_t size)
{
    struct error err = {0};
    char *path = path_join(folder, name);
    assert_non_null(path);
    char *slash = strrchr(path, '/');
    *slash = 0;
    if (folder_make(path, &err) != STATUS_OK)
        fail_msg("%s: %s", err.path, err.message);
    *slash = '/';
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        fail_msg("cannot write %s", path);
    free(path);
}

void synthetic_photo(struct image *image, int h, int w, int class_index, uint32_t number)
{
    struct error err = {0};
    struct random_stream stream;
    if (image_init(image, h, w, 3, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    random_stream_init(&stream, 7, RANDOM_SHUFFLE, (uint32_t)class_index, number);
    float angle = 0.7f * (float)class_index + 0.2f * random_uniform(&stream);
    float phase = 6.28f * random_uniform(&stream),
          wave = (14.f + 6.f * random_uniform(&stream)) / (float)(h < w ? h : w);
    float blob_x = random_uniform(&stream) * (float)w, blob_y = random_uniform(&stream) * (float)h,
          blob_r = 0.15f * (float)w;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            float stripe = sinf(phase + 2.f * wave * ((float)x * cosf(angle) + (float)y * sinf(angle)));
            float dx = (float)x - blob_x, dy = (float)y - blob_y;
            float blob = dx * dx + dy * dy < blob_r * blob_r ? 60.f : 0.f;
            for (int c = 0; c < 3; c++) {
                float hue = 50.f * cosf(1.9f * (float)class_index + 2.1f * (float)c);
                float noise = 40.f * (random_uniform(&stream) - 0.5f);
                float value = 120.f + hue + 50.f * stripe + blob + noise;
                image->pixels[((size_t)y * (size_t)w + (size_t)x) * 3 + (size_t)c] = (uint8_t)(value < 0.f     ? 0.f
                                                                                               : value > 255.f ? 255.f
                                                                                                               : value);
            }
        }
}

void write_photo(const char *folder, const char *name, int h, int w, int class_index, uint32_t number)
{
    struct image image;
    struct error err = {0};
    uint8_t *bytes;
    size_t size;
    synthetic_photo(&image, h, w, class_index, number);
    if (jpeg_encode(&image, 90, &bytes, &size, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    write_file(folder, name, bytes, size);
    free(bytes);
    image_release(&image);
}

void write_image_folder(const char *folder, const char *split, int classes, int per_class, int h, int w)
{
    uint32_t first = 0; /* the photo numbers of this split depend on its name */
    for (const char *at = split; *at; at++)
        first = first * 31 + (unsigned char)*at;
    for (int c = 0; c < classes; c++)
        for (int i = 0; i < per_class; i++) {
            char name[256];
            snprintf(name, sizeof name, "%s/class_%02d/%04d.jpg", split, c, i);
            write_photo(folder, name, h, w, c, first + (uint32_t)i);
        }
}
