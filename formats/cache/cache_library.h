/* What other languages call of softcache: libsoftcache_views.so, which the Python package in python/ opens with ctypes.
 * It makes the views of a cache, pixel for pixel those of both programs, and packs answers for `teacher_dump import`.
 * There is nothing here but calls of cache_view.h and cache_row.h, so the results are equal by construction.
 *
 * Functions that can fail return a status (shared/base/error.h) and write "path: message" to message[CALL_MESSAGE].
 * Arrays are the caller's. A handle may be used by one thread at a time, images by any number. After fork, a child must
 * not touch a handle of its parent, since it lacks the handle's threads; its images stay valid. */
#ifndef FORMATS_CACHE_CACHE_LIBRARY_H
#define FORMATS_CACHE_CACHE_LIBRARY_H

#include <stddef.h>
#include <stdint.h>

enum { CALL_MESSAGE = 2048, CALL_INTERFACE = 1 };

/* CALL_INTERFACE of this library: raised when a function here changes. */
int softcache_interface(void);

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
