/* Views rendered by the CUDA backend: every pixel equals the executable specification's, bit for bit. */
#include "shared/device/cuda/cuda_render.h"

#include "shared/base/library.h"
#include "tests/helper_device.h"
#include "tests/helper_views.h"
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { PICTURES = 8, BATCH = 8, STEP = 1, CAPACITY = 2 * BATCH };

/* A data set on the device, epoch inputs whose second step is filled, and the same images on the host. */
struct scene {
    struct test_device t;
    struct device_images *images;
    struct picture pictures[PICTURES];
    struct test_inputs f;
    int channels;
};

static void scene_open(struct scene *scene, const char *backend, int channels, unsigned parts)
{
    static const int shapes[PICTURES][2] = {{1, 1}, {9, 2}, {2, 9}, {16, 16}, {33, 70}, {70, 64}, {40, 256}, {130, 97}};
    const struct epoch_content sizes = {.capacity = CAPACITY, .batch = BATCH, .students = 1, .classes = 2};
    struct error err = {0};
    *scene = (struct scene){.t = test_device_open(backend, 1), .channels = channels};
    test_must(scene->t.backend->device->images->create(scene->t.device, PICTURES, channels, NULL, &scene->images, &err),
              &err);
    for (uint32_t i = 0; i < PICTURES; i++) {
        struct picture *picture = &scene->pictures[i];
        struct image copy;
        picture_init(picture, shapes[i][0], shapes[i][1], channels, i);
        test_must(image_init(&copy, shapes[i][0], shapes[i][1], channels, &err), &err);
        memcpy(copy.pixels, picture->base.pixels, (size_t)copy.h * (size_t)copy.w * (size_t)channels);
        test_must(scene->t.backend->device->images->put(scene->t.device, scene->images, i, &copy, 0, &err), &err);
        assert_null(copy.pixels);
    }
    test_inputs_init(&scene->f, &scene->t, &sizes, parts);
}

static void scene_close(struct scene *scene)
{
    test_inputs_release(&scene->f, &scene->t);
    scene->t.backend->device->images->destroy(scene->t.device, scene->images);
    test_device_close(&scene->t);
    for (int i = 0; i < PICTURES; i++)
        picture_release(&scene->pictures[i]);
}

/* The mix of slot i of the second step, NULL if nothing is mixed. */
static const struct view_mix *mix_of(const struct scene *scene, int i)
{
    const struct view_mix *mixes = scene->f.content.mixes;
    return mixes ? &mixes[STEP * BATCH + i] : NULL;
}

static const struct picture *picture_of(const struct scene *scene, int i)
{
    return &scene->pictures[scene->f.content.samples[STEP * BATCH + i]];
}

/* Whole numbers up to 255, different for every channel: exact in every dtype. */
static void make_table(float table[3][256])
{
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 256; i++)
            table[c][i] = (float)((i + 85 * c) % 256);
}

/* Fails unless values[size, size, out_channels] are the pixels of view i by the table, and 0 in channels that the image
 * does not have. */
static void check_view(const struct scene *scene, int i, int size, int out_channels, float table[3][256],
                       const float *values)
{
    const struct epoch_content *content = &scene->f.content;
    const struct view_mix *mix = mix_of(scene, i);
    const struct view *partner_view = mix ? &content->partner_views[STEP * BATCH + i] : NULL;
    const struct picture *partner = mix ? &scene->pictures[content->partners[STEP * BATCH + i]] : NULL;
    const int count = size * size, channels = scene->channels;
    uint8_t *pixels = malloc((size_t)count * (size_t)channels);
    reference_pixels(&content->views[STEP * BATCH + i], picture_of(scene, i), mix, partner_view, partner, size, pixels);
    for (int at = 0; at < count; at++)
        for (int c = 0; c < out_channels; c++) {
            const float expected = c < channels ? table[c][pixels[at * channels + c]] : 0;
            if (values[at * out_channels + c] != expected)
                fail_msg("size %d, view %d, pixel (%d, %d), channel %d is %g, expected %g", size, i, at % size,
                         at / size, c, (double)values[at * out_channels + c], (double)expected);
        }
    free(pixels);
}

/* Renders `count` views of the second step and compares them. The memory behind them must not change. */
static void check_step(struct scene *scene, int count, int size, enum dtype dtype)
{
    const size_t view = (size_t)size * (size_t)size * (size_t)scene->channels, floats = (BATCH + 1) * view;
    void *out = test_device_buffer(&scene->t, NULL, floats * dtype_size(dtype));
    float *values = malloc(floats * sizeof *values), table[3][256];
    struct error err = {0};
    make_table(table);
    test_inputs_upload(&scene->f, &scene->t, STEP);
    const struct epoch_content *content = &scene->f.content;
    const struct epoch_views views = epoch_inputs_views(&scene->f.inputs);
    test_must(scene->t.backend->device->images->prefetch(
                  scene->t.device, scene->images, content->samples + STEP * BATCH,
                  content->partners ? content->partners + STEP * BATCH : NULL, count, STEP, &err),
              &err);
    test_must(scene->t.backend->device->images->render(scene->t.device, scene->images, &views, count, size, table,
                                                       dtype, out, &err),
              &err);
    test_device_read(&scene->t, values, out, dtype, floats);
    for (int i = 0; i < count; i++)
        check_view(scene, i, size, scene->channels, table, values + (size_t)i * view);
    for (size_t i = (size_t)count * view; i < floats; i++)
        assert_true(values[i] != values[i]); /* still NaN */
    free(values);
    test_device_free(&scene->t, out);
}

static void draw_partner(struct scene *scene, struct random_stream *stream, int slot, int size)
{
    const uint32_t sample = random_below(stream, PICTURES);
    random_mix(&scene->f.content.mixes[slot], stream, size);
    scene->f.content.partners[slot] = sample;
    random_view(&scene->f.content.partner_views[slot], stream, &scene->pictures[sample], size);
}

static void draw_views(struct scene *scene, struct random_stream *stream, int size)
{
    for (int i = 0; i < BATCH; i++) {
        const uint32_t sample = random_below(stream, PICTURES);
        scene->f.content.samples[STEP * BATCH + i] = sample;
        random_view(&scene->f.content.views[STEP * BATCH + i], stream, &scene->pictures[sample], size);
        if (scene->f.content.mixes)
            draw_partner(scene, stream, STEP * BATCH + i, size);
    }
}

static void any_view(void **state)
{
    static const int sizes[] = {1, 2, 3, 7, 16, 31, 32, 33, 45, 46};
    static const enum dtype elements[] = {DTYPE_FP32, DTYPE_BF16, DTYPE_FP16};
    struct random_stream stream;
    random_stream_init(&stream, 3, RANDOM_INIT, 0, 0);
    for (int k = 0; k < 4; k++) {
        struct scene scene;
        scene_open(&scene, *state, k % 2 ? 3 : 1, k < 2 ? 0 : EPOCH_MIXES);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            test_device_order(i % 2 ? "reverse" : "forward");
            draw_views(&scene, &stream, sizes[i]);
            check_step(&scene, i % 3 ? BATCH : BATCH - 3, sizes[i], elements[i % 3]);
        }
        test_device_order("forward");
        scene_close(&scene);
    }
}

/* More pixels than the blocks of a view have threads: each thread makes several groups of pixels. */
static void large_views(void **state)
{
    struct random_stream stream;
    struct scene scene;
    random_stream_init(&stream, 4, RANDOM_INIT, 0, 0);
    scene_open(&scene, *state, 3, EPOCH_MIXES);
    draw_views(&scene, &stream, 101);
    check_step(&scene, 2, 101, DTYPE_FP32);
    draw_views(&scene, &stream, 224);
    check_step(&scene, 1, 224, DTYPE_BF16);
    scene_close(&scene);
}

static void recipes(void **state)
{
    static const char *const texts[] = {
        "none",
        "light",
        "cifar",
        "food11-strong",
        "random_resized_crop(scale=0.001:1)+affine(180,translate=1,scale=0.1:10,shear=80)",
        "light+color_jitter(brightness=10,contrast=10,saturation=10,hue=0.5)+erase(p=1)+erase(p=1,value=0)",
    };
    for (int channels = 1; channels <= 3; channels += 2) {
        struct scene scene;
        scene_open(&scene, *state, channels, 0);
        for (uint32_t r = 0; r < sizeof texts / sizeof *texts; r++) {
            const int crop = r % 2 ? 48 : 32, size = r % 3 ? 48 : 20;
            struct recipe recipe;
            assert_int_equal(recipe_parse(&recipe, texts[r], NULL), STATUS_OK);
            for (uint32_t i = 0; i < BATCH; i++) {
                const struct image *base = &scene.pictures[i % PICTURES].base;
                scene.f.content.samples[STEP * BATCH + i] = i % PICTURES;
                view_make(&scene.f.content.views[STEP * BATCH + i], &recipe, 7, i, r, base->h, base->w, crop, size);
            }
            check_step(&scene, BATCH, size, DTYPE_FP32);
        }
        scene_close(&scene);
    }
}

typedef enum status render_views(void *stream, const struct cuda_render_job *job, float (*table)[256],
                                 struct error *err);

/* As stage one does it: arrays of views and pictures, and more channels than the image has. */
static void padded_channels(void **state)
{
    static const int out_channels[] = {3, 4, 5, 8};
    enum { SIZE = 31, COUNT = 4 };
    const size_t view = (size_t)SIZE * SIZE;
    struct random_stream stream;
    const char *path = getenv("SOFTCACHE_TEST_CUDA");
    const void *symbol = NULL;
    struct error err = {0};
    struct scene scene;
    struct cuda_picture pictures[COUNT];
    float table[3][256];
    scene_open(&scene, *state, 3, 0);
    if (path)
        symbol = dlsym(dlopen(path, RTLD_NOW | RTLD_NODELETE), "cuda_render_views");
    else
        test_must(library_symbol("shim/softcache_cuda.so", "cuda_render_views", &symbol, &err), &err);
    assert_non_null(symbol);
    render_views *render = (render_views *)(uintptr_t)symbol;
    make_table(table);
    random_stream_init(&stream, 5, RANDOM_INIT, 0, 0);
    draw_views(&scene, &stream, SIZE);
    for (int i = 0; i < COUNT; i++) {
        const struct picture *from = picture_of(&scene, i);
        size_t bytes = 0;
        for (int k = 0; k < from->level_count; k++)
            bytes += cuda_level_bytes(from->levels[k].h, from->levels[k].w, 3);
        uint8_t *packed = calloc(bytes, 1), *at = packed;
        for (int k = 0; k < from->level_count; at += cuda_level_bytes(from->levels[k].h, from->levels[k].w, 3), k++)
            memcpy(at, from->levels[k].pixels, (size_t)from->levels[k].h * (size_t)from->levels[k].w * 3);
        pictures[i] = (struct cuda_picture){test_device_buffer(&scene.t, packed, bytes), from->base.h, from->base.w};
        free(packed);
    }
    struct cuda_render_job job = {.count = COUNT, .size = SIZE, .channels = 3};
    job.views = test_device_buffer(&scene.t, scene.f.content.views + STEP * BATCH, COUNT * sizeof *job.views);
    job.pictures = test_device_buffer(&scene.t, pictures, sizeof pictures);
    job.scratch = test_device_buffer(&scene.t, NULL, cuda_render_scratch_bytes(COUNT));
    for (size_t k = 0; k < 2 * sizeof out_channels / sizeof *out_channels; k++) {
        const size_t floats = COUNT * view * (size_t)(job.out_channels = out_channels[k / 2]);
        float *values = malloc(floats * sizeof *values), ignored;
        job.dtype = k % 2 ? DTYPE_FP16 : DTYPE_FP32;
        job.out = test_device_buffer(&scene.t, NULL, floats * dtype_size(job.dtype));
        test_device_download(&scene.t, &ignored, job.out, sizeof(uint16_t)); /* waits for the uploads */
        test_must(render(NULL, &job, table, &err), &err);
        test_device_free(&scene.t, test_device_buffer(&scene.t, NULL, 1)); /* freeing waits for every stream */
        test_device_read(&scene.t, values, job.out, job.dtype, floats);
        for (int i = 0; i < COUNT; i++)
            check_view(&scene, i, SIZE, job.out_channels, table, values + (size_t)i * view * (size_t)job.out_channels);
        free(values);
        test_device_free(&scene.t, job.out);
    }
    for (int i = 0; i < COUNT; i++)
        test_device_free(&scene.t, (void *)(uintptr_t)pictures[i].pixels);
    test_device_free(&scene.t, (void *)(uintptr_t)job.views);
    test_device_free(&scene.t, (void *)(uintptr_t)job.pictures);
    test_device_free(&scene.t, job.scratch);
    scene_close(&scene);
}

#define ON_CUDA(test)                   \
    {                                   \
#test, test, NULL, NULL, "cuda" \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_CUDA(any_view),
        ON_CUDA(large_views),
        ON_CUDA(recipes),
        ON_CUDA(padded_channels),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
