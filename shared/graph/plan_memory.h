/* Buffer planning: where in one buffer to put things that are needed only for a while. */
#ifndef SHARED_GRAPH_PLAN_MEMORY_H
#define SHARED_GRAPH_PLAN_MEMORY_H

#include "shared/base/error.h"
#include <stddef.h>

struct lifetime {
    size_t size;
    int first, last; /* moments, both included */
    size_t offset;   /* the result */
};

/* Gives every item an offset such that no two that live at the same moment overlap: largest items first, each at the
 * lowest place where it fits. *total gets the size of the buffer. STATUS_INTERNAL: out of memory. */
enum status plan_memory(struct lifetime *items, int count, size_t *total, struct error *err);

#endif
