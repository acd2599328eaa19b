/* Memory: an arena for metadata, aligned blocks for tensors. */
#ifndef SHARED_BASE_MEMORY_H
#define SHARED_BASE_MEMORY_H

#include "shared/base/error.h"
#include <stdbool.h>
#include <stddef.h>

/* An arena hands out zeroed memory and frees it all at once. Zero-initialise it: `struct arena a = {0};`. */
struct arena {
    struct arena_block *blocks;
};

/* Returns zeroed memory aligned to 16 bytes, or NULL when out of memory. The arena owns it. */
void *arena_alloc(struct arena *arena, size_t count, size_t size);
/* Copies a string into the arena; NULL when out of memory. */
char *arena_strdup(struct arena *arena, const char *text);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
void arena_release(struct arena *arena);

/* Zeroed, 64-byte aligned block for tensors (freed by memory_free); large ones request huge pages.
 * *out is NULL on error. count * size is checked for overflow. */
enum status memory_new(void **out, size_t count, size_t size, const char *what, struct error *err);
void memory_free(void *block); /* NULL is allowed */

/* Makes room for one more item in a malloc'ed array that holds `count` items of `size` bytes: when the array is full
 * (count == *capacity), its capacity is doubled. `items` is the address of the pointer to the array, of any type:
 *     TRY(array_grow(&graph->nodes, sizeof *graph->nodes, graph->node_count, &graph->node_capacity, "a graph", err));
 * On error (out of memory: "for WHAT") the array stays as it was. The caller frees it with free(). */
enum status array_grow(void *items, size_t size, size_t count, size_t *capacity, const char *what, struct error *err);

/* Bytes that this process can still get: of the machine, of the control groups that it runs in (a container, a job of a
 * cluster), and within its own limits (ulimit -v, -d). SIZE_MAX if that is not known. */
size_t memory_available(void);
/* The same of the machine and of control groups as their files under another root describe them, for tests. */
size_t memory_available_under(const char *root);
/* Bytes of its own that this process has; SIZE_MAX if that is not known. */
size_t memory_used(void);

/* Holds the whole process to `more` bytes of memory than it has now, until the end: for libraries that take what a file
 * tells them to. Allocations above it fail. Does nothing where the system has no such limit. */
struct memory_limit {
    unsigned long long before;
    bool held;
};
void memory_limit_begin(struct memory_limit *limit, size_t more);
void memory_limit_end(struct memory_limit *limit);

/* a * b, or SIZE_MAX when it overflows. */
size_t size_mul(size_t a, size_t b);

#endif
