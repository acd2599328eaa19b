/* Reads golden files: inputs/NAME, and for every entry ENTRY/f64/value and ENTRY/f64/grad/INPUT, computed by PyTorch
 * (scripts/golden_losses_*.py). Every function fails the test if the file does not have what is requested. */
#ifndef TESTS_HELPER_GOLDEN_H
#define TESTS_HELPER_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

struct golden {
    int64_t file; /* HDF5's */
};

struct golden golden_open(const char *path);
void golden_close(struct golden *golden);
/* A data set of exactly `count` values; the name is formatted as by printf. The caller frees it. */
float *golden_floats(const struct golden *golden, size_t count, const char *name, ...)
    __attribute__((format(printf, 3, 4)));
double *golden_doubles(const struct golden *golden, size_t count, const char *name, ...)
    __attribute__((format(printf, 3, 4)));
double golden_value(const struct golden *golden, const char *name, ...) __attribute__((format(printf, 2, 3)));

/* Compares got[count] with the data set: differences are at most tolerance times its largest magnitude. */
void golden_check(const struct golden *golden, const float *got, size_t count, double tolerance, const char *name, ...)
    __attribute__((format(printf, 5, 6)));

#endif
