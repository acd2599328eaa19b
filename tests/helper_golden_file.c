#include "tests/helper_golden_file.h"

#include <hdf5.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static hid_t must(hid_t id, const char *what)
{
    if (id < 0)
        fail_msg("HDF5 cannot read %s", what);
    return id;
}

static void read_tensor(hid_t group, const char *name, struct golden_tensor *tensor)
{
    const hid_t set = must(H5Dopen2(group, name, H5P_DEFAULT), name), space = must(H5Dget_space(set), name);
    hsize_t dims[4] = {1, 1, 1, 1};
    *tensor = (struct golden_tensor){.rank = H5Sget_simple_extent_ndims(space), .count = 1};
    if (tensor->rank > 4)
        fail_msg("%s has %d dimensions", name, tensor->rank);
    H5Sget_simple_extent_dims(space, dims, NULL);
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    for (int i = 0; i < 4; i++) {
        tensor->dims[i] = (int)dims[i];
        tensor->count *= (size_t)dims[i];
    }
    tensor->values = calloc(tensor->count + 1, sizeof *tensor->values);
    assert_non_null(tensor->values);
    must(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor->values), name);
    H5Sclose(space);
    H5Dclose(set);
}

static herr_t add_tensor(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    struct golden_tensors *tensors = context;
    (void)info;
    if (tensors->count == GOLDEN_MAX_TENSORS)
        fail_msg("a group has more than %d tensors", GOLDEN_MAX_TENSORS);
    read_tensor(group, name, &tensors->items[tensors->count++]);
    return 0;
}

static void read_tensors(hid_t file, const char *path, struct golden_tensors *tensors)
{
    const hid_t group = must(H5Gopen2(file, path, H5P_DEFAULT), path);
    tensors->count = 0;
    must(H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, add_tensor, tensors), path);
    H5Gclose(group);
}

const struct golden_tensor *golden_tensors_find(const struct golden_tensors *tensors, const char *name)
{
    for (int i = 0; i < tensors->count; i++)
        if (strcmp(tensors->items[i].name, name) == 0)
            return &tensors->items[i];
    return NULL;
}

void golden_tensors_release(struct golden_tensors *tensors)
{
    for (int i = 0; i < tensors->count; i++)
        free(tensors->items[i].values);
    tensors->count = 0;
}

size_t golden_tensor_place(const struct golden_tensor *tensor, size_t i)
{
    const size_t c = (size_t)tensor->dims[1], pixels = (size_t)tensor->dims[2] * (size_t)tensor->dims[3];
    return (i / (c * pixels) * pixels + i % pixels) * c + i / pixels % c;
}

float *golden_tensor_floats(const struct golden_tensor *tensor)
{
    float *values = malloc((tensor->count + 1) * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < tensor->count; i++)
        values[golden_tensor_place(tensor, i)] = (float)tensor->values[i];
    return values;
}

int32_t *golden_tensor_integers(const struct golden_tensor *tensor)
{
    int32_t *values = malloc((tensor->count + 1) * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < tensor->count; i++)
        values[i] = (int32_t)tensor->values[i];
    return values;
}

/* The entries of a family: "term". */
struct family {
    struct golden_file *golden;
    const char *name;
};

static herr_t add_entry(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    const struct family *family = context;
    struct golden_file *golden = family->golden;
    struct golden_tensor value;
    char path[GOLDEN_MAX_NAME];
    (void)info;
    if (golden->entry_count == GOLDEN_MAX_ENTRIES)
        fail_msg("the file has more than %d entries", GOLDEN_MAX_ENTRIES);
    struct golden_entry *entry = &golden->entries[golden->entry_count++];
    snprintf(entry->name, sizeof entry->name, "%s/%s", family->name, name);
    snprintf(path, sizeof path, "%s/f64", name);
    entry->has_value = H5Lexists(group, path, H5P_DEFAULT) > 0;
    if (!entry->has_value)
        return 0;
    snprintf(path, sizeof path, "%s/f64/value", name);
    read_tensor(group, path, &value);
    entry->value = value.values[0];
    free(value.values);
    return 0;
}

static herr_t add_family(hid_t file, const char *name, const H5L_info_t *info, void *context)
{
    struct family family = {context, name};
    (void)info;
    if (strcmp(name, "inputs") == 0)
        return 0;
    const hid_t group = must(H5Gopen2(file, name, H5P_DEFAULT), name);
    must(H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, add_entry, &family), name);
    H5Gclose(group);
    return 0;
}

void golden_file_open(struct golden_file *golden, const char *path)
{
    const hid_t file = must(H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), path);
    golden->file = file;
    golden->entry_count = 0;
    read_tensors(file, "inputs", &golden->inputs);
    must(H5Literate(file, H5_INDEX_NAME, H5_ITER_INC, NULL, add_family, golden), path);
}

void golden_file_close(struct golden_file *golden)
{
    golden_tensors_release(&golden->inputs);
    H5Fclose((hid_t)golden->file);
}

void golden_file_gradients(const struct golden_file *golden, const struct golden_entry *entry,
                           struct golden_tensors *gradients)
{
    char path[GOLDEN_MAX_NAME + 16];
    snprintf(path, sizeof path, "%s/f64/grad", entry->name);
    read_tensors((hid_t)golden->file, path, gradients);
}
