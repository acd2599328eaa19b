/* Everything that must be known before the first shard: data set, teacher, and the manifest that follows from them. */
#ifndef TEACHER_DUMP_DUMP_JOB_H
#define TEACHER_DUMP_DUMP_JOB_H

#include "formats/cache/cache.h"
#include "shared/base/progress.h"
#include "teacher_dump/dump_options.h"
#include "teacher_dump/teacher.h"

struct dump_job {
    const struct dump_options *options; /* borrowed */
    struct image_source source;
    struct teacher teacher;
    struct teacher_engine engine;   /* chosen; only its batch if the cache has no teacher */
    struct cache_manifest manifest; /* without the layout in shards until dump_job_scan */
    /* after dump_job_scan */
    struct image_scan scan;
    uint32_t *kept[SPLIT_COUNT]; /* [manifest.splits[s].samples] each sample's index in the data set */
};

/* Recognises the data set, reads the teacher, and checks that both fit each other and the options. */
enum status dump_job_open(struct dump_job *job, const struct dump_options *options, struct error *err);
/* Decodes every image once, applies --on-bad-image (each bad one is noted on progress) and lays out the shards. */
enum status dump_job_scan(struct dump_job *job, struct progress *progress, struct error *err);
void dump_job_release(struct dump_job *job); /* a zeroed one is allowed */

/* "ImageFolder, JPEG, 10 classes, train 9469, val 1956". */
void dump_job_describe(const struct dump_job *job, char *text, size_t size);

#endif
