/* What other languages call of softcache: libsoftcache_views.so, which the Python package in python/ opens with ctypes.
 * It reads the data sets of a cache, makes its views, pixel for pixel those of both programs, and packs answers for
 * `teacher_dump import`. There is nothing here but calls of shard_table.h, cache_view.h and cache_row.h, so the results
 * are equal by construction.
 *
 * Functions that can fail return a status (shared/base/error.h) and write "path: message" to message[CALL_MESSAGE].
 * Arrays are the caller's. A handle may be used by one thread at a time, images by any number. After fork, a child must
 * not touch a handle of its parent, since it lacks the handle's threads; its images stay valid. */
#ifndef FORMATS_CACHE_CACHE_LIBRARY_H
#define FORMATS_CACHE_CACHE_LIBRARY_H

#include <stddef.h>
#include <stdint.h>

enum { CALL_MESSAGE = 2048, CALL_INTERFACE = 2 };

/* CALL_INTERFACE of this library: raised when a function here changes. */
int softcache_interface(void);

/* ---- what is stored ---- */
struct softcache_cache;
struct softcache_shard;

/* A finished cache: its folder. */
int softcache_cache_open(struct softcache_cache **out, const char *path, char *message);
void softcache_cache_close(struct softcache_cache *cache); /* NULL is allowed */

/* Opens a shard, and checks its size and its table; not its SHA-256. A shard may be used by any number of threads, and
 * after fork; the cache may be closed before it. */
int softcache_shard_open(struct softcache_shard **out, const struct softcache_cache *cache, int split, int shard,
                         char *message);
void softcache_shard_close(struct softcache_shard *shard); /* NULL is allowed */

/* A data set. type: uint8, int8, uint16, int32, uint32, uint64, float16, float32, string from 0 to 8; item: bytes of an
 * element. offset: of its first byte in the shard's file if it is stored in one piece as it is, otherwise -1. */
struct softcache_data {
    int32_t type, item, rank;
    int64_t dims[5], offset;
};
int softcache_shard_data(const struct softcache_shard *shard, const char *name, struct softcache_data *data,
                         char *message);
/* out gets rows[count] of the first dimension, in any order; it is fastest if they increase. */
int softcache_shard_rows(const struct softcache_shard *shard, const char *name, const int64_t *rows, size_t count,
                         void *out, char *message);

/* ---- views ---- */
struct softcache_views;
struct softcache_image;

/* text[size]: a cache.json. side: of the rendered views; 0: the teacher's. threads: 0 means all processors. */
int softcache_views_open(struct softcache_views **out, const char *text, size_t size, int side, int threads,
                         char *message);
void softcache_views_close(struct softcache_views *views); /* NULL is allowed */

/* Prepares stored images (formats/cache/prepared_image.h): bytes[count] and sizes[count] as in the cache, names[count]
 * for messages. images[count] are the caller's to free, also after an error, when those that failed are NULL. */
int softcache_images_make(const struct softcache_views *views, int count, const uint8_t *const *bytes,
                          const size_t *sizes, const char *const *names, struct softcache_image **images,
                          char *message);
void softcache_image_free(struct softcache_image *image); /* NULL is allowed */
/* The base image's pixels[h, w, channels], borrowed; shape[3] gets h, w, channels. */
const uint8_t *softcache_image_base(const struct softcache_image *image, int32_t shape[3]);
size_t softcache_image_bytes(const struct softcache_image *image); /* of its pixels in memory */

/* Which views: for each of `count`, the sample's index in the split, its id, and its view (0 in evaluation splits). */
struct softcache_choice {
    int32_t split; /* 0 train, 1 val, 2 test */
    int32_t count;
    const uint32_t *samples, *ids;
    const int32_t *views;
};

/* How a view is mixed (struct view_mix), and with which sample; its own if nothing is mixed. */
struct softcache_mix {
    int32_t kind, share, x, y, w, h;
    uint32_t partner;
};
int softcache_views_mix(const struct softcache_views *views, const struct softcache_choice *choice,
                        struct softcache_mix *mixes, char *message);
/* pixels[count, side, side, channels]. images[count] of the samples; partner_ids[count] and partners[count] are read
 * where views are mixed only (both NULL if none is). */
int softcache_views_render(const struct softcache_views *views, const struct softcache_choice *choice,
                           const struct softcache_image *const *images, const uint32_t *partner_ids,
                           const struct softcache_image *const *partners, uint8_t *pixels, char *message);
/* The parameters of view k of the choice as one line, as `teacher_dump inspect --views` prints them. */
int softcache_views_describe(const struct softcache_views *views, const struct softcache_choice *choice, int k,
                             const struct softcache_image *image, char *text, size_t size, char *message);

/* ---- answers ---- */
struct softcache_rows;

/* text[size]: an answers.json (answers.h). */
int softcache_rows_open(struct softcache_rows **out, const char *text, size_t size, char *message);
void softcache_rows_close(struct softcache_rows *rows); /* NULL is allowed */
/* Bytes of rows [first, first + count) of a split (cache_row.h). */
size_t softcache_rows_bytes(const struct softcache_rows *rows, int split, uint64_t first, uint64_t count);
/* Packs rows [first, first + count): logits[count, classes]; values[i] of feature i, [count, shapes[3 i], ...], as the
 * teacher gave it, before it takes the feature's form. Rows of views that lack a feature are there too, and are not
 * read. out[softcache_rows_bytes]. */
int softcache_rows_pack(struct softcache_rows *rows, int split, uint64_t first, int count, const float *logits,
                        const float *const *values, const int32_t *shapes, uint8_t *out, char *message);

#endif
