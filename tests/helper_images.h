/* Test sets: temporary folders and synthetic photos, the same bytes on every run. Failures are cmocka failures. */
#ifndef TESTS_HELPER_IMAGES_H
#define TESTS_HELPER_IMAGES_H

#include "shared/tensor/image.h"
#include <stddef.h>
#include <stdint.h>

/* The path of a new empty folder, owned by the caller. remove_folder removes the folder but does not free the string.
 */
char *temporary_folder(void);
/* The same in memory where that is possible: for tests that synchronise hundreds of files. TMPDIR wins. */
char *memory_folder(void);
/* Removes a file, or a folder with its content. Links are not followed. */
void remove_folder(const char *path);

/* Writes bytes to folder/name; makes the folders of name as needed. */
void write_file(const char *folder, const char *name, const void *bytes, size_t size);

/* A "photo": colour and stripe direction depend on the class; phase, blobs and noise depend on `number`. The caller
 * releases it. */
void synthetic_photo(struct image *image, int h, int w, int class_index, uint32_t number);
/* Writes synthetic_photo as a JPEG to folder/name. */
void write_photo(const char *folder, const char *name, int h, int w, int class_index, uint32_t number);

/* Writes folder/split/class_<c>/<i>.jpg, per_class photos of h x w for each of `classes` classes ("class_00",
 * "0000.jpg"). split is "train", "val", "test" or another relative path; different splits have different photos. */
void write_image_folder(const char *folder, const char *split, int classes, int per_class, int h, int w);

#endif
