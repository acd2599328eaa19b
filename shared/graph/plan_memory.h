/* Buffer planning: where values that live only for a while lie in one buffer. The training plan places its gradients
 * with it, the engines a teacher's values. */
#ifndef SHARED_GRAPH_PLAN_MEMORY_H
#define SHARED_GRAPH_PLAN_MEMORY_H

#include "shared/base/error.h"
#include <stddef.h>

/* size and alignment may be bytes or elements; offset and total have the same unit. */
struct lifetime {
    size_t size;     /* plan_memory rounds it up to the alignment; 0 takes no place */
    int first, last; /* moments (steps), both included; first is LIFETIME_UNUSED if there is none */
    size_t offset;   /* the result */
};

enum { LIFETIME_UNUSED = -1 };

static inline struct lifetime lifetime_new(size_t size)
{
    return (struct lifetime){.size = size, .first = LIFETIME_UNUSED, .last = LIFETIME_UNUSED};
}

/* The item is used at a moment, which is not earlier than those before. Steps that work in place use one item twice:
 * they share its lifetime instead of having two. */
static inline void lifetime_use(struct lifetime *life, int moment)
{
    if (life->first == LIFETIME_UNUSED)
        life->first = moment;
    life->last = moment;
}

/* Gives every item an offset such that no two items that live at the same moment overlap: largest items first, each at
 * the lowest aligned place where it fits. *total is the size of the buffer. STATUS_INTERNAL when out of memory. */
enum status plan_memory(struct lifetime *items, int count, size_t alignment, size_t *total, struct error *err);

#endif
