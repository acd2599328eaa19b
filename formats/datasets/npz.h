/* Archives of numpy arrays (numpy.savez, savez_compressed): a zip file (PKWARE's APPNOTE, without ZIP64) of .npy
 * files. */
#ifndef FORMATS_DATASETS_NPZ_H
#define FORMATS_DATASETS_NPZ_H

#include "shared/base/error.h"
#include <stddef.h>
#include <stdint.h>

enum { NPZ_MAX_ARRAYS = 32, NPZ_MAX_RANK = 4, NPZ_NAME_SIZE = 64 };

struct npz_array {
    char name[NPZ_NAME_SIZE]; /* without ".npy" */
    char kind;                /* 'u', 'i', 'b', 'f', ...: numpy's, little-endian */
    int item;                 /* bytes of an element */
    int rank;
    size_t shape[NPZ_MAX_RANK];
    const uint8_t *values; /* [shape] in C order */
    uint8_t *bytes;        /* the .npy file, malloc'ed */
};

/* Unpacks every array of an archive; npz_release frees them, also after an error. STATUS_BAD_DATA for damage, other
 * compressions, more than NPZ_MAX_ARRAYS, arrays in columns, of other types than numbers, or of a higher rank. */
enum status npz_load(const uint8_t *bytes, size_t size, const char *path, struct npz_array arrays[NPZ_MAX_ARRAYS],
                     int *count, struct error *err);
void npz_release(struct npz_array arrays[NPZ_MAX_ARRAYS], int count);

#endif
