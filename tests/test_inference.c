/* Stage one's engine on every backend, through the table that teacher_dump uses: recorded values against the reference
 * executor, views against inputs that the CPU renders, batches that are in flight at the same time. Single operators
 * are tested with their engines. */
#define _GNU_SOURCE
#include "shared/backend/backend.h"
#include "shared/graph/graph_reference.h"
#include "tests/helper_device.h"
#include "tests/helper_graphs.h"
#include "tests/helper_images.h"
#include "tests/helper_views.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIDE = 19, OUTPUTS = 5, IMAGES = 4, VIEWS = 9, LARGEST = 16 };

/* Largest difference over largest magnitude, for sums of up to a few hundred rounded values. */
static const double tolerances[] = {
    [PRECISION_FP32] = 2e-5, [PRECISION_TF32] = 2e-2, [PRECISION_FP16] = 1e-2, [PRECISION_BF16] = 6e-2};

/* Odd sizes and channels, and recorded values in places where an engine would like to fuse. */
static void build_teacher(struct graph_builder *b, int outputs[OUTPUTS])
{
    build_init(b, 11, 3, SIDE, SIDE);
    int x = build_conv(b, 0, 13, 3, 2, 1, 1);
    x = outputs[1] = build_relu(b, build_batch_norm(b, x));
    int y = build_relu(b, build_batch_norm(b, build_conv(b, x, 13, 3, 1, 1, 13)));
    y = outputs[2] = build_batch_norm(b, build_conv(b, y, 13, 1, 1, 0, 1));
    x = build_max_pool(b, build_relu(b, build_op2(b, OP_ADD, x, y)), 3, 2, 1);
    x = outputs[4] = build_relu(b, build_batch_norm(b, x)); /* not part of any layer */
    x = outputs[3] = build_op1(b, OP_GLOBAL_AVERAGE_POOL, x);
    outputs[0] = build_linear(b, build_op1(b, OP_FLATTEN, x), 11);
}

struct fixture {
    struct test_device device;
    struct graph_builder builder;
    int outputs[OUTPUTS];
    size_t sizes[OUTPUTS]; /* floats per sample */
    struct image levels[IMAGES][VIEW_MAX_LEVELS];
    int level_counts[IMAGES];
    struct view views[VIEWS];
    const struct image *pyramids[VIEWS];
    int counts[VIEWS];
    float table[3][256];
    float input[VIEWS][SIDE * SIDE * 3]; /* the rendered views */
};

static void make_images(struct fixture *f)
{
    struct error err = {0};
    for (int i = 0; i < IMAGES; i++) {
        struct image base;
        synthetic_photo(&base, 45 + 20 * i, 61 + 7 * i, i, (uint32_t)i);
        test_must(view_pyramid(&base, f->levels[i], &f->level_counts[i], &err), &err);
    }
}

static void release_images(struct fixture *f)
{
    for (int i = 0; i < IMAGES; i++) {
        view_pyramid_release(f->levels[i], f->level_counts[i]);
        image_release(&f->levels[i][0]);
    }
}

/* Views of neighbouring images, three levels of them, with colours and erased rectangles. */
static void make_views(struct fixture *f)
{
    static const char text[] = "random_resized_crop(scale=0.1:1)+hflip+color_jitter(brightness=0.4,contrast=0.4)+erase";
    const float mean[3] = {0.4F, 0.5F, 0.6F}, std[3] = {0.2F, 0.3F, 0.4F};
    struct error err = {0};
    struct recipe recipe;
    uint8_t scratch[SIDE * SIDE * 3];
    test_must(recipe_parse(&recipe, text, &err), &err);
    view_normalisation_table(f->table, mean, std, 3);
    for (int k = 0; k < VIEWS; k++) {
        const int image = k * IMAGES / VIEWS;
        const struct image *levels = f->levels[image];
        view_make(&f->views[k], &recipe, 5, (uint32_t)image, (uint32_t)k, levels[0].h, levels[0].w, SIDE, SIDE);
        f->pyramids[k] = levels;
        f->counts[k] = f->level_counts[image];
        view_render_input(&f->views[k], levels, f->counts[k], SIDE, f->table, scratch, f->input[k]);
    }
}

static void set_up(struct fixture *f, const char *backend)
{
    memset(f, 0, sizeof *f);
    f->device = test_device_open(backend, 2);
    build_teacher(&f->builder, f->outputs);
    for (int i = 0; i < OUTPUTS; i++) {
        const struct shape s = f->builder.graph.nodes[f->outputs[i]].shape;
        f->sizes[i] = (size_t)s.c * (size_t)s.h * (size_t)s.w;
    }
    make_images(f);
    make_views(f);
}

static void tear_down(struct fixture *f)
{
    release_images(f);
    build_release(&f->builder);
    test_device_close(&f->device);
}

static struct engine *open_engine(const struct fixture *f, int batch, int in_flight, enum precision precision)
{
    struct error err = {0};
    struct engine *engine;
    const struct engine_options options = {
        .batch = batch, .in_flight = in_flight, .precision = precision, .outputs = f->outputs, .output_count = OUTPUTS};
    test_must(f->device.backend->engine->open(&engine, f->device.device, &f->builder.graph, &options, &err), &err);
    return engine;
}

static struct engine_batch views_of(struct fixture *f, int first, int count)
{
    return (struct engine_batch){.count = count,
                                 .views = f->views + first,
                                 .levels = f->pyramids + first,
                                 .level_counts = f->counts + first,
                                 .table = f->table};
}

static void submit(const struct fixture *f, struct engine *engine, int buffer, const struct engine_batch *batch)
{
    struct error err = {0};
    test_must(f->device.backend->engine->submit(engine, buffer, batch, &err), &err);
}

/* The answers of a buffer, copied: [OUTPUTS] malloc'ed. */
static void collect(const struct fixture *f, struct engine *engine, int buffer, int count, float *answers[OUTPUTS])
{
    struct error err = {0};
    const float *outputs[OUTPUTS];
    test_must(f->device.backend->engine->collect(engine, buffer, outputs, &err), &err);
    for (int i = 0; i < OUTPUTS; i++) {
        const size_t bytes = (size_t)count * f->sizes[i] * sizeof(float);
        answers[i] = malloc(bytes);
        assert_non_null(answers[i]);
        memcpy(answers[i], outputs[i], bytes);
    }
}

static void free_answers(float *answers[OUTPUTS])
{
    for (int i = 0; i < OUTPUTS; i++)
        free(answers[i]);
}

/* answers of views [first, first + count) of all */
static void assert_part(const struct fixture *f, float *const part[OUTPUTS], float *const all[OUTPUTS], int first,
                        int count)
{
    for (int i = 0; i < OUTPUTS; i++)
        assert_memory_equal(part[i], all[i] + (size_t)first * f->sizes[i], (size_t)count * f->sizes[i] * sizeof(float));
}

static void assert_near(const struct fixture *f, int output, const float *got, const float *expected, double tolerance)
{
    double difference = 0, magnitude = 1e-30;
    for (size_t i = 0; i < VIEWS * f->sizes[output]; i++) {
        assert_true(isfinite(got[i]));
        difference = fmax(difference, fabs((double)got[i] - (double)expected[i]));
        magnitude = fmax(magnitude, fabs((double)expected[i]));
    }
    if (!(difference / magnitude <= tolerance))
        fail_msg("output %d: relative difference %g, allowed %g", output, difference / magnitude, tolerance);
}

static void check_precision(struct fixture *f, enum precision precision)
{
    const struct graph *graph = &f->builder.graph;
    struct error err = {0};
    float *answers[OUTPUTS], *planes = malloc(sizeof f->input);
    struct engine *engine = open_engine(f, VIEWS, 1, precision);
    const struct engine_batch batch = {.count = VIEWS, .input = f->input[0]};
    assert_non_null(planes);
    for (int n = 0; n < VIEWS; n++)
        for (int c = 0; c < 3; c++)
            for (int p = 0; p < SIDE * SIDE; p++)
                planes[(n * 3 + c) * SIDE * SIDE + p] = f->input[n][p * 3 + c];
    submit(f, engine, 0, &batch);
    collect(f, engine, 0, VIEWS, answers);
    for (int i = 0; i < OUTPUTS; i++) {
        float *expected = malloc(VIEWS * f->sizes[i] * sizeof *expected);
        assert_non_null(expected);
        test_must(graph_forward_reference(graph, planes, VIEWS, f->outputs[i], expected, &err), &err);
        assert_near(f, i, answers[i], expected, tolerances[precision]);
        free(expected);
    }
    free_answers(answers);
    free(planes);
    assert_non_null(strstr(f->device.backend->engine->describe(engine), precision_name(precision)));
    f->device.backend->engine->close(engine);
}

/* Every precision that the backend has. */
static void recorded_values(void **state)
{
    static struct fixture f;
    set_up(&f, *state);
    int count = 0;
    for (int p = PRECISION_FP32; precision_names[p]; p++) {
        enum precision chosen;
        if (f.device.backend->engine->choose_precision(0, (enum precision)p, false, &chosen, NULL) != STATUS_OK)
            continue;
        assert_int_equal(chosen, p);
        check_precision(&f, chosen);
        count++;
    }
    assert_true(count >= 1);
    tear_down(&f);
}

/* Rendering on the device gives the same input, bit for bit, in every precision. */
static void views_are_rendered(void **state)
{
    static struct fixture f;
    float *rendered[OUTPUTS], *given[OUTPUTS];
    set_up(&f, *state);
    struct engine *engine = open_engine(&f, LARGEST, 2, PRECISION_AUTO);
    const struct engine_batch input = {.count = VIEWS, .input = f.input[0]}, views = views_of(&f, 0, VIEWS);
    submit(&f, engine, 0, &input);
    submit(&f, engine, 1, &views);
    collect(&f, engine, 0, VIEWS, given);
    collect(&f, engine, 1, VIEWS, rendered);
    assert_part(&f, rendered, given, 0, VIEWS);
    free_answers(rendered);
    free_answers(given);
    f.device.backend->engine->close(engine);
    tear_down(&f);
}

/* The same for mixed views: the CPU's executable specification mixes the rendered views. */
static void mixed_views_are_rendered(void **state)
{
    static struct fixture f;
    static float mixed[VIEWS][SIDE * SIDE * 3];
    struct view partner_views[VIEWS];
    const struct image *partner_levels[VIEWS];
    int partner_counts[VIEWS];
    struct view_mix mixes[VIEWS];
    float *rendered[OUTPUTS], *given[OUTPUTS];
    struct random_stream stream;
    set_up(&f, *state);
    random_stream_init(&stream, 9, RANDOM_INIT, 0, 0);
    for (int k = 0; k < VIEWS; k++) {
        const int other = (k * 2 + 3) % VIEWS;
        uint8_t own[SIDE * SIDE * 3], partner[SIDE * SIDE * 3];
        random_mix(&mixes[k], &stream, SIDE);
        partner_views[k] = f.views[other];
        partner_levels[k] = mixes[k].kind == VIEW_MIX_NONE ? NULL : f.pyramids[other];
        partner_counts[k] = f.counts[other];
        view_render_reference(&f.views[k], f.pyramids[k], f.counts[k], SIDE, own);
        view_render_reference(&f.views[other], f.pyramids[other], f.counts[other], SIDE, partner);
        view_mix_reference(&mixes[k], SIDE, 3, own, partner);
        view_normalise(mixed[k], own, SIDE * SIDE, 3, f.table);
    }
    struct engine *engine = open_engine(&f, LARGEST, 2, PRECISION_AUTO);
    const struct engine_batch input = {.count = VIEWS, .input = mixed[0]};
    struct engine_batch views = views_of(&f, 0, VIEWS);
    views.mixes = mixes;
    views.partner_views = partner_views;
    views.partner_levels = partner_levels;
    views.partner_level_counts = partner_counts;
    submit(&f, engine, 0, &input);
    submit(&f, engine, 1, &views);
    collect(&f, engine, 0, VIEWS, given);
    collect(&f, engine, 1, VIEWS, rendered);
    assert_part(&f, rendered, given, 0, VIEWS);
    free_answers(rendered);
    free_answers(given);
    f.device.backend->engine->close(engine);
    tear_down(&f);
}

/* The caller's memory may change as soon as submit returns. */
static void change_everything(struct fixture *f, struct view *views)
{
    memset(views, 0xee, VIEWS * sizeof *views);
    release_images(f);
    make_images(f);
    for (int i = 0; i < IMAGES; i++)
        memset(f->levels[i][0].pixels, i, (size_t)f->levels[i][0].h * (size_t)f->levels[i][0].w * 3);
}

/* Three batches in flight, of different sizes, in any order of buffers: each gives the same values as alone, although
 * the memory it was submitted with has changed by then. */
static void batches_overlap(void **state)
{
    enum { IN_FLIGHT = 3 };
    static const int firsts[IN_FLIGHT] = {2, 0, 8}, counts[IN_FLIGHT] = {5, 9, 1}, buffers[IN_FLIGHT] = {1, 2, 0};
    static struct fixture f;
    float *all[OUTPUTS], *parts[IN_FLIGHT][OUTPUTS];
    set_up(&f, *state);
    struct engine *alone = open_engine(&f, VIEWS, 0, PRECISION_AUTO);
    const struct engine_batch batch = views_of(&f, 0, VIEWS);
    submit(&f, alone, 0, &batch);
    collect(&f, alone, 0, VIEWS, all);
    f.device.backend->engine->close(alone);

    struct engine *engine = open_engine(&f, VIEWS, IN_FLIGHT, PRECISION_AUTO);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < IN_FLIGHT; i++) {
            struct view views[VIEWS];
            memcpy(views, f.views, sizeof views);
            struct engine_batch part = views_of(&f, firsts[i], counts[i]);
            part.views = views + firsts[i];
            submit(&f, engine, buffers[i], &part);
            change_everything(&f, views);
            release_images(&f);
            make_images(&f);
        }
        for (int i = IN_FLIGHT - 1; i >= 0; i--) {
            collect(&f, engine, buffers[i], counts[i], parts[i]);
            assert_part(&f, parts[i], all, firsts[i], counts[i]);
            free_answers(parts[i]);
        }
    }
    free_answers(all);
    f.device.backend->engine->close(engine);
    tear_down(&f);
}

/* A sample's values depend neither on its place in the batch, nor on its neighbours, nor on their number. */
static void samples_are_independent(void **state)
{
    static struct fixture f;
    float *all[OUTPUTS], *one[OUTPUTS];
    set_up(&f, *state);
    struct engine *engine = open_engine(&f, VIEWS, 1, PRECISION_AUTO);
    const struct engine_batch batch = views_of(&f, 0, VIEWS), none = views_of(&f, 0, 0);
    submit(&f, engine, 0, &batch);
    collect(&f, engine, 0, VIEWS, all);
    for (int k = 0; k < VIEWS; k += 4) {
        const struct engine_batch single = views_of(&f, k, 1);
        submit(&f, engine, 0, &single);
        collect(&f, engine, 0, 1, one);
        assert_part(&f, one, all, k, 1);
        free_answers(one);
    }
    submit(&f, engine, 0, &none);
    collect(&f, engine, 0, 0, one);
    free_answers(one);
    free_answers(all);
    f.device.backend->engine->close(engine);
    tear_down(&f);
}

/* Too large a batch, no output, and closing an engine that was never opened. */
static void refuses(void **state)
{
    static struct fixture f;
    struct error err = {0};
    struct engine *engine = NULL;
    set_up(&f, *state);
    const struct engine_ops *ops = f.device.backend->engine;
    struct engine_options options = {.batch = 2, .outputs = f.outputs};
    assert_int_equal(ops->open(&engine, f.device.device, &f.builder.graph, &options, &err), STATUS_INTERNAL);
    assert_null(engine);
    ops->close(NULL);
    engine = open_engine(&f, 2, 1, PRECISION_AUTO);
    const struct engine_batch three = views_of(&f, 0, 3);
    err = (struct error){0};
    assert_int_equal(ops->submit(engine, 0, &three, &err), STATUS_INTERNAL);
    assert_non_null(strstr(err.message, "a batch of 3"));
    ops->close(engine);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(recorded_values),          ON_EVERY_BACKEND(views_are_rendered),
        ON_EVERY_BACKEND(mixed_views_are_rendered), ON_EVERY_BACKEND(batches_overlap),
        ON_EVERY_BACKEND(samples_are_independent),  ON_EVERY_BACKEND(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
