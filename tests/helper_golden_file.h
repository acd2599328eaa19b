/* Golden files of losses (HDF5), for readers that do not know which entries are in them:
 *
 *     inputs/NAME                      tensors in PyTorch's layout: [n, d] or [n, c, h, w]
 *     .../ENTRY/f64/value              a loss of them
 *     .../ENTRY/f64/grad/INPUT         its gradients by the inputs that it depends on
 *     .../ENTRY without f64            has no value; an attribute says why */
#ifndef TESTS_HELPER_GOLDEN_FILE_H
#define TESTS_HELPER_GOLDEN_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GOLDEN_MAX_NAME = 128, GOLDEN_MAX_TENSORS = 64, GOLDEN_MAX_ENTRIES = 128 };

struct golden_tensor {
    char name[GOLDEN_MAX_NAME];
    int rank, dims[4]; /* unused dims are 1 */
    size_t count;
    double *values;
};
struct golden_tensors {
    struct golden_tensor items[GOLDEN_MAX_TENSORS];
    int count;
};
const struct golden_tensor *golden_tensors_find(const struct golden_tensors *tensors, const char *name); /* or NULL */
void golden_tensors_release(struct golden_tensors *tensors);
/* The place of element i of [n, c, h, w] in [n, h, w, c]. */
size_t golden_tensor_place(const struct golden_tensor *tensor, size_t i);
/* [n, h, w, c]; the caller frees it. */
float *golden_tensor_floats(const struct golden_tensor *tensor);
/* In the layout of the file; the caller frees it. */
int32_t *golden_tensor_integers(const struct golden_tensor *tensor);

struct golden_entry {
    char name[GOLDEN_MAX_NAME]; /* "term/ce" */
    bool has_value;
    double value;
};
struct golden_file {
    long long file; /* hid_t */
    struct golden_tensors inputs;
    struct golden_entry entries[GOLDEN_MAX_ENTRIES];
    int entry_count;
};

/* Fail the test if the file cannot be read. */
void golden_file_open(struct golden_file *golden, const char *path);
void golden_file_close(struct golden_file *golden);
/* The gradients of an entry that has a value; the caller releases them. */
void golden_file_gradients(const struct golden_file *golden, const struct golden_entry *entry,
                           struct golden_tensors *gradients);

#endif
