/* libhdf5's view of a shard. Two programs call this: `teacher_dump`, about the file that it has just made in its own
 * memory, and softcache_hdf5_reader, about files of others (hdf5_child.h). No reader does. */
#ifndef FORMATS_CACHE_HDF5_TABLE_H
#define FORMATS_CACHE_HDF5_TABLE_H

#include "formats/cache/shard_table.h"
#include <hdf5.h>

/* libhdf5 has one global state, which is thread-safe in some builds only: every call to it is between these two.
 * hdf5_enter also turns off its printing of errors. The first one initialises the library: a program that will need it
 * enters and leaves early, when there is still memory. */
void hdf5_enter(void);
void hdf5_leave(void);
/* Whether a call since hdf5_enter failed for lack of memory. Before hdf5_leave. */
bool hdf5_lacks_memory(void);

/* The file type of an element; the caller closes it. item is used for SHARD_STRING only. Negative on failure. */
hid_t hdf5_type(enum shard_type type, size_t item);

/* Fills a zeroed table with every data set of the root group, by name. STATUS_BAD_DATA if there is anything that a
 * shard does not have. Between hdf5_enter and hdf5_leave. */
enum status hdf5_table(hid_t file, struct shard_table *table, struct error *err);

#endif
