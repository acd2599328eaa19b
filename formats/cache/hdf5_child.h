/* Asks libhdf5 about a shard, in a process of its own. libhdf5 crashes on some files that are made for it, so it never
 * reads a file of others in our process: softcache_hdf5_reader does, and may then do nothing but read, write and exit.
 * Its answer is as untrusted as the shard. */
#ifndef FORMATS_CACHE_HDF5_CHILD_H
#define FORMATS_CACHE_HDF5_CHILD_H

#include "formats/cache/shard_table.h"

/* Fills a zeroed table as libhdf5 sees the shard. STATUS_BAD_DATA: it is no shard, or libhdf5 crashed on it or took too
 * long; STATUS_CONFIG: softcache_hdf5_reader is not installed; STATUS_INTERNAL. Thread-safe. */
enum status hdf5_child_table(struct shard_table *table, const unsigned char *bytes, size_t size, const char *path,
                             struct error *err);

#endif
