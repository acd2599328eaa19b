/* Hostile HDF5 files: libhdf5's structures carry checksums (Bob Jenkins's lookup3), which anybody can make again. */
#ifndef TESTS_HELPER_HDF5_H
#define TESTS_HELPER_HDF5_H

#include "shared/base/random.h"
#include <stdbool.h>
#include <stddef.h>

/* A structure with a checksum: bytes [start, start + length), then the 4 bytes of the checksum. */
struct hdf5_part {
    size_t start, length;
};
enum { HDF5_MAX_PARTS = 256 };

/* Finds the structures of a valid file; returns how many. */
int hdf5_find_parts(const unsigned char *bytes, size_t size, struct hdf5_part parts[HDF5_MAX_PARTS]);
/* Changes 1 to 4 bytes of one of them, and makes its checksum right again. */
void hdf5_mutate(unsigned char *bytes, const struct hdf5_part *parts, int count, struct random_stream *stream);

#endif
