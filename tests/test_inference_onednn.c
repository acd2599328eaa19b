/* The CPU engine of stage one against the reference executor: every operator, odd shapes, fused chains whose
 * middle is recorded, random graphs. A sample's values do not depend on threads, batch or neighbours. */
#include "shared/backend/backend.h"
#include "shared/inference/cpu/engine_cpu.h"
#include "shared/inference/onednn/onednn_engine.h"
#include "shared/base/library.h"
#include "shared/graph/graph_reference.h"
#include "tests/helper_engine_graphs.h"

#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

/* Largest difference over largest magnitude of a tensor. Sums of up to a few thousand float products are compared with
 * sums in double: 1e-6 to 5e-6 measured for single operators; in deep networks the errors add up. */
static const double op_tolerance = 2e-5, network_tolerance = 1e-4;
enum { MAX_OUTPUTS = 64, GUARD = 16 };
static const float guard_value = -12345.5f;

static size_t size_of(const struct graph *graph, int node)
{
    struct shape shape = graph->nodes[node].shape;
    return (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
}

/* [n, c, h, w] -> [n, h, w, c] */
static void to_channels_last(const float *from, float *to, int n, struct shape s)
{
    for (int i = 0; i < n; i++)
        for (int c = 0; c < s.c; c++)
            for (int p = 0; p < s.h * s.w; p++)
                to[((size_t)i * (size_t)(s.h * s.w) + (size_t)p) * (size_t)s.c + (size_t)c] =
                    from[((size_t)i * (size_t)s.c + (size_t)c) * (size_t)(s.h * s.w) + (size_t)p];
}

static double relative_error(const float *got, const float *expected, size_t count)
{
    double difference = 0, magnitude = 1e-30;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(got[i]))
            return INFINITY;
        difference = fmax(difference, fabs((double)got[i] - (double)expected[i]));
        magnitude = fmax(magnitude, fabs((double)expected[i]));
    }
    return difference / magnitude;
}

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK)
        fail_msg("%s", err->message);
}

static struct device *open_cpu(int threads)
{
    struct error err = {0};
    struct device *device;
    must(backend_cpu.device->open(&device, &(struct device_options){.threads = threads}, &err), &err);
    return device;
}

/* Runs the engine; outputs[i] is malloc'ed, [n, c, h, w]. */
static void run_engine(const struct graph *graph, const float *input, int n, int batch, int threads, const int *wanted,
                       int wanted_count, float **outputs)
{
    enum { IN_FLIGHT = 2 };
    struct error err = {0};
    struct engine *engine = NULL;
    struct device *device = open_cpu(threads);
    const float *answers[MAX_OUTPUTS];
    const struct engine_options options = {
        .batch = batch, .in_flight = IN_FLIGHT, .outputs = wanted, .output_count = wanted_count};
    const struct engine_batch all = {.count = n, .input = input}, first = {.count = 1, .input = input};
    must(engine_cpu.open(&engine, device, graph, &options, &err), &err);
    must(engine_cpu.submit(engine, 1, &first, &err), &err); /* nothing of it remains, */
    must(engine_cpu.submit(engine, 0, &all, &err), &err);
    must(engine_cpu.submit(engine, 1, &first, &err), &err); /* and the other buffer does not touch this one */
    must(engine_cpu.collect(engine, 0, answers, &err), &err);
    for (int i = 0; i < wanted_count; i++) {
        size_t bytes = (size_t)n * size_of(graph, wanted[i]) * sizeof(float);
        outputs[i] = malloc(bytes);
        assert_non_null(outputs[i]);
        memcpy(outputs[i], answers[i], bytes);
    }
    engine_cpu.close(engine);
    backend_cpu.device->close(device);
}

/* The engine renders views into its own memory: the values are those of the input that view_render_input makes. */
static void renders_views(void **state)
{
    enum { SIDE = 9, COUNT = 5 };
    (void)state;
    struct graph_builder builder;
    struct error err = {0};
    struct engine *engine = NULL;
    struct device *device = open_cpu(2);
    struct image levels[2][VIEW_MAX_LEVELS] = {{{0}}};
    int level_counts[2], counts[COUNT];
    struct view views[COUNT];
    struct recipe recipe;
    const struct image *pyramids[COUNT];
    float table[3][256], input[COUNT][SIDE * SIDE * 3];
    uint8_t scratch[SIDE * SIDE * 3];
    const float mean[3] = {0.4F, 0.5F, 0.6F}, std[3] = {0.2F, 0.3F, 0.4F}, *outputs[1];
    build_init(&builder, 7, 3, SIDE, SIDE);
    const int node = build_relu(&builder, build_conv(&builder, 0, 4, 3, 1, 1, 1));
    const struct engine_options options = {.batch = COUNT, .outputs = &node, .output_count = 1};
    view_normalisation_table(table, mean, std, 3);
    must(recipe_parse(&recipe, "food11-strong", &err), &err);
    for (int i = 0; i < 2; i++) {
        struct image base;
        must(image_init(&base, 40 + i, 37, 3, &err), &err);
        for (int k = 0; k < (40 + i) * 37 * 3; k++)
            base.pixels[k] = (uint8_t)(k * 7 + i * 31 + k / 50);
        must(view_pyramid(&base, levels[i], &level_counts[i], &err), &err);
    }
    for (int k = 0; k < COUNT; k++) {
        int image = k / 3;
        view_make(&views[k], &recipe, 5, (uint32_t)image, (uint32_t)k, 40 + image, 37, SIDE, SIDE);
        pyramids[k] = levels[image];
        counts[k] = level_counts[image];
        view_render_input(&views[k], pyramids[k], counts[k], SIDE, table, scratch, input[k]);
    }
    const struct engine_batch rendered = {
        .count = COUNT, .views = views, .levels = pyramids, .level_counts = counts, .table = table};
    float *expected[1];
    run_engine(&builder.graph, input[0], COUNT, COUNT, 1, &node, 1, expected);
    must(engine_cpu.open(&engine, device, &builder.graph, &options, &err), &err);
    must(engine_cpu.submit(engine, 0, &rendered, &err), &err);
    must(engine_cpu.collect(engine, 0, outputs, &err), &err);
    assert_memory_equal(outputs[0], expected[0], COUNT * size_of(&builder.graph, node) * sizeof(float));
    engine_cpu.close(engine);
    backend_cpu.device->close(device);
    for (int i = 0; i < 2; i++) {
        view_pyramid_release(levels[i], level_counts[i]);
        image_release(&levels[i][0]);
    }
    free(expected[0]);
    build_release(&builder);
}

/* The engine writes one sample's values and nothing around them. */
static void stays_in_its_outputs(void **state)
{
    enum { SIDE = 32, OUTPUTS = 3 };
    (void)state;
    struct graph_builder builder;
    struct error err = {0};
    const void *symbol = NULL;
    struct onednn_engine *engine = NULL;
    static float input[SIDE * SIDE * 3];
    float *outputs[OUTPUTS];
    build_mobilenet_v2(&builder, 2, SIDE, 10);
    const struct graph *graph = &builder.graph;
    const int wanted[OUTPUTS] = {graph->output, graph->output - 20, 2};
    build_fill(&builder.random, input, sizeof input / sizeof *input);
    must(library_symbol(ONEDNN_ENGINE_LIBRARY, ONEDNN_ENGINE_SYMBOL, &symbol, &err), &err);
    const struct onednn_engine_ops *ops = symbol;
    for (int i = 0; i < OUTPUTS; i++) {
        size_t count = size_of(graph, wanted[i]) + 2 * GUARD;
        outputs[i] = malloc(count * sizeof(float));
        assert_non_null(outputs[i]);
        for (size_t k = 0; k < count; k++)
            outputs[i][k] = guard_value;
        outputs[i] += GUARD;
    }
    must(ops->new (&engine, graph, wanted, OUTPUTS, 1, false, SIZE_MAX, &err), &err);
    must(ops->run(engine, 0, input, outputs, &err), &err);
    ops->free(engine);
    ops->free(NULL);
    for (int i = 0; i < OUTPUTS; i++) {
        for (int k = 0; k < GUARD; k++) {
            assert_true(outputs[i][-1 - k] == guard_value);
            assert_true(outputs[i][size_of(graph, wanted[i]) + (size_t)k] == guard_value);
        }
        free(outputs[i] - GUARD);
    }
    build_release(&builder);
}

/* Compares the wanted nodes on n random samples with the reference. */
static void check_nodes(struct graph_builder *builder, int n, const int *wanted, int wanted_count, double tolerance)
{
    struct graph *graph = &builder->graph;
    struct error err = {0};
    size_t count = (size_t)n * size_of(graph, graph->input);
    float *outputs[MAX_OUTPUTS], *input = malloc(count * sizeof *input), *nhwc = malloc(count * sizeof *nhwc);
    assert_non_null(input);
    assert_non_null(nhwc);
    build_fill(&builder->random, input, count);
    to_channels_last(input, nhwc, n, graph->nodes[graph->input].shape);
    run_engine(graph, nhwc, n, n + 1, 2, wanted, wanted_count, outputs);
    float *again = malloc(count * sizeof *again);
    assert_non_null(again);
    to_channels_last(input, again, n, graph->nodes[graph->input].shape);
    assert_memory_equal(nhwc, again, count * sizeof *again); /* the engine only reads the caller's input */
    free(again);
    for (int i = 0; i < wanted_count; i++) {
        size_t size = (size_t)n * size_of(graph, wanted[i]);
        float *expected = malloc(size * sizeof *expected);
        assert_non_null(expected);
        must(graph_forward_reference(graph, input, n, wanted[i], expected, &err), &err);
        double error = relative_error(outputs[i], expected, size);
        if (!(error <= tolerance))
            fail_msg("node %s (%s): relative error %g", graph->nodes[wanted[i]].name,
                     op_name(graph->nodes[wanted[i]].op), error);
        free(expected);
        free(outputs[i]);
    }
    free(input);
    free(nhwc);
}

/* Checks the last node alone, so that everything before it may be fused, and then every node together. */
static void check_network(struct graph_builder *builder)
{
    int all[MAX_OUTPUTS], count = builder->graph.node_count;
    assert_true(count <= MAX_OUTPUTS);
    for (int i = 0; i < count; i++)
        all[i] = i;
    check_nodes(builder, 2, &builder->graph.output, 1, op_tolerance);
    check_nodes(builder, 2, all, count, op_tolerance);
}

/* ---- single operators and their combinations ---- */

static void convolutions(void **state)
{
    (void)state;
    engine_convolutions(check_network);
}

static void pools(void **state)
{
    (void)state;
    engine_pools(check_network);
}

static void all_activations(void **state)
{
    (void)state;
    engine_activations(check_network);
}

static void combinations(void **state)
{
    (void)state;
    engine_combinations(check_network);
}

static void operators(void **state)
{
    (void)state;
    engine_norms(check_network);
    engine_large_means(check_network);
    engine_scales(check_network);
    engine_gates(check_network);
    engine_selects(check_network);
    engine_pads(check_network);
    engine_resizes(check_network);
}

static void perceptrons(void **state)
{
    (void)state;
    engine_perceptrons(check_network);
}

static void check_every_node(struct graph_builder *builder)
{
    check_network(builder);
    for (int i = 0; i < builder->graph.node_count;
         i++) /* every single node with the last one: the others may be fused */
        check_nodes(builder, 1, (const int[]){builder->graph.output, i, i}, 3, op_tolerance);
}

static void residuals(void **state)
{
    (void)state;
    engine_residuals(check_every_node);
}

static void random_graphs(void **state)
{
    enum { GRAPHS = 40 };
    (void)state;
    for (uint64_t seed = 100; seed < 100 + GRAPHS; seed++) {
        struct graph_builder builder;
        int wanted[4];
        engine_random_graph(&builder, seed);
        wanted[0] = builder.graph.output;
        for (int i = 1; i < 4; i++)
            wanted[i] = (int)random_below(&builder.random, (uint32_t)builder.graph.node_count);
        check_nodes(&builder, 2, wanted, 1, network_tolerance);
        check_nodes(&builder, 1, wanted, 4, network_tolerance);
        build_release(&builder);
    }
}

/* ---- networks ---- */

static void mobilenet_v2(void **state)
{
    (void)state;
    struct graph_builder builder;
    build_mobilenet_v2(&builder, 1, 64, 10);
    check_nodes(&builder, 2, (const int[]){builder.graph.output, builder.graph.output / 2}, 2, network_tolerance);
    build_release(&builder);
}

static void resnet18(void **state)
{
    (void)state;
    struct graph_builder builder;
    build_resnet18(&builder, 1, 64, 10);
    check_nodes(&builder, 1, (const int[]){builder.graph.output, builder.graph.output / 2}, 2, network_tolerance);
    build_release(&builder);
}

/* ---- the contract ---- */

static void independent_of_threads_and_batch(void **state)
{
    enum { SAMPLES = 5, SIDE = 32 };
    static float input[SAMPLES * SIDE * SIDE * 3];
    (void)state;
    struct graph_builder builder;
    float *expected[2], *got[2];
    build_mobilenet_v2(&builder, 2, SIDE, 10);
    const int wanted[2] = {builder.graph.output, builder.graph.output - 20};
    build_fill(&builder.random, input, sizeof input / sizeof *input);
    run_engine(&builder.graph, input, SAMPLES, SAMPLES, 1, wanted, 2, expected);
    for (int threads = 1; threads <= 3; threads++)
        for (int count = 1; count <= SAMPLES; count += 2)
            for (int first = 0; first + count <= SAMPLES; first++) {
                run_engine(&builder.graph, input + (size_t)first * SIDE * SIDE * 3, count, count + threads, threads,
                           wanted, 2, got);
                for (int i = 0; i < 2; i++) {
                    size_t size = size_of(&builder.graph, wanted[i]);
                    assert_memory_equal(got[i], expected[i] + (size_t)first * size,
                                        (size_t)count * size * sizeof(float));
                    free(got[i]);
                }
            }
    free(expected[0]);
    free(expected[1]);
    build_release(&builder);
}

static void refuses(void **state)
{
    (void)state;
    struct graph_builder builder;
    struct error err = {0};
    struct engine *engine = NULL;
    struct device *device = open_cpu(1);
    float input[3 * 4 * 4] = {0};
    build_init(&builder, 1, 3, 4, 4);
    const int node = build_relu(&builder, 0);
    struct engine_options options = {.outputs = &node, .output_count = 1};
    assert_int_equal(engine_cpu.open(&engine, device, &builder.graph, &options, &err), STATUS_INTERNAL);
    assert_null(engine);
    err = (struct error){0};
    options.batch = 1;
    options.precision = PRECISION_FP16;
    assert_int_equal(engine_cpu.open(&engine, device, &builder.graph, &options, &err), STATUS_CONFIG);
    assert_non_null(strstr(err.message, "fp32"));
    err = (struct error){0};
    options.precision = PRECISION_FP32;
    must(engine_cpu.open(&engine, device, &builder.graph, &options, &err), &err);
    must(engine_cpu.submit(engine, 0, &(struct engine_batch){.count = 0, .input = input}, &err), &err);
    assert_int_equal(engine_cpu.submit(engine, 0, &(struct engine_batch){.count = 2, .input = input}, &err),
                     STATUS_INTERNAL);
    assert_non_null(strstr(err.message, "batch"));
    engine_cpu.close(engine);
    engine_cpu.close(NULL);
    backend_cpu.device->close(device);
    build_release(&builder);
}

/* The engine's shared object is missing or of another version. */
static void library_is_missing(void **state)
{
    (void)state;
    const void *symbol = NULL;
    struct error err = {0};
    assert_int_equal(library_symbol("softcache_none.so", "x", &symbol, &err), STATUS_CONFIG);
    assert_non_null(strstr(err.message, "softcache_none.so"));
    err = (struct error){0};
    assert_int_equal(library_symbol("softcache_onednn.so", "of_another_version", &symbol, &err), STATUS_CONFIG);
    assert_non_null(strstr(err.message, "version"));
    assert_null(symbol);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),
        cmocka_unit_test(pools),
        cmocka_unit_test(all_activations),
        cmocka_unit_test(combinations),
        cmocka_unit_test(operators),
        cmocka_unit_test(perceptrons),
        cmocka_unit_test(residuals),
        cmocka_unit_test(random_graphs),
        cmocka_unit_test(mobilenet_v2),
        cmocka_unit_test(resnet18),
        cmocka_unit_test(independent_of_threads_and_batch),
        cmocka_unit_test(renders_views),
        cmocka_unit_test(stays_in_its_outputs),
        cmocka_unit_test(refuses),
        cmocka_unit_test(library_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
