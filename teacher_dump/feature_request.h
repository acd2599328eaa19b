/* One --feature option: TENSOR[:FORM][:views=N]. */
#ifndef TEACHER_DUMP_FEATURE_REQUEST_H
#define TEACHER_DUMP_FEATURE_REQUEST_H

#include "formats/cache/cache.h"

struct feature_request {
    const char *tensor; /* in the arena */
    enum feature_form form;
    int views;
};

/* Names of tensors may contain colons themselves ("block/out:0"), so only known endings are split off, from the end,
 * each at most once. Set request->views to the default before the call; most_views is the number of views of a sample.
 * STATUS_USAGE. */
enum status feature_request_parse(struct feature_request *request, const char *text, int most_views,
                                  struct arena *arena, struct error *err);

#endif
