/* Reads golden files: inputs/NAME, and of every entry ENTRY/f64/value and ENTRY/f64/grad/INPUT, as PyTorch computed
 * them (scripts/golden_losses_*.py). Every function fails the test where something is not as asked for. */
#ifndef TESTS_HELPER_GOLDEN_H
#define TESTS_HELPER_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

struct golden {
    int64_t file; /* HDF5's */
};

struct golden golden_open(const char *path);
void golden_close(struct golden *golden);
/* A data set of exactly `count` values, its name made as by printf; the caller frees it. */
float *golden_floats(const struct golden *golden, size_t count, const char *name, ...)
    __attribute__((format(printf, 3, 4)));
double *golden_doubles(const struct golden *golden, size_t count, const char *name, ...)
    __attribute__((format(printf, 3, 4)));
double golden_value(const struct golden *golden, const char *name, ...) __attribute__((format(printf, 2, 3)));

/* got[count] against the data set ENTRY: within tolerance times the largest magnitude there. */
void golden_check(const struct golden *golden, const float *got, size_t count, double tolerance, const char *name, ...)
    __attribute__((format(printf, 5, 6)));

#endif
