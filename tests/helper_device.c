#define _POSIX_C_SOURCE 200112L
#include "tests/helper_device.h"

#include "shared/base/library.h"
#include "shared/tensor/half.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void skip_because(const char *reason)
{
    print_message("# skip: %s\n", reason);
    skip();
}

static const struct backend *cuda_backend(void)
{
    const char *path = getenv("SOFTCACHE_TEST_CUDA");
    const void *symbol = NULL;
    struct error err = {0};
    if (path) {
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        symbol = library ? dlsym(library, "backend_cuda") : NULL;
        if (!symbol)
            fail_msg("SOFTCACHE_TEST_CUDA=%s: %s", path, dlerror());
    } else if (library_symbol("shim/softcache_cuda.so", "backend_cuda", &symbol, &err) != STATUS_OK) {
        skip_because(err.message);
    }
    return symbol;
}

void test_must(enum status status, const struct error *err)
{
    if (status != STATUS_OK)
        fail_msg("%s", err->message);
}

struct test_device test_device_open(const char *name, int threads)
{
    struct error err = {0};
    const struct device_options options = {.threads = threads};
    struct test_device t = {strcmp(name, "cpu") == 0 ? &backend_cpu : cuda_backend(), NULL};
    test_must(t.backend->device->open(&t.device, &options, &err), &err);
    return t;
}

bool test_device_is_shim(const char *name)
{
    return strcmp(name, "cuda") == 0 && !getenv("SOFTCACHE_TEST_CUDA");
}

bool test_device_has_bf16(const char *name)
{
    static int capability = -1; /* 75 for 7.5 */
    if (strcmp(name, "cuda") != 0)
        return false;
    if (capability < 0) {
        int major = 0, minor = 0;
        struct test_device t = test_device_open(name, 1);
        const char *at = strstr(t.backend->device->describe(t.device), "compute ");
        assert_true(at && sscanf(at, "compute %d.%d", &major, &minor) == 2);
        test_device_close(&t);
        capability = 10 * major + minor;
    }
    return capability >= 80;
}

void test_device_close(struct test_device *t)
{
    t->backend->device->close(t->device);
    *t = (struct test_device){0};
}

void test_device_order(const char *order)
{
    setenv("SHIM_ORDER", order, 1);
}

size_t test_device_launches(void)
{
    size_t (*launches)(void) = NULL;
    const void *symbol = NULL;
    struct error err = {0};
    if (!test_device_is_shim("cuda"))
        skip_because("only the execution shim counts launches");
    if (library_symbol("shim/softcache_cuda.so", "shim_launches", &symbol, &err) != STATUS_OK)
        skip_because(err.message);
    memcpy(&launches, &symbol, sizeof launches);
    return launches();
}

void *test_device_buffer(const struct test_device *t, const void *from, size_t bytes)
{
    struct error err = {0};
    void *buffer;
    test_must(t->backend->device->buffer_new(t->device, bytes ? bytes : 1, "a test", &buffer, &err), &err);
    if (from)
        test_device_upload(t, buffer, from, bytes);
    else
        test_device_poison(t, buffer, bytes);
    return buffer;
}

void test_device_free(const struct test_device *t, void *buffer)
{
    if (buffer)
        t->backend->device->buffer_free(t->device, buffer);
}

void test_device_poison(const struct test_device *t, void *to, size_t bytes)
{
    void *poison = malloc(bytes ? bytes : 1);
    assert_non_null(poison);
    memset(poison, 0xff, bytes);
    test_device_upload(t, to, poison, bytes);
    free(poison);
}

void test_device_upload(const struct test_device *t, void *to, const void *from, size_t bytes)
{
    struct error err = {0};
    test_must(t->backend->device->upload(t->device, to, from, bytes, &err), &err);
}

void test_device_download(const struct test_device *t, void *to, const void *from, size_t bytes)
{
    struct error err = {0};
    test_must(t->backend->device->download(t->device, to, from, bytes, &err), &err);
}

/* ---- elements ---- */
static uint16_t to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16); /* to the nearest even; not for NaN */
}

static float from_bf16(uint16_t value)
{
    const uint32_t bits = (uint32_t)value << 16;
    float wide;
    memcpy(&wide, &bits, sizeof wide);
    return wide;
}

void test_device_write(const struct test_device *t, void *to, enum dtype dtype, const float *values, size_t count)
{
    uint16_t *narrow = malloc(count * sizeof *narrow);
    assert_non_null(narrow);
    for (size_t i = 0; i < count; i++)
        narrow[i] = dtype == DTYPE_BF16 ? to_bf16(values[i]) : half_from_float(values[i]);
    test_device_upload(t, to, dtype == DTYPE_FP32 ? (const void *)values : narrow, count * dtype_size(dtype));
    free(narrow);
}

void test_device_read(const struct test_device *t, float *values, const void *from, enum dtype dtype, size_t count)
{
    uint16_t *narrow = malloc(count * sizeof(float));
    assert_non_null(narrow);
    test_device_download(t, narrow, from, count * dtype_size(dtype));
    if (dtype == DTYPE_FP32)
        memcpy(values, narrow, count * sizeof *values);
    for (size_t i = 0; dtype != DTYPE_FP32 && i < count; i++)
        values[i] = dtype == DTYPE_BF16 ? from_bf16(narrow[i]) : half_to_float(narrow[i]);
    free(narrow);
}

float test_device_round(float value, enum dtype dtype)
{
    return dtype == DTYPE_FP32   ? value
           : dtype == DTYPE_BF16 ? from_bf16(to_bf16(value))
                                 : half_to_float(half_from_float(value));
}

/* ---- epoch inputs ---- */
void test_inputs_init(struct test_inputs *f, const struct test_device *t, const struct epoch_content *sizes,
                      unsigned parts)
{
    struct error err = {0};
    test_must(
        epoch_content_init(&f->content, sizes->capacity, sizes->batch, sizes->students, sizes->classes, parts, &err),
        &err);
    test_must(epoch_inputs_init(&f->inputs, t->backend->device, t->device, &f->content, &err), &err);
}

void test_inputs_upload(const struct test_inputs *f, const struct test_device *t, uint32_t step)
{
    struct error err = {0};
    test_must(epoch_inputs_upload(&f->inputs, t->backend->device, t->device, &f->content, f->content.capacity, &err),
              &err);
    test_device_upload(t, f->inputs.cursor, &step, sizeof step);
}

void test_inputs_release(struct test_inputs *f, const struct test_device *t)
{
    epoch_inputs_release(&f->inputs, t->backend->device, t->device);
    epoch_content_release(&f->content);
}
