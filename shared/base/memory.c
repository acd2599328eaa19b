#define _GNU_SOURCE
#include "shared/base/memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { BLOCK_BYTES = 64 * 1024, HUGE_BYTES = 2 * 1024 * 1024, ARRAY_FIRST = 64, GIVEN_BYTES = sizeof(void *) };

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

size_t size_mul(size_t a, size_t b)
{
    size_t product;
    return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}

void *arena_alloc(struct arena *arena, size_t count, size_t size)
{
    size_t bytes = size_mul(count, size);
    struct arena_block *block = arena->blocks;
    if (bytes > SIZE_MAX / 4)
        return NULL;
    bytes = (bytes + 15) & ~(size_t)15;
    if (!block || block->size - block->used < bytes) {
        size_t capacity = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block = calloc(1, sizeof *block + capacity);
        if (!block)
            return NULL;
        block->size = capacity;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *result = block->bytes + block->used;
    block->used += bytes;
    return result;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return arena_printf(arena, "%s", text);
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *result = length < 0 ? NULL : arena_alloc(arena, (size_t)length + 1, 1);
    if (result)
        vsnprintf(result, (size_t)length + 1, format, again);
    va_end(again);
    return result;
}

void arena_release(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}

enum status memory_new(void **out, size_t count, size_t size, const char *what, struct error *err)
{
    size_t bytes = size_mul(count, size);
    *out = NULL;
    if (bytes > SIZE_MAX / 4)
        return error_no_memory(err, bytes, what);
    const size_t alignment = bytes >= HUGE_BYTES ? HUGE_BYTES : 64;
    const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    /* calloc does not touch large blocks, which the system gives it full of zeros. What it gave stands before the
     * block. */
    unsigned char *const given = calloc(1, rounded + alignment + GIVEN_BYTES);
    if (!given)
        return error_no_memory(err, bytes, what);
    const size_t behind = (size_t)((uintptr_t)(given + GIVEN_BYTES) % alignment);
    unsigned char *const block = given + GIVEN_BYTES + (behind ? alignment - behind : 0);
    memcpy(block - GIVEN_BYTES, &given, GIVEN_BYTES);
    if (alignment == HUGE_BYTES)
        madvise(block, rounded, MADV_HUGEPAGE); /* best effort: ordinary pages work too */
    *out = block;
    return STATUS_OK;
}

void memory_free(void *block)
{
    void *given = NULL;
    if (block)
        memcpy(&given, (unsigned char *)block - GIVEN_BYTES, GIVEN_BYTES);
    free(given);
}

enum status array_grow(void *items, size_t size, size_t count, size_t *capacity, const char *what, struct error *err)
{
    void *array;
    if (count < *capacity)
        return STATUS_OK;
    const size_t larger = *capacity ? size_mul(*capacity, 2) : ARRAY_FIRST, bytes = size_mul(larger, size);
    memcpy(&array, items, sizeof array); /* not through void **: the pointer is of another type */
    array = bytes > SIZE_MAX / 4 ? NULL : realloc(array, bytes);
    if (!array)
        return error_no_memory(err, bytes, what);
    memcpy(items, &array, sizeof array);
    *capacity = larger;
    return STATUS_OK;
}
