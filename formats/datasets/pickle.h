/* Python pickles of plain data: numbers, strings, lists, tuples, dictionaries and arrays of numpy, as the Python
 * versions of CIFAR-10 and CIFAR-100 are. A pickle is a program for a small machine that can call any function of
 * Python; here it can call nothing: only the opcodes that build such data are known, and of all names only those of
 * numpy's arrays. */
#ifndef FORMATS_DATASETS_PICKLE_H
#define FORMATS_DATASETS_PICKLE_H

#include "shared/base/error.h"
#include "shared/base/memory.h"
#include <stddef.h>
#include <stdint.h>

enum pickle_kind {
    PICKLE_NONE, /* also True and False, with their integer */
    PICKLE_INTEGER,
    PICKLE_BYTES, /* str, bytes or unicode (UTF-8) */
    PICKLE_LIST,  /* or tuple */
    PICKLE_DICT,
    PICKLE_NAME,  /* of a function or class: "module name" */
    PICKLE_DTYPE, /* bytes: "u1", "i8", ... */
    PICKLE_ARRAY
};

struct pickle_value {
    enum pickle_kind kind;
    int64_t integer;
    const uint8_t *bytes; /* [size] within the file, except names; an array's content */
    size_t size;
    struct pickle_value **items; /* [count] of a list; of a dictionary key, value, key, value, ... */
    size_t count, capacity;
    const struct pickle_value *shape, *dtype; /* of an array: a list of integers, and its type */
};

/* The value that the bytes build; it belongs to the arena and refers to the bytes. STATUS_BAD_DATA names the place. */
enum status pickle_parse(const uint8_t *bytes, size_t size, const char *path, struct arena *arena,
                         const struct pickle_value **value, struct error *err);

/* The value of a key of a dictionary; NULL if there is none. */
const struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key);

#endif
