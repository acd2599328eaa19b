/* Data sets of labelled images, behind one interface. Readers:
 *
 *   ImageFolder  train/CLASS/NAME, val/CLASS/..., optionally test/CLASS/... or unlabelled test/NAME
 *   Food-11      training/LABEL_INDEX.jpg, validation/..., optionally evaluation/... (labels may be missing there)
 *   Named files  train/CLASS.NUMBER.jpg (or CLASS_NUMBER, CLASS-NUMBER), optionally val/..., test/... (cats and dogs)
 *   CSV          a file, or the only one in a folder, with the columns path, label and perhaps split
 *   NPZ          an .npz file, or the only one in a folder: x_train, y_train, x_test, ... or train_images, ...
 *   CIFAR-10     binary: data_batch_*.bin, test_batch.bin, optionally batches.meta.txt; Python: data_batch_*,
 *                test_batch, optionally batches.meta
 *   CIFAR-100    binary: train.bin, test.bin, fine_label_names.txt; Python: train, test, meta
 *   IDX          train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz], t10k-... (MNIST, Fashion-MNIST, ...)
 *
 * Folders may have their usual other names, in upper or lower case: training, valid or validation, evaluation, testing
 * or test1; labeled/ or labelled/ may lie below them (unlabeled/ is left out). The published test sets of CIFAR-10 and
 * IDX are SPLIT_VAL, the split that students are evaluated on.
 *
 * To add a reader: write source_NAME.c with a struct image_source_format, declare it in source_reader.h (which has the
 * helpers that readers share), list it in image_source.c and here, and add a case to tests/test_image_source.c. */
#ifndef FORMATS_DATASETS_IMAGE_SOURCE_H
#define FORMATS_DATASETS_IMAGE_SOURCE_H

#include "formats/image/image_file.h"
#include "shared/base/memory.h"
#include "shared/tensor/image.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum split { SPLIT_TRAIN, SPLIT_VAL, SPLIT_TEST, SPLIT_COUNT };
const char *split_name(enum split split); /* "train", "val", "test" */

enum image_encoding {
    IMAGE_JPEG,  /* bytes are a JPEG file */
    IMAGE_RAW,   /* bytes are [h, w, channels] pixels */
    IMAGE_FILES, /* bytes are an image file of any format that is read (image_file.h) */
    IMAGE_ENCODING_COUNT
};

const char *image_encoding_name(enum image_encoding encoding); /* for people: "JPEG", "raw", "image files" */

/* How stored bytes become pixels. */
struct image_coding {
    enum image_encoding encoding;
    int h, w, channels;           /* raw sets; files: 0, 0, 3 */
    struct image_reading reading; /* of files */
};

/* Files of one kind that a folder has, and that are no samples. */
struct left_out {
    const char *kind;   /* ".txt", "HEIC", "hidden" */
    const char *advice; /* what to do about it; NULL: nothing */
    size_t count;
};

/* One sample. Its id is its index in its split: files in byte order of their names (class folder first). */
struct image_sample {
    const char *name; /* path below the data folder as valid UTF-8 (file_name.h), or "train/000123" for raw sets; at
                         most 255 bytes */
    int label;        /* -1: none (unlabelled test sets) */
    enum split from;  /* the split that it was published in, and its place there: what readers find it by */
    size_t place;
};

enum { IMAGE_SOURCE_NOTES = 8 };

struct image_set {
    struct image_sample *samples; /* [count] */
    size_t count, capacity;
};

struct image_source {
    const char *format; /* "ImageFolder", "Food-11", "Named files", "CSV", "NPZ", "CIFAR-10", "CIFAR-100", "IDX" */
    char *path;         /* the data folder */
    const char *const *classes; /* [class_count] names: folder names; for Food-11 the published food names */
    int class_count;
    struct image_set sets[SPLIT_COUNT]; /* an absent split has count 0 */
    enum image_encoding encoding;
    int h, w, channels;        /* raw sets: the size of every image; files: 0, 0, 3 */
    struct left_out *left_out; /* [left_out_count] everything that is in the folder and not in a set */
    size_t left_out_count, left_out_capacity;
    const char *notes[IMAGE_SOURCE_NOTES]; /* [note_count] what was taken for what, where that may surprise */
    int note_count;
    struct arena arena; /* owns names, classes and kinds */
    const struct image_source_format *reader;
    void *state; /* private to the reader */
};

/* A reader. All state is in `source`, so one reader serves any number of sources. */
struct image_source_format {
    const char *name;
    /* A quick check whether this reader is meant to read this folder. False also if a disk that fails or a lack of
     * memory (STATUS_IO, STATUS_INTERNAL) leaves that open; other errors mean no more than false. */
    bool (*recognises)(const char *path, struct error *err);
    /* Lists every sample of source->path. release is called also after a failure. */
    enum status (*open)(struct image_source *source, struct error *err);
    /* Reads the stored bytes of one sample; *bytes is malloc'ed, the caller frees it. Thread-safe. */
    enum status (*read)(const struct image_source *source, const struct image_sample *sample, uint8_t **bytes,
                        size_t *size, struct error *err);
    void (*release)(struct image_source *source); /* frees source->state; NULL if there is none */
};

struct image_source_options {
    const char
        *val_from; /* what to evaluate on if there is no val split: "train:0.1", that share of every class, drawn by
                             the seed; or "test". NULL: such a data set is refused */
    uint64_t seed;
};

/* Recognises the format of the folder, or of the only folder in it that is a data set, and lists it. options may be
 * NULL. A missing or empty folder is STATUS_NO_INPUT; an unrecognised one is STATUS_BAD_DATA, which says what was found
 * and what would do; STATUS_USAGE: options->val_from. After an error, source is released. */
enum status image_source_open(struct image_source *source, const char *path, const struct image_source_options *options,
                              struct error *err);
void image_source_release(struct image_source *source);

enum status image_source_read(const struct image_source *source, enum split split, size_t index, uint8_t **bytes,
                              size_t *size, struct error *err);

/* One line, without a line end: "3 .txt, 1 HEIC (not read: convert to JPEG or PNG), 2 hidden"; "" if nothing is left
 * out. */
void image_source_describe_left_out(const struct image_source *source, char *text, size_t size);

/* Decodes stored bytes. name: for errors. */
enum status image_decode(const struct image_coding *coding, const uint8_t *bytes, size_t size, const char *name,
                         struct image *image, struct error *err);

/* The pre-pass: reads and decodes every sample on `threads` threads (0: all), before hours are spent on a run. */
struct image_scan {
    struct image_problem {
        enum split split;
        size_t index;
        char *reason;
        bool salvaged; /* what could be decoded of it is used */
    } * problems;      /* in order of split and index */
    size_t problem_count, problem_capacity;
    size_t rotated;               /* images with an orientation other than 1 */
    size_t gray, cmyk;            /* converted to RGB */
    size_t alpha;                 /* have transparency, which is dropped */
    size_t deep_gray;             /* have 16 bits of gray, which are clipped to 255 */
    uint64_t total_bytes;         /* stored bytes of all samples */
    uint64_t *sizes[SPLIT_COUNT]; /* [sets[split].count] stored bytes of each sample; NULL for an absent split */
    int max_h, max_w;
    /* SHA-256 over the listing: for each split and sample its name with the zero byte, then "LABEL SIZE SHA-256\n" of
     * its stored bytes. It does not depend on the number of threads. */
    char digest[65];
};
/* progress(context, done, total), which may be NULL, is called from time to time in the calling thread; if it returns
 * false, the scan stops with STATUS_INTERRUPTED. */
enum status image_source_scan(const struct image_source *source, const struct image_reading *reading, int threads,
                              bool (*progress)(void *, size_t, size_t), void *context, struct image_scan *scan,
                              struct error *err);
void image_scan_release(struct image_scan *scan);

#endif
