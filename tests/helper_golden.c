#include "tests/helper_golden.h"

#include <hdf5.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

struct golden golden_open(const char *path)
{
    const struct golden golden = {H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT)};
    if (golden.file < 0)
        fail_msg("cannot open %s", path);
    return golden;
}

void golden_close(struct golden *golden)
{
    H5Fclose(golden->file);
    golden->file = -1;
}

static void *read_values(const struct golden *golden, hid_t type, size_t count, const char *name, va_list list)
{
    char path[256];
    vsnprintf(path, sizeof path, name, list);
    const hid_t set = H5Dopen2(golden->file, path, H5P_DEFAULT);
    if (set < 0)
        fail_msg("the golden file has no %s", path);
    const hid_t space = H5Dget_space(set);
    if (H5Sget_simple_extent_npoints(space) != (hssize_t)count)
        fail_msg("%s has %lld values, expected %zu", path, (long long)H5Sget_simple_extent_npoints(space), count);
    void *values = malloc(count * H5Tget_size(type));
    assert_non_null(values);
    assert_true(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Sclose(space);
    H5Dclose(set);
    return values;
}

float *golden_floats(const struct golden *golden, size_t count, const char *name, ...)
{
    va_list list;
    va_start(list, name);
    float *values = read_values(golden, H5T_NATIVE_FLOAT, count, name, list);
    va_end(list);
    return values;
}

double *golden_doubles(const struct golden *golden, size_t count, const char *name, ...)
{
    va_list list;
    va_start(list, name);
    double *values = read_values(golden, H5T_NATIVE_DOUBLE, count, name, list);
    va_end(list);
    return values;
}

double golden_value(const struct golden *golden, const char *name, ...)
{
    va_list list;
    va_start(list, name);
    double *values = read_values(golden, H5T_NATIVE_DOUBLE, 1, name, list), value = *values;
    va_end(list);
    free(values);
    return value;
}

void golden_check(const struct golden *golden, const float *got, size_t count, double tolerance, const char *name, ...)
{
    va_list list;
    va_start(list, name);
    double *expected = read_values(golden, H5T_NATIVE_DOUBLE, count, name, list), largest = 0;
    va_end(list);
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < count; i++)
        if (!(fabs(got[i] - expected[i]) <= tolerance * largest))
            fail_msg("%s[%zu] is %.9g, PyTorch has %.9g (largest: %.9g)", name, i, (double)got[i], expected[i],
                     largest);
    free(expected);
}
