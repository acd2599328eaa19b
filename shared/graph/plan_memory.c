#include "shared/graph/plan_memory.h"

#include <stdbool.h>
#include <stdlib.h>

static bool alive_together(const struct lifetime *a, const struct lifetime *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static int larger_first(const void *left, const void *right)
{
    const struct lifetime *a = *(struct lifetime *const *)left, *b = *(struct lifetime *const *)right;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    return a < b ? -1 : a > b; /* equal sizes in the caller's order, so that plans are reproducible */
}

/* The lowest offset at which item overlaps none of placed[count], which are sorted by offset. */
static size_t lowest_place(const struct lifetime *item, struct lifetime *const *placed, int count)
{
    size_t offset = 0;
    for (int i = 0; i < count; i++) {
        if (!alive_together(item, placed[i]))
            continue;
        if (offset + item->size <= placed[i]->offset)
            break;
        if (placed[i]->offset + placed[i]->size > offset)
            offset = placed[i]->offset + placed[i]->size;
    }
    return offset;
}

enum status plan_memory(struct lifetime *items, int count, size_t alignment, size_t *total, struct error *err)
{
    size_t capacity = (size_t)(count > 0 ? count : 1);
    struct lifetime **order = calloc(capacity, sizeof(struct lifetime *));
    struct lifetime **placed = calloc(capacity, sizeof(struct lifetime *));
    *total = 0;
    if (!order || !placed) {
        free(order);
        free(placed);
        return error_no_memory(err, capacity * sizeof *order, "the buffer plan");
    }
    for (int i = 0; i < count; i++) {
        items[i].size = (items[i].size + alignment - 1) / alignment * alignment;
        order[i] = &items[i];
    }
    qsort(order, (size_t)count, sizeof *order, larger_first);
    for (int i = 0; i < count; i++) {
        order[i]->offset = lowest_place(order[i], placed, i);
        int at = i;
        for (; at > 0 && placed[at - 1]->offset > order[i]->offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = order[i];
        if (order[i]->offset + order[i]->size > *total)
            *total = order[i]->offset + order[i]->size;
    }
    free(order);
    free(placed);
    return STATUS_OK;
}
