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
 * "cuda" is the shared object whose path is in the environment variable SOFTCACHE_TEST_CUDA (the kernels on a GPU),
 * otherwise the same backend built on the execution shim (tests/shim). If it is not available, the test is skipped with
 * the reason. Every function here fails the test if the backend fails. */
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

/* name: "cpu" or "cuda". threads: for the CPU; 0: all processors. */
struct test_device test_device_open(const char *name, int threads);
void test_device_close(struct test_device *t);
/* The execution shim is some thousand times slower than a GPU: tests on it leave out cases that only repeat others. */
bool test_device_is_shim(const char *name);
/* Whether the backend stores bfloat16: the CPU does not, nor does a GPU before Ampere. */
bool test_device_has_bf16(const char *name);
/* Sets the order in which the execution shim runs blocks and threads: "forward", "reverse" or "shuffle:SEED". A backend
 * must be open. Does nothing on other backends. */
void test_device_order(const char *order);

/* Kernels that were launched on the execution shim so far, also those that a capture only records. Skips the test if
 * the backend under test is another one. */
size_t test_device_launches(void);

/* Fails the test with err's message unless the status is STATUS_OK. */
void test_must(enum status status, const struct error *err);

/* A device buffer, copied from host memory. from NULL: every byte is 0xff, which is NaN in every type of float. */
void *test_device_buffer(const struct test_device *t, const void *from, size_t bytes);
void test_device_free(const struct test_device *t, void *buffer); /* NULL is allowed */
void test_device_poison(const struct test_device *t, void *to, size_t bytes);
void test_device_upload(const struct test_device *t, void *to, const void *from, size_t bytes);
void test_device_download(const struct test_device *t, void *to, const void *from, size_t bytes);

/* Floats to and from device memory of a dtype. */
void test_device_write(const struct test_device *t, void *to, enum dtype dtype, const float *values, size_t count);
void test_device_read(const struct test_device *t, float *values, const void *from, enum dtype dtype, size_t count);
/* The value after rounding by test_device_write. */
float test_device_round(float value, enum dtype dtype);

/* Epoch inputs and their content, with parts of enum epoch_part. The caller fills the content; test_inputs_upload
 * uploads all of it and sets the cursor to `step`. */
struct test_inputs {
    struct epoch_content content;
    struct epoch_inputs inputs;
};
void test_inputs_init(struct test_inputs *f, const struct test_device *t, const struct epoch_content *sizes,
                      unsigned parts);
void test_inputs_upload(const struct test_inputs *f, const struct test_device *t, uint32_t step);
void test_inputs_release(struct test_inputs *f, const struct test_device *t);

#endif
