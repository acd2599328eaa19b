/* Data sets of labelled images, behind one interface. Readers:
 *
 *   ImageFolder  train/CLASS/NAME.jpg, val/CLASS/..., optionally test/CLASS/... or unlabelled test/NAME.jpg
 *   Food-11      training/LABEL_INDEX.jpg, validation/..., optionally evaluation/... (labels may be missing there)
 *   CIFAR-10     data_batch_*.bin, test_batch.bin, optionally batches.meta.txt
 *   IDX          train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz], t10k-... (MNIST, Fashion-MNIST, ...)
 *
 * Folders may have their usual other names: training, valid or validation, evaluation or testing. The published test
 * sets of CIFAR-10 and IDX are SPLIT_VAL, the split that students are evaluated on.
 *
 * To add a reader: write source_NAME.c with a struct image_source_format, declare it in source_reader.h (which has the
 * helpers that readers share), list it in image_source.c and here, and add a case to tests/test_image_source.c. */
#ifndef FORMATS_DATASETS_IMAGE_SOURCE_H
#define FORMATS_DATASETS_IMAGE_SOURCE_H

#include "shared/base/memory.h"
#include "shared/tensor/image.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum split { SPLIT_TRAIN, SPLIT_VAL, SPLIT_TEST, SPLIT_COUNT };
const char *split_name(enum split split); /* "train", "val", "test" */

enum image_encoding {
    IMAGE_JPEG, /* bytes are a JPEG file */
    IMAGE_RAW,  /* bytes are [h, w, channels] pixels */
};

/* One sample. Its id is its index in its split: files in byte order of their names (class folder first). */
struct image_sample {
    const char *name; /* path relative to the data folder, or "train/000123" for raw sets; at most 255 bytes */
    int label;        /* -1: none (unlabelled test sets) */
};

struct image_set {
    struct image_sample *samples; /* [count] */
    size_t count, capacity;
};

struct image_source {
    const char *format;         /* "ImageFolder", "Food-11", "CIFAR-10", "IDX" */
    char *path;                 /* the data folder */
    const char *const *classes; /* [class_count] names: folder names; for Food-11 the published food names */
    int class_count;
    struct image_set sets[SPLIT_COUNT]; /* an absent split has count 0 */
    enum image_encoding encoding;
    int h, w, channels; /* raw sets: the size of every image; JPEG: 0, 0, 3 */
    size_t ignored;     /* files that were skipped: their extension is not that of a JPEG */
    struct arena arena; /* owns names and classes */
    const struct image_source_format *reader;
    void *state; /* private to the reader */
};

/* A reader. All state is in `source`, so one reader serves any number of sources. */
struct image_source_format {
    const char *name;
    /* A quick check whether this reader is meant to read this folder. */
    bool (*recognises)(const char *path);
    /* Lists every sample of source->path. release is called also after a failure. */
    enum status (*open)(struct image_source *source, struct error *err);
    /* Reads the stored bytes of one sample; *bytes is malloc'ed, the caller frees it. Thread-safe. */
    enum status (*read)(const struct image_source *source, enum split split, size_t index, uint8_t **bytes,
                        size_t *size, struct error *err);
    void (*release)(struct image_source *source); /* frees source->state; NULL if there is none */
};

/* Recognises the folder's format and lists it. A missing or empty folder is STATUS_NO_INPUT, an unrecognised one
 * STATUS_BAD_DATA, which lists the layouts that can be read; after both, source is released. */
enum status image_source_open(struct image_source *source, const char *path, struct error *err);
void image_source_release(struct image_source *source);

enum status image_source_read(const struct image_source *source, enum split split, size_t index, uint8_t **bytes,
                              size_t *size, struct error *err);

/* Decodes stored bytes of a set with this encoding, size and channel count (raw: h, w, channels of the set). */
enum status image_decode(enum image_encoding encoding, int h, int w, int channels, const uint8_t *bytes, size_t size,
                         const char *name, struct image *image, struct error *err);

/* The pre-pass: reads and decodes every sample on `threads` threads (0: all), before hours are spent on a run. */
struct image_scan {
    struct image_problem {
        enum split split;
        size_t index;
        char *reason;
    } * problems; /* in order of split and index */
    size_t problem_count, problem_capacity;
    size_t rotated;               /* images with an EXIF orientation other than 1, which is ignored, as in PIL */
    size_t gray, cmyk;            /* converted to RGB */
    uint64_t total_bytes;         /* stored bytes of all samples */
    uint64_t *sizes[SPLIT_COUNT]; /* [sets[split].count] stored bytes of each sample; NULL for an absent split */
    int max_h, max_w;
    /* SHA-256 over the listing: for each split and sample its name with the zero byte, then "LABEL SIZE SHA-256\n" of
     * its stored bytes. It does not depend on the number of threads. */
    char digest[65];
};
/* progress(context, done, total), which may be NULL, is called from time to time in the calling thread; if it returns
 * false, the scan stops with STATUS_INTERRUPTED. */
enum status image_source_scan(const struct image_source *source, int threads, bool (*progress)(void *, size_t, size_t),
                              void *context, struct image_scan *scan, struct error *err);
void image_scan_release(struct image_scan *scan);

#endif
