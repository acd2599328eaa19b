/* The two stages between stored images and a teacher's answers: prepare images (decode, resize, build the pyramid), and
 * run the teacher on a batch of their views, which its device renders. A batch may hold views of several samples, and
 * several batches may be in flight, each in a buffer of the engine. Results do not depend on the batch size or on
 * threads. */
#ifndef TEACHER_DUMP_VIEW_BATCH_H
#define TEACHER_DUMP_VIEW_BATCH_H

#include "formats/cache/cache_view.h"
#include "formats/cache/prepared_image.h"
#include "teacher_dump/teacher.h"

struct view_request {
    const struct prepared_image *image;
    struct cache_view which;
    /* the other picture of a mixed view (cache_view_mix) */
    struct view_mix mix;
    struct cache_view partner;
    const struct prepared_image *partner_image; /* NULL if nothing is mixed */
};

struct view_batch {
    struct cache_views cache_views;
    struct teacher *teacher; /* borrowed, started */
    int batch;
    bool bgr; /* of the manifest */
    /* what submit passes to the engine */
    struct view *views;          /* [batch] */
    const struct image **levels; /* [batch] */
    int *level_counts;           /* [batch] */
    struct view_mix *mixes;      /* [batch]; NULL if the recipe mixes nothing, like the next three */
    struct view *partner_views;
    const struct image **partner_levels;
    int *partner_level_counts;
};

/* The teacher's answers for a batch: [count, c, h, w] each, shapes as in teacher->shapes. */
struct view_answers {
    const float *outputs[TEACHER_MAX_OUTPUTS];
};

enum status view_batch_init(struct view_batch *views, const struct cache_manifest *manifest, struct teacher *teacher,
                            int batch, struct error *err);
void view_batch_release(struct view_batch *views); /* a zeroed one is allowed */

/* Starts `count` <= batch views in a buffer of the engine; their images are needed only during the call. */
enum status view_batch_submit(struct view_batch *views, int buffer, const struct view_request *requests, int count,
                              struct error *err);
/* Waits for the buffer's batch; the answers are valid until the buffer's next submit. */
enum status view_batch_collect(const struct view_batch *views, int buffer, struct view_answers *answers,
                               struct error *err);
/* Stores answer k of a batch in a shard, as view `view` of its sample `sample`. */
enum status view_batch_store(const struct view_batch *views, const struct view_answers *answers, int k,
                             struct cache_shard *shard, uint32_t sample, int view, struct error *err);

#endif
