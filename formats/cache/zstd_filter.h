/* HDF5 filter 32015, Zstandard: registered in process for writing, and built as build/plugins/libh5zstd.so so that
 * h5py, h5dump and every other HDF5 program reads the shards (HDF5_PLUGIN_PATH). */
#ifndef FORMATS_CACHE_ZSTD_FILTER_H
#define FORMATS_CACHE_ZSTD_FILTER_H

#include "shared/base/error.h"
#include <stddef.h>

enum { ZSTD_FILTER_ID = 32015, ZSTD_FILTER_LEVEL = 1 };

/* Compresses a chunk of `bytes` as the filter does: *packed is malloc'ed, its size is returned (0: out of memory). For
 * code that gives HDF5 finished chunks. */
size_t zstd_filter_pack(const void *chunk, size_t bytes, void **packed);

/* Registers the filter with libhdf5; doing it again is harmless. STATUS_INTERNAL. */
enum status zstd_filter_register(struct error *err);

#endif
