/* The backends under test. A test that is listed with ON_EVERY_BACKEND runs once for each and opens its own:
 *
 *     static void adds(void **state)
 *     {
 *         struct test_device t = test_device_open(*state, 2);
 *         ...
 *         test_device_close(&t);
 *     }
 *     ... const struct CMUnitTest tests[] = {ON_EVERY_BACKEND(adds)};
 *
 * "cuda" is the shared object that the environment variable SOFTCACHE_TEST_CUDA names (a path: the kernels on a GPU),
 * otherwise the same backend built on the execution shim (tests/shim); where it cannot be had the test is skipped with
 * the reason. Every function here fails the test if the backend does. */
#ifndef TESTS_HELPER_DEVICE_H
#define TESTS_HELPER_DEVICE_H

#include "shared/backend/backend.h"
#include "shared/training/epoch_inputs.h"

/* clang-format off */
#define ON_EVERY_BACKEND(test) {#test " on cpu", test, NULL, NULL, "cpu"}, {#test " on cuda", test, NULL, NULL, "cuda"}
/* clang-format on */

struct test_device {
    const struct backend *backend;
    struct device *device;
};

/* name: "cpu" or "cuda". threads: of the CPU, 0 means all. */
struct test_device test_device_open(const char *name, int threads);
void test_device_close(struct test_device *t);
/* The execution shim is some thousand times slower than a GPU: tests of it leave out what only repeats. */
bool test_device_is_shim(const char *name);
/* For backends of which one is open: the order in which the execution shim runs blocks and threads, "forward",
 * "reverse" or "shuffle:SEED". Other backends have no order of their own to change. */
void test_device_order(const char *order);

/* The test's failure with err's message, unless the status is STATUS_OK. */
void test_must(enum status status, const struct error *err);

/* A buffer of bytes copied from host memory; from NULL: every byte 0xff, which floats of any size read as NaN. */
void *test_device_buffer(const struct test_device *t, const void *from, size_t bytes);
void test_device_free(const struct test_device *t, void *buffer); /* NULL is legal */
void test_device_poison(const struct test_device *t, void *to, size_t bytes);
void test_device_upload(const struct test_device *t, void *to, const void *from, size_t bytes);
void test_device_download(const struct test_device *t, void *to, const void *from, size_t bytes);

/* Floats to and from device memory of an dtype. */
void test_device_write(const struct test_device *t, void *to, enum dtype dtype, const float *values, size_t count);
void test_device_read(const struct test_device *t, float *values, const void *from, enum dtype dtype, size_t count);
/* What test_device_write would leave of a value. */
float test_device_round(float value, enum dtype dtype);

/* A epoch inputs and its content, with parts of enum feed_part. The content is filled by the caller, and uploaded
 * (whole) with the cursor at `step`. */
struct test_inputs {
    struct epoch_content content;
    struct epoch_inputs inputs;
};
void test_inputs_init(struct test_inputs *f, const struct test_device *t, const struct epoch_content *sizes,
                      unsigned parts);
void test_inputs_upload(const struct test_inputs *f, const struct test_device *t, uint32_t step);
void test_inputs_release(struct test_inputs *f, const struct test_device *t);

#endif
