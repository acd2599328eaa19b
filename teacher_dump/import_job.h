/* A cache from the photos of another cache and the answers that some other program wrote for them (formats/cache/
 * answers.h). Its shards are those that `run` would write if its teacher gave the same answers. */
#ifndef TEACHER_DUMP_IMPORT_JOB_H
#define TEACHER_DUMP_IMPORT_JOB_H

#include "formats/cache/answers.h"
#include "shared/base/progress.h"

struct import_job {
    const char *photos_path, *answers_path; /* set before import_job_open */
    struct cache photos;
    struct answers answers;
    struct cache_manifest manifest; /* of the new cache */
    /* where import_job_shard is: it is fastest if shards come in their order */
    struct cache_shard photo_shard; /* one of the photos' shards, with its images */
    int photo_index;                /* which of its split; -1: none is read */
    unsigned char *answer_bytes;    /* of file answer_index */
    const uint8_t *answer_rows;     /* in answer_bytes */
    int answer_index;               /* -1: none is read */
};

/* Opens and checks both, all of the answers and, for the layout, the photos' shards. STATUS_CONFIG, STATUS_BAD_DATA,
 * STATUS_NO_INPUT, STATUS_INTERRUPTED after a SIGINT. */
enum status import_job_open(struct import_job *job, struct progress *progress, struct error *err);
void import_job_release(struct import_job *job); /* a zeroed one is allowed */

/* The content of a shard of the new cache. STATUS_BAD_DATA: a value is not allowed, or a file is damaged. */
enum status import_job_shard(struct import_job *job, enum split split, int shard, struct cache_shard *content,
                             struct error *err);

#endif
