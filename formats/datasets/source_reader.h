/* What the readers of data sets share; for source_*.c and image_source.c only. */
#ifndef FORMATS_DATASETS_SOURCE_READER_H
#define FORMATS_DATASETS_SOURCE_READER_H

#include "formats/datasets/image_source.h"
#include "shared/base/files.h"

extern const struct image_source_format source_imagefolder;
extern const struct image_source_format source_food11;
extern const struct image_source_format source_named;
extern const struct image_source_format source_csv;
extern const struct image_source_format source_npz;
extern const struct image_source_format source_cifar;
extern const struct image_source_format source_idx;

enum {
    SOURCE_MAX_NAME = 255,            /* bytes of a sample's name: the cache has 256, with the zero byte */
    SOURCE_MAX_CLASSES = 65535,       /* the cache stores class numbers in 16 bits */
    SOURCE_MAX_IMAGE_BYTES = 1 << 26, /* of one image file */
};

/* Appends a sample; the name, as on the disk, is escaped and copied. STATUS_BAD_DATA if it is too long. */
enum status source_add(struct image_source *source, enum split split, const char *name, int label, struct error *err);

/* Appends count samples of a raw set, named "train/000000", ...; their labels are labels[i * stride]. */
enum status source_add_raw(struct image_source *source, enum split split, size_t count, const uint8_t *labels,
                           size_t stride, struct error *err);

/* Adds the samples of one split, which are in `folder` of the data folder. */
typedef enum status source_add_split(struct image_source *source, enum split split, const char *folder,
                                     struct error *err);
/* For data sets of image files: add_split for every split that has a folder; what else there is is left out. */
enum status source_add_splits(struct image_source *source, source_add_split *add_split, struct error *err);

/* The reader of image files: source->path + "/" + the sample's name. */
enum status source_read_file(const struct image_source *source, const struct image_sample *sample, uint8_t **bytes,
                             size_t *size, struct error *err);

/* ---- files (source_files.c) ---- */

/* Decides whether file `name` of `folder` is a sample, and counts it as left out if not. It is one if its content is
 * an image that is read, whatever its name, or if it has the name of an image: then the scan says what is wrong with
 * it. */
enum status source_take_file(struct image_source *source, const char *folder, const char *name, bool *taken,
                             struct error *err);
/* folder_list, which counts hidden files as left out. */
enum status source_list(struct image_source *source, const char *folder, struct folder_entry **entries, size_t *count,
                        struct error *err);
/* Counts `count` files of a kind as left out; advice is not copied. */
enum status source_leave_out(struct image_source *source, const char *kind, const char *advice, size_t count,
                             struct error *err);
/* Counts as left out what lies in the data folder itself and has none of the names in use (NULL: no name). */
enum status source_leave_out_rest(struct image_source *source, const char *const *used, size_t used_count,
                                  struct error *err);

/* The folder of a split, by any of its usual names in upper or lower case, as it is called on the disk; "" if there is
 * none. STATUS_BAD_DATA if there are two, because one would be ignored. */
enum { SOURCE_FOLDER_NAME = 300 };
enum status source_split_folder(const char *path, enum split split, char name[SOURCE_FOLDER_NAME], struct error *err);

/* Takes a note for the user; after IMAGE_SOURCE_NOTES of them, nothing. */
enum status source_note(struct image_source *source, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Makes the val split of a data set that has none, as options->val_from says (source_validation.c). */
enum status source_make_validation(struct image_source *source, const struct image_source_options *options,
                                   struct error *err);

#endif
