/* Runs the teacher of a cache again on random views and compares its answers with those that the cache holds. */
#ifndef TEACHER_DUMP_RECHECK_H
#define TEACHER_DUMP_RECHECK_H

#include "shared/base/progress.h"
#include "teacher_dump/recheck_partners.h"
#include "teacher_dump/view_batch.h"

struct recheck {
    /* options */
    const char *path, *data, *device;
    struct option_list teachers;
    int count, batch, threads, precision, kind; /* kind: enum teacher_engine_kind */
    uint64_t seed, gpu_memory;
    double tolerance; /* below 0: the one that fits the precisions */
    bool json, quiet;
    struct progress progress;
    /* after recheck_open */
    struct cache cache;
    struct teacher teacher;
    struct teacher_engine engine;
    struct view_batch views;
    struct stored_view *chosen; /* [count] in the order of the shards */
    /* NULL if the recipe mixes nothing */
    uint32_t *ids;                    /* of the training samples */
    struct recheck_partner *partners; /* of chosen views [round, round + RECHECK_ROUND) */
    int round;
    float *stored, *again; /* two values of a view, [value_capacity] each */
    size_t value_capacity;
    /* results */
    double largest; /* difference relative to the largest magnitude of the same stored value */
    struct stored_view worst;
    char worst_name[CACHE_NAME_SIZE];
    int identical; /* views that come out again bit for bit */
};

enum { RECHECK_ROUND = 1024 }; /* views whose partners' images are in memory at a time */

/* Opens cache and teacher, checks that they belong together, chooses the views and starts the engine.
 * STATUS_CONFIG, STATUS_BAD_DATA. */
enum status recheck_open(struct recheck *recheck, struct error *err);
/* Fills the results. STATUS_INTERRUPTED after a SIGINT. */
enum status recheck_run(struct recheck *recheck, struct error *err);
void recheck_release(struct recheck *recheck); /* a zeroed one is allowed */

#endif
