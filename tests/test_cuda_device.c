/* The host side of the CUDA backend: opening a GPU, memory, graph captures, and data sets larger than the GPU. */
#define _POSIX_C_SOURCE 200112L
#include "tests/helper_device.h"
#include "tests/helper_views.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void only_on_the_shim(void)
{
    if (getenv("SOFTCACHE_TEST_CUDA"))
        skip();
}

enum { SUMS = 512 << 10 }; /* bytes that a device takes for sums over blocks */

/* Another device of the same backend, with a memory limit. */
static struct test_device open_limited(const struct test_device *other, size_t limit)
{
    const struct device_options options = {.memory_limit = limit};
    struct test_device t = {other->backend, NULL};
    struct error err = {0};
    test_must(t.backend->device->open(&t.device, &options, &err), &err);
    return t;
}

static void says(const struct error *err, const char *part)
{
    if (!strstr(err->message, part))
        fail_msg("the message '%s' does not contain '%s'", err->message, part);
}

/* ---- opening ---- */
static void refused(const struct backend *backend, int index, const char *reason)
{
    const struct device_options options = {.index = index};
    struct device *device = NULL;
    struct error err = {0};
    assert_non_null(strstr(backend->device->missing(index), reason));
    assert_int_equal(backend->device->open(&device, &options, &err), STATUS_CONFIG);
    assert_null(device);
    says(&err, reason);
    says(&err, "--device cpu");
}

static void no_gpu_is_refused_with_the_reason(void **state)
{
    struct test_device t = test_device_open(*state, 1);
    only_on_the_shim();
    assert_null(t.backend->device->missing(0));
    refused(t.backend, 7, "fewer GPUs");
    refused(t.backend, -1, "fewer GPUs");
    setenv("SHIM_CAPABILITY", "70", 1);
    refused(t.backend, 0, "below 7.5");
    unsetenv("SHIM_CAPABILITY");
    const struct backend *backend = t.backend;
    test_device_close(&t);
    setenv("SHIM_DEVICES", "0", 1);
    refused(backend, 0, "no NVIDIA driver");
    unsetenv("SHIM_DEVICES");
    setenv("SHIM_DRIVER", "12040", 1);
    refused(backend, 0, "driver supports CUDA 12.4, but this build needs CUDA 13.");
    unsetenv("SHIM_DRIVER");
}

static void the_description_names_the_gpu(void **state)
{
    struct test_device t = test_device_open(*state, 1);
    assert_non_null(strstr(t.backend->device->describe(t.device), ", compute "));
    assert_non_null(strstr(t.backend->device->describe(t.device), " GiB"));
    test_device_close(&t);
}

/* ---- memory ---- */
static void uploads_keep_what_was_there(void **state)
{
    static const size_t sizes[] = {1, 4097, 2 << 20, 21 << 20};
    struct test_device t = test_device_open(*state, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *from = malloc(sizes[i]), *back = malloc(sizes[i]);
        void *buffer = test_device_buffer(&t, NULL, sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++)
            from[k] = (unsigned char)(k * 31 + (k >> 13) + i);
        test_device_upload(&t, buffer, from, sizes[i]);
        memset(from, 0xee, sizes[i]); /* the host's memory may be reused */
        test_device_download(&t, back, buffer, sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++)
            if (back[k] != (unsigned char)(k * 31 + (k >> 13) + i))
                fail_msg("byte %zu of %zu is wrong", k, sizes[i]);
        test_device_free(&t, buffer);
        free(from);
        free(back);
    }
    test_device_close(&t);
}

static void zero_zeroes_and_idle_tells(void **state)
{
    struct test_device t = test_device_open(*state, 1);
    unsigned char bytes[100];
    struct error err = {0};
    bool idle = false;
    void *buffer = test_device_buffer(&t, NULL, sizeof bytes);
    test_must(t.backend->device->zero(t.device, (char *)buffer + 10, 50, &err), &err);
    test_must(t.backend->device->zero(t.device, buffer, 0, &err), &err);
    test_must(t.backend->device->zero_rows(t.device, (char *)buffer + 70, 10, 3, 3, &err), &err);
    test_must(t.backend->device->zero_rows(t.device, buffer, 10, 0, 3, &err), &err);
    test_must(t.backend->device->zero_rows(t.device, buffer, 10, 3, 0, &err), &err);
    while (!idle)
        test_must(t.backend->device->idle(t.device, &idle, &err), &err);
    test_device_download(&t, bytes, buffer, sizeof bytes);
    for (int i = 0; i < 100; i++)
        assert_int_equal(bytes[i], (i >= 10 && i < 60) || (i >= 70 && i % 10 < 3) ? 0 : 0xff);
    test_device_free(&t, buffer);
    test_device_close(&t);
}

static void mailboxes_are_zero_at_first(void **state)
{
    struct test_device t = test_device_open(*state, 1);
    struct mailbox *mailbox;
    struct error err = {0};
    test_must(t.backend->device->mailbox_new(t.device, sizeof *mailbox, (void **)&mailbox, &err), &err);
    assert_true(mailbox->steps == 0 && mailbox->loss == 0 && mailbox->samples == 0);
    t.backend->device->mailbox_free(t.device, mailbox);
    test_device_close(&t);
}

/* The device still works after a failed allocation, launches included. */
static void still_works(const struct test_device *t)
{
    const float values[] = {1, 2, 3};
    float back[3];
    struct error err = {0};
    void *from = test_device_buffer(t, values, sizeof values), *to = test_device_buffer(t, NULL, sizeof values);
    test_must(t->backend->training->optimizer->ema_update(t->device, to, from, 3, 0, NULL, &err), &err);
    test_device_download(t, back, to, sizeof back);
    assert_memory_equal(back, values, sizeof values);
    test_device_free(t, from);
    test_device_free(t, to);
}

static void out_of_memory_says_what_and_how_much(void **state)
{
    struct test_device t = test_device_open(*state, 1);
    struct error err = {0};
    void *buffer = &err;
    only_on_the_shim();
    setenv("SHIM_MEMORY", "67108864", 1);
    assert_int_equal(t.backend->device->buffer_new(t.device, (size_t)5 << 29, "activations", &buffer, &err),
                     STATUS_CONFIG);
    unsetenv("SHIM_MEMORY");
    assert_null(buffer);
    says(&err, "out of GPU memory: requested 2.5 GiB for activations, 6");
    says(&err, "MiB of 64.0 MiB free");
    says(&err, "lower --batch");
    still_works(&t);
    test_device_close(&t);
}

static void the_limit_holds(void **state)
{
    struct test_device t = test_device_open(*state, 1), limited = open_limited(&t, 4 << 20);
    void *first, *second, *none;
    struct error err = {0};
    test_must(limited.backend->device->buffer_new(limited.device, 3 << 20, "a", &first, &err), &err);
    assert_int_equal(limited.backend->device->buffer_new(limited.device, 1 << 20, "moments", &none, &err),
                     STATUS_CONFIG);
    says(&err, "requested 1.0 MiB for moments");
    says(&err, "of 4.0 MiB free (--gpu-memory)");
    says(&err, "raise --gpu-memory");
    err = (struct error){0};
    assert_int_equal(limited.backend->device->buffer_new(limited.device, SIZE_MAX, "nonsense", &none, &err),
                     STATUS_CONFIG);
    err = (struct error){0};
    limited.backend->device->buffer_free(limited.device, first);
    limited.backend->device->buffer_free(limited.device, NULL);
    test_must(limited.backend->device->buffer_new(limited.device, 1 << 20, "a", &second, &err), &err);
    test_must(limited.backend->device->buffer_new(limited.device, 2 << 20, "a", &first, &err), &err);
    still_works(&limited);
    limited.backend->device->buffer_free(limited.device, first);
    limited.backend->device->buffer_free(limited.device, second);
    test_device_close(&limited);
    test_device_close(&t);
}

/* ---- graph captures ---- */
static void captures_are_done_when_replayed(void **state)
{
    enum { COUNT = 1000 };
    struct test_device t = test_device_open(*state, 1);
    const struct backend *b = t.backend;
    struct graph_capture *capture;
    struct error err = {0};
    float *values = malloc(COUNT * sizeof *values), *back = malloc(COUNT * sizeof *back);
    for (int i = 0; i < COUNT; i++)
        values[i] = (float)i;
    void *target = test_device_buffer(&t, values, COUNT * sizeof *values);
    void *average = test_device_buffer(&t, values, COUNT * sizeof *values);
    test_must(b->device->capture->begin(t.device, &err), &err);
    test_must(b->device->zero(t.device, target, sizeof *values, &err), &err);
    test_must(b->training->optimizer->ema_update(t.device, average, target, COUNT, 0.5, NULL, &err), &err);
    assert_int_equal(b->device->upload(t.device, target, values, 4, &err), STATUS_INTERNAL);
    err = (struct error){0};
    test_must(b->device->capture->end(t.device, &capture, &err), &err);
    test_device_read(&t, back, average, DTYPE_FP32, COUNT);
    assert_memory_equal(back, values, COUNT * sizeof *values);
    for (int i = 0; i < COUNT; i++)
        values[i] = 0;
    values[0] = 5;
    test_device_upload(&t, target, values, COUNT * sizeof *values); /* replays read what is there at that time */
    for (int i = 0; i < 3; i++)
        test_must(b->device->capture->replay(t.device, capture, &err), &err);
    test_device_read(&t, back, average, DTYPE_FP32, COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_true(back[i] == (float)i / 8);
    b->device->capture->destroy(t.device, capture);
    b->device->capture->destroy(t.device, NULL);
    test_device_free(&t, target);
    test_device_free(&t, average);
    test_device_close(&t);
    free(values);
    free(back);
}

/* ---- data sets ---- */
enum { SIDE = 20, BATCH = 4, STEPS = 13, CAPACITY = BATCH * STEPS, IMAGES = 48, VIEW = SIDE * SIDE * 3 };

struct set {
    struct test_device t;
    struct device_images *images;
    struct picture pictures[IMAGES];
    struct test_inputs f;
    float table[3][256];
};

/* parts: of enum epoch_part. */
static void set_open(struct set *set, const struct test_device *t, unsigned parts)
{
    const struct epoch_content sizes = {.capacity = CAPACITY, .batch = BATCH, .students = 1, .classes = 2};
    struct error err = {0};
    *set = (struct set){.t = *t};
    test_must(t->backend->device->images->create(t->device, IMAGES + 1, 3, NULL, &set->images, &err), &err);
    for (uint32_t i = 0; i < IMAGES; i++) { /* number IMAGES is never written */
        struct image copy;
        picture_init(&set->pictures[i], 56 + (int)(i % 5), 60, 3, i);
        test_must(image_init(&copy, set->pictures[i].base.h, 60, 3, &err), &err);
        memcpy(copy.pixels, set->pictures[i].base.pixels, (size_t)copy.h * 60 * 3);
        test_must(t->backend->device->images->put(t->device, set->images, i, &copy, 0, &err), &err);
    }
    test_inputs_init(&set->f, t, &sizes, parts);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 256; i++)
            set->table[c][i] = (float)(1000 * c + i);
}

static void set_close(struct set *set)
{
    test_inputs_release(&set->f, &set->t);
    set->t.backend->device->images->destroy(set->t.device, set->images);
    for (int i = 0; i < IMAGES; i++)
        picture_release(&set->pictures[i]);
}

static void draw_pass(struct set *set, uint64_t seed)
{
    struct random_stream stream;
    random_stream_init(&stream, seed, RANDOM_INIT, 0, 0);
    for (int i = 0; i < CAPACITY; i++) {
        const uint32_t sample = random_below(&stream, IMAGES);
        set->f.content.samples[i] = sample;
        random_view(&set->f.content.views[i], &stream, &set->pictures[sample], SIDE);
        if (!set->f.content.mixes)
            continue;
        const uint32_t partner = random_below(&stream, IMAGES);
        random_mix(&set->f.content.mixes[i], &stream, SIDE);
        set->f.content.partners[i] = partner;
        random_view(&set->f.content.partner_views[i], &stream, &set->pictures[partner], SIDE);
    }
}

static void check_pass(const struct set *set, const float *values)
{
    uint8_t pixels[VIEW];
    for (int i = 0; i < CAPACITY; i++) {
        const struct epoch_content *content = &set->f.content;
        const bool mixed = content->mixes;
        reference_pixels(&content->views[i], &set->pictures[content->samples[i]], mixed ? &content->mixes[i] : NULL,
                         mixed ? &content->partner_views[i] : NULL, mixed ? &set->pictures[content->partners[i]] : NULL,
                         SIDE, pixels);
        for (int k = 0; k < VIEW; k++)
            if (values[i * VIEW + k] != set->table[k % 3][pixels[k]])
                fail_msg("step %d, view %d, value %d is %g, expected %g", i / BATCH, i % BATCH, k,
                         (double)values[i * VIEW + k], (double)set->table[k % 3][pixels[k]]);
    }
}

static enum status fetch(const struct set *set, uint32_t step, struct error *err)
{
    const struct epoch_content *content = &set->f.content;
    return set->t.backend->device->images->prefetch(set->t.device, set->images, content->samples + step * BATCH,
                                                    content->partners ? content->partners + step * BATCH : NULL, BATCH,
                                                    step, err);
}

/* All steps of a pass are queued before the first wait for a result; each step's views have a place of their own. */
static void run_pass(struct set *set, uint32_t first_step)
{
    const struct test_device *t = &set->t;
    float *values = malloc(CAPACITY * VIEW * sizeof *values);
    float *out = test_device_buffer(t, NULL, CAPACITY * VIEW * sizeof *out);
    struct error err = {0};
    test_inputs_upload(&set->f, t, first_step);
    const struct epoch_views views = epoch_inputs_views(&set->f.inputs);
    for (uint32_t step = first_step; step < STEPS; step++) {
        test_must(fetch(set, step, &err), &err);
        test_device_upload(t, set->f.inputs.cursor, &step, sizeof step);
        test_must(t->backend->device->images->render(t->device, set->images, &views, BATCH, SIDE, set->table,
                                                     DTYPE_FP32, out + step * BATCH * VIEW, &err),
                  &err);
    }
    test_device_read(t, values, out, DTYPE_FP32, CAPACITY * VIEW);
    if (first_step == 0)
        check_pass(set, values);
    test_device_free(t, out);
    free(values);
}

/* 1.5 MB: all images stay on the GPU; 1.2 MB and 1 MB: some; 590 KB, with partners 760 KB: all come from the host. */
static void images_come_from_wherever_they_are(void **state)
{
    static const size_t limits[] = {0,
                                    SUMS + 1372000,
                                    SUMS + 1072000,
                                    SUMS + 872000,
                                    SUMS + 462000,
                                    SUMS + 1372000,
                                    SUMS + 1222000,
                                    SUMS + 1122000,
                                    SUMS + 632000};
    static const char *const orders[] = {"forward", "reverse", "shuffle:1", "shuffle:2"};
    struct test_device t = test_device_open(*state, 1);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct test_device limited = open_limited(&t, limits[i]);
        struct set set;
        set_open(&set, &limited, i < 5 ? 0 : EPOCH_MIXES);
        for (uint64_t pass = 0; pass < 4; pass++) {
            test_device_order(orders[pass]);
            draw_pass(&set, 10 * i + pass);
            run_pass(&set, 0);
        }
        run_pass(&set, 2); /* a pass that begins in the middle */
        test_device_order("forward");
        set_close(&set);
        test_device_close(&limited);
    }
    test_device_close(&t);
}

/* The first data set leaves memory for the ring of the second one. */
static void two_sets_share_the_memory(void **state)
{
    struct test_device t = test_device_open(*state, 1), limited = open_limited(&t, SUMS + 692000);
    struct set sets[2];
    for (int i = 0; i < 2; i++)
        set_open(&sets[i], &limited, 0);
    for (int i = 0; i < 4; i++) {
        draw_pass(&sets[i % 2], (uint64_t)i);
        run_pass(&sets[i % 2], 0);
    }
    for (int i = 0; i < 2; i++)
        set_close(&sets[i]);
    test_device_close(&limited);
    test_device_close(&t);
}

static void recorded_steps_see_each_step(void **state)
{
    static const size_t limits[] = {0, SUMS + 632000};
    struct test_device t = test_device_open(*state, 1);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct test_device limited = open_limited(&t, limits[i]);
        const struct backend *b = t.backend;
        float *values = malloc(CAPACITY * VIEW * sizeof *values);
        struct graph_capture *capture = NULL;
        struct error err = {0};
        struct set set;
        set_open(&set, &limited, EPOCH_MIXES);
        draw_pass(&set, 77);
        test_inputs_upload(&set.f, &limited, 0);
        const struct epoch_views views = epoch_inputs_views(&set.f.inputs);
        void *out = test_device_buffer(&limited, NULL, BATCH * VIEW * sizeof *values);
        for (uint32_t step = 0; step < STEPS; step++) {
            test_must(fetch(&set, step, &err), &err);
            test_device_upload(&limited, set.f.inputs.cursor, &step, sizeof step);
            if (!capture) {
                test_must(b->device->capture->begin(limited.device, &err), &err);
                test_must(b->device->images->render(limited.device, set.images, &views, BATCH, SIDE, set.table,
                                                    DTYPE_FP32, out, &err),
                          &err);
                test_must(b->device->capture->end(limited.device, &capture, &err), &err);
            }
            test_must(b->device->capture->replay(limited.device, capture, &err), &err);
            test_device_read(&limited, values + step * BATCH * VIEW, out, DTYPE_FP32, BATCH * VIEW);
        }
        check_pass(&set, values);
        b->device->capture->destroy(limited.device, capture);
        test_device_free(&limited, out);
        free(values);
        set_close(&set);
        test_device_close(&limited);
    }
    test_device_close(&t);
}

static void too_little_memory_for_images_is_said(void **state)
{
    struct test_device t = test_device_open(*state, 1), limited = open_limited(&t, SUMS + 172000);
    struct error err = {0};
    struct set set;
    set_open(&set, &limited, 0);
    draw_pass(&set, 1);
    assert_int_equal(
        t.backend->device->images->prefetch(limited.device, set.images, set.f.content.samples, NULL, BATCH, 0, &err),
        STATUS_CONFIG);
    says(&err, "images of three batches");
    says(&err, "--gpu-memory");
    set_close(&set);
    test_device_close(&limited);
    test_device_close(&t);
}

static void images_that_are_not_there_are_refused(void **state)
{
    static const uint32_t missing[] = {IMAGES, IMAGES + 1, UINT32_MAX};
    struct test_device t = test_device_open(*state, 1);
    struct image gray = {0};
    struct error err = {0};
    struct set set;
    set_open(&set, &t, 0);
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        err = (struct error){0};
        assert_int_equal(t.backend->device->images->prefetch(t.device, set.images, &missing[i], NULL, 1, 0, &err),
                         STATUS_INTERNAL);
        says(&err, "never loaded");
    }
    test_must(image_init(&gray, 4, 4, 1, NULL), &err);
    assert_int_equal(t.backend->device->images->put(t.device, set.images, IMAGES, &gray, 0, NULL), STATUS_INTERNAL);
    image_release(&gray);
    set_close(&set);
    test_device_close(&t);
}

/* ---- the registry ---- */
static void devices_are_found_by_name(void **state)
{
    static const char *const unknown[] = {"gpu", "cuda:", "cuda:-1", "cuda:1x", "cuda 1", "cuda:12345", ""};
    const struct backend *backend;
    const char *why;
    int index;
    struct error err = {0};
    (void)state;
    test_must(backend_find("cpu", &backend, &index, &why, &err), &err);
    assert_ptr_equal(backend, &backend_cpu);
    assert_null(why);
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        err = (struct error){0};
        assert_int_equal(backend_find(unknown[i], &backend, &index, NULL, &err), STATUS_CONFIG);
        says(&err, "unknown device");
    }
    err = (struct error){0};
    test_must(backend_find("auto", &backend, &index, &why, &err), &err);
    assert_true(backend == &backend_cpu ? why != NULL : why == NULL);
    const enum status status = backend_find("cuda:9999", &backend, &index, NULL, &err);
    assert_int_equal(status, STATUS_CONFIG);
    says(&err, "device 'cuda:9999' is not available: ");
    says(&err, "--device cpu");
}

#define ON_CUDA(test)                   \
    {                                   \
#test, test, NULL, NULL, "cuda" \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_CUDA(no_gpu_is_refused_with_the_reason),
        ON_CUDA(the_description_names_the_gpu),
        ON_CUDA(uploads_keep_what_was_there),
        ON_CUDA(zero_zeroes_and_idle_tells),
        ON_CUDA(mailboxes_are_zero_at_first),
        ON_CUDA(out_of_memory_says_what_and_how_much),
        ON_CUDA(the_limit_holds),
        ON_CUDA(captures_are_done_when_replayed),
        ON_CUDA(images_come_from_wherever_they_are),
        ON_CUDA(two_sets_share_the_memory),
        ON_CUDA(recorded_steps_see_each_step),
        ON_CUDA(too_little_memory_for_images_is_said),
        ON_CUDA(images_that_are_not_there_are_refused),
        cmocka_unit_test(devices_are_found_by_name),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
