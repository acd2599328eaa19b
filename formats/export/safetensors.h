/* safetensors: named tensors in one file (https://github.com/huggingface/safetensors).
 *   uint64 little-endian: length of the header; the header: JSON {"name": {"dtype", "shape", "data_offsets"}, ...},
 *   padded with spaces; then the data. Offsets start at the end of the header and cover the data without gaps. */
#ifndef FORMATS_EXPORT_SAFETENSORS_H
#define FORMATS_EXPORT_SAFETENSORS_H

#include "shared/base/error.h"
#include "shared/base/memory.h"
#include "shared/graph/graph.h"
#include <stddef.h>
#include <stdint.h>

enum { SAFETENSORS_MAX_RANK = 8 };

struct safetensors_entry {
    const char *name;
    const char *dtype; /* "F32", "F16", "BF16", "F64", "I64", ... */
    int rank;
    int64_t dims[SAFETENSORS_MAX_RANK];
    size_t count;        /* elements */
    const uint8_t *data; /* not aligned; borrowed from the bytes that were opened */
};

struct safetensors {
    struct arena arena;
    struct safetensors_entry *entries; /* [count], by name */
    size_t count;
    const char *ranges; /* __metadata__.int8_ranges, or NULL */
};

/* Checks the whole header; bytes are borrowed until safetensors_close. path is for messages. STATUS_BAD_DATA. */
enum status safetensors_open(struct safetensors *file, const uint8_t *bytes, size_t size, const char *path,
                             struct error *err);
void safetensors_close(struct safetensors *file);
const struct safetensors_entry *safetensors_find(const struct safetensors *file, const char *name); /* or NULL */
/* out[entry->count]. STATUS_CONFIG for a dtype other than F32, F16, BF16, F64. */
enum status safetensors_floats(const struct safetensors_entry *entry, const char *path, float *out, struct error *err);

/* Reads every weight of the graph by its name, like PyTorch's load_state_dict(strict=True): STATUS_CONFIG lists missing
 * and extra names and different shapes; num_batches_tracked is ignored, and literals are neither missing nor extra.
 * After an error the weights are undefined. The ranges of a graph's OP_QUANTISE nodes become those of the file, and
 * unknown where it has none. */
enum status safetensors_read_weights(struct graph *graph, const uint8_t *bytes, size_t size, const char *path,
                                     struct error *err);
enum status safetensors_read_weights_file(struct graph *graph, const char *path, struct error *err);

/* Writes every weight of the graph but literals as F32, and num_batches_tracked (I64, 0) for every batch norm, so that
 * PyTorch loads it strictly. The known ranges of OP_QUANTISE nodes are a string of __metadata__, "int8_ranges": a JSON
 * object of [low, high] by the node's name. *bytes is malloc'ed, the caller frees it. Equal graphs give equal bytes.
 * __metadata__ has a seal over the whole file (digest.h), "file_sha256", which safetensors_read_weights checks where
 * there is one. */
enum status safetensors_write_weights(const struct graph *graph, uint8_t **bytes, size_t *size, struct error *err);

#endif
