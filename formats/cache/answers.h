/* Answers of a teacher that another program ran, as a folder that `teacher_dump import` makes a cache of (FORMAT.md,
 * "Answers from elsewhere"). The Python package in python/ writes such folders.
 *
 *     answers.json           which photos and views the answers are for, and what they are
 *     train-0000000640.rows  the answers to some consecutive views (cache_row.h)
 *
 * Everything in it is checked before it is used: answers_open (the text, and the heads of the files), answers_check
 * (that they are for this cache, and that no view lacks an answer or has two), answers_digest (every byte). */
#ifndef FORMATS_CACHE_ANSWERS_H
#define FORMATS_CACHE_ANSWERS_H

#include "formats/cache/cache.h"

enum {
    ANSWERS_FORMAT_VERSION = 1,
    ANSWERS_HEAD_LIMIT = 4096,                  /* bytes of a file's head, with its newline */
    ANSWERS_FILE_LIMIT = 2 * CACHE_SHARD_LIMIT, /* bytes of a file */
};

/* The answers to views [first, first + count) of a split, counted as in cache_row.h. */
struct answers_file {
    char *name; /* in the folder */
    enum split split;
    uint64_t first, count;
    size_t head, bytes; /* of the head and of what follows */
    char digest[65];    /* of what follows */
};

struct answers {
    char *path;
    char digest[65];                /* of answers.json: the files belong to it */
    struct cache_manifest manifest; /* of the cache that the answers are for, without splits; teacher and outputs are
                                       those of the answers */
    struct answers_file *files;     /* [file_count] in the order of split and first */
    int file_count;
};

/* STATUS_NO_INPUT, STATUS_BAD_DATA, STATUS_CONFIG (format version, belongs to other answers). */
enum status answers_open(struct answers *answers, const char *path, struct error *err);
void answers_release(struct answers *answers); /* a zeroed one is allowed */

/* Checks that they were made for the photos and views of this cache, and that they answer every view once.
 * STATUS_CONFIG names the field that differs; STATUS_BAD_DATA the views without an answer. */
enum status answers_check(const struct answers *answers, const struct cache_manifest *photos, struct error *err);

/* The rows of file `index`: *bytes is malloc'ed, and *rows, which points into it, has files[index].bytes bytes.
 * STATUS_BAD_DATA: damaged. */
enum status answers_read(const struct answers *answers, int index, unsigned char **bytes, const uint8_t **rows,
                         struct error *err);

/* The parts of answers_open, for tests with hostile bytes. *manifest must be zeroed; the caller releases its arena. */
enum status answers_parse(struct cache_manifest *manifest, const char *text, size_t size, const char *path,
                          struct error *err);
/* bytes[size]: the beginning of a file, which has file_size bytes in all. Fills *file except its name. */
enum status answers_parse_head(const struct cache_manifest *manifest, const char digest[65], const char *bytes,
                               size_t size, size_t file_size, const char *path, struct answers_file *file,
                               struct error *err);

#endif
