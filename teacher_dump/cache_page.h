/* The page of `inspect --html`: what the teacher saw and said, how far it can be trusted, and what takes the bytes. */
#ifndef TEACHER_DUMP_CACHE_PAGE_H
#define TEACHER_DUMP_CACHE_PAGE_H

#include "teacher_dump/cache_study.h"

struct cache_page {
    const struct cache *cache;       /* borrowed */
    const struct cache_study *study; /* borrowed */
    uint32_t first;                  /* the training sample that is shown first */
    int photos, views;               /* how many training photos, and views of each, are shown */
};

/* Publishes the page as file `path`. Errors as cache_read_shard and file_publish. */
enum status cache_page_publish(const struct cache_page *page, const char *path, struct error *err);

/* ---- between cache_page.c and cache_page_photos.c ---- */
/* The sections with photos. */
enum status cache_page_photos(const struct cache_page *page, FILE *out, struct error *err);

#endif
