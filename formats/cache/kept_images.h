/* Images of a split that were decoded by an earlier run, in a file of their own (FORMAT.md, "Decoded images"): reading
 * them takes a tenth of the time of decoding. The file is never needed, since all that it says follows from the cache:
 * where it does not fit, or is not whole, the caller decodes again. So it is not synchronised to the disk either, and a
 * file that a power failure has cut is one that is not whole.
 *
 * It is published by a rename, and one process writes it at a time; readers of an older file are not disturbed. */
#ifndef FORMATS_CACHE_KEPT_IMAGES_H
#define FORMATS_CACHE_KEPT_IMAGES_H

#include "formats/datasets/image_source.h"
#include "shared/base/digest.h"
#include "shared/tensor/image.h"

/* Which images: everything that they depend on is in the cache. */
struct kept_key {
    const char *cache; /* SHA-256 of cache.json, 64 digits; borrowed */
    enum split split;
    int size; /* of what a network of this side sees of the photos in evaluation; 0: base images */
    uint32_t count;
    int channels;
};

enum { KEPT_NAME_SIZE = 64 };
/* The name of the file: "train-0123456789abcdef.images", "val-224-0123456789abcdef.images". */
void kept_images_name(const struct kept_key *key, char name[KEPT_NAME_SIZE]);

/* ---- reading ---- */
struct kept_images;

/* Opens and checks everything but the pixels. STATUS_NO_INPUT: there is no such file; STATUS_BAD_DATA: it is cut, was
 * changed, or has other images; STATUS_IO. */
enum status kept_images_open(struct kept_images **out, const char *folder, const struct kept_key *key,
                             struct error *err);
void kept_images_close(struct kept_images *kept); /* NULL is allowed */
/* *image = image i, which the caller releases. Thread-safe. STATUS_BAD_DATA if its digest is another one; STATUS_IO. */
enum status kept_images_read(const struct kept_images *kept, uint32_t i, struct image *image, struct error *err);

/* ---- writing ---- */
struct kept_writer;

/* Makes the folder if it is missing. STATUS_LOCKED: another process is writing this file; STATUS_USAGE: the folder
 * belongs to a cache or a run; STATUS_CANT_CREATE. */
enum status kept_writer_open(struct kept_writer **out, const char *folder, const struct kept_key *key,
                             struct error *err);
/* Adds image i; each of them once, in any order. Thread-safe. STATUS_IO: the disk is full, for example. */
enum status kept_writer_add(struct kept_writer *writer, uint32_t i, const struct image *image, struct error *err);
/* Gives the whole file its name. STATUS_IO. */
enum status kept_writer_publish(struct kept_writer *writer, struct error *err);
/* Removes what was not published. NULL is allowed. */
void kept_writer_close(struct kept_writer *writer);

#endif
