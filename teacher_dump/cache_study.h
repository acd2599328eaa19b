/* What the teacher's answers in a cache are like: one pass over its shards, for the page of `inspect --html`. */
#ifndef TEACHER_DUMP_CACHE_STUDY_H
#define TEACHER_DUMP_CACHE_STUDY_H

#include "formats/cache/cache.h"
#include "formats/report/reliability.h"
#include "shared/base/progress.h"

enum {
    STUDY_MISTAKES = 12,
    STUDY_VIEWS = 1000000, /* of a split: of more, every second, third, ... sample is counted */
};

/* The labelled views of a split. */
struct study_split {
    uint64_t views, labelled, right; /* views that were counted; of which labelled; of which right */
    struct reliability reliability;
    uint64_t *class_views, *class_right; /* [classes] of the true class */
    uint64_t *row_views, *row_right;     /* [split->views] by the view's number */
};

/* A photo on which the teacher is wrong, in the view where it is most sure of it. */
struct study_mistake {
    enum split split;
    uint32_t sample; /* of the split */
    int row;
    double confidence;
};

struct cache_study {
    struct study_split splits[SPLIT_COUNT];
    struct cache_storage storage;
    struct study_mistake mistakes[STUDY_MISTAKES]; /* [mistake_count] the surest first: of labelled validation or test
                                                      photos; of training photos if there are no others */
    int mistake_count;
};

/* STATUS_BAD_DATA, STATUS_NO_INPUT, STATUS_INTERRUPTED after a SIGINT. Release it also after an error. */
enum status cache_study_make(struct cache_study *study, const struct cache *cache, struct progress *progress,
                             struct error *err);
void cache_study_release(struct cache_study *study); /* accepts a zeroed one */

#endif
