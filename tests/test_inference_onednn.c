/* The CPU engine of stage one against the reference executor: every op, odd shapes, fused chains whose middle is
 * recorded, random graphs; and that a sample's values do not depend on threads, batch or neighbours. */
#include "shared/backend/backend.h"
#include "shared/backend/cpu/inference_cpu.h"
#include "shared/backend/cpu/onednn/onednn_engine.h"
#include "shared/base/library.h"
#include "shared/graph/graph_reference.h"
#include "tests/helper_graphs.h"

#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

/* Largest difference over largest magnitude of a tensor. Sums of up to some thousand float products against sums in
 * double: 1e-6 to 5e-6 measured for single ops; deep networks add up. */
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
    must(backend_cpu.device_new(&device, &(struct device_options){.threads = threads}, &err), &err);
    return device;
}

/* Runs the engine; outputs[i] is malloc'ed, [n, c, h, w]. */
static void run_engine(const struct graph *graph, const float *input, int n, int batch, int threads, const int *wanted,
                       int wanted_count, float **outputs)
{
    enum { SLOTS = 2 };
    struct error err = {0};
    struct inference *inference = NULL;
    struct device *device = open_cpu(threads);
    const float *answers[MAX_OUTPUTS];
    const struct inference_options options = {
        .batch = batch, .slots = SLOTS, .outputs = wanted, .output_count = wanted_count};
    const struct inference_batch all = {.count = n, .input = input}, first = {.count = 1, .input = input};
    must(inference_cpu.open(&inference, device, graph, &options, &err), &err);
    must(inference_cpu.submit(inference, 1, &first, &err), &err); /* nothing is left over from it, */
    must(inference_cpu.submit(inference, 0, &all, &err), &err);
    must(inference_cpu.submit(inference, 1, &first, &err), &err); /* nor does the other slot touch this one */
    must(inference_cpu.collect(inference, 0, answers, &err), &err);
    for (int i = 0; i < wanted_count; i++) {
        size_t bytes = (size_t)n * size_of(graph, wanted[i]) * sizeof(float);
        outputs[i] = malloc(bytes);
        assert_non_null(outputs[i]);
        memcpy(outputs[i], answers[i], bytes);
    }
    inference_cpu.close(inference);
    backend_cpu.device_free(device);
}

/* Views are rendered into the engine's own memory: the same values as from the input that view_render_input makes. */
static void renders_views(void **state)
{
    enum { SIDE = 9, COUNT = 5 };
    (void)state;
    struct graph_builder builder;
    struct error err = {0};
    struct inference *inference = NULL;
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
    const struct inference_options options = {.batch = COUNT, .outputs = &node, .output_count = 1};
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
    const struct inference_batch rendered = {
        .count = COUNT, .views = views, .levels = pyramids, .level_counts = counts, .table = table};
    float *expected[1];
    run_engine(&builder.graph, input[0], COUNT, COUNT, 1, &node, 1, expected);
    must(inference_cpu.open(&inference, device, &builder.graph, &options, &err), &err);
    must(inference_cpu.submit(inference, 0, &rendered, &err), &err);
    must(inference_cpu.collect(inference, 0, outputs, &err), &err);
    assert_memory_equal(outputs[0], expected[0], COUNT * size_of(&builder.graph, node) * sizeof(float));
    inference_cpu.close(inference);
    backend_cpu.device_free(device);
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
    must(ops->new (&engine, graph, wanted, OUTPUTS, 1, &err), &err);
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
    assert_memory_equal(nhwc, again, count * sizeof *again); /* the caller's input is only read */
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

/* ---- single ops ---- */

struct window_case {
    int c, h, w, channels, kernel[2], stride[2], dilation[2], pad[4], groups; /* pad: top, left, bottom, right */
};

static struct node window_node(enum op op, const struct window_case *window)
{
    struct node node = node_default(op);
    node.kernel_h = window->kernel[0], node.kernel_w = window->kernel[1];
    node.stride_h = window->stride[0], node.stride_w = window->stride[1];
    node.dilation_h = window->dilation[0], node.dilation_w = window->dilation[1];
    node.pad_top = window->pad[0], node.pad_left = window->pad[1];
    node.pad_bottom = window->pad[2], node.pad_right = window->pad[3];
    node.groups = window->groups ? window->groups : 1;
    return node;
}

static void convolutions(void **state)
{
    static const struct window_case cases[] = {
        {3, 17, 19, 16, {3, 3}, {2, 2}, {1, 1}, {0, 0, 1, 1}, 1}, /* TensorFlow's SAME padding */
        {3, 32, 32, 64, {7, 7}, {2, 2}, {1, 1}, {3, 3, 3, 3}, 1},
        {1, 9, 5, 7, {3, 2}, {1, 2}, {1, 1}, {1, 0, 2, 1}, 1},
        {5, 8, 8, 3, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 1},
        {24, 14, 14, 144, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 1},
        {40, 7, 7, 20, {1, 1}, {2, 2}, {1, 1}, {0, 0, 0, 0}, 1},
        {12, 13, 11, 12, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 12}, /* depthwise */
        {96, 13, 13, 96, {3, 3}, {2, 2}, {1, 1}, {0, 0, 1, 1}, 96},
        {33, 9, 9, 33, {5, 5}, {2, 2}, {1, 1}, {2, 2, 2, 2}, 33},
        {6, 9, 9, 12, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 6}, /* two outputs per input channel */
        {32, 8, 8, 48, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 4},
        {10, 8, 8, 15, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 5},
        {16, 15, 15, 16, {3, 3}, {1, 1}, {2, 2}, {2, 2, 2, 2}, 1},
        {8, 15, 12, 8, {3, 3}, {2, 1}, {3, 2}, {3, 0, 1, 2}, 8},
        {64, 1, 1, 10, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 1},
        {512, 7, 7, 32, {7, 7}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 1},
        {4, 6, 6, 4, {6, 6}, {1, 1}, {1, 1}, {5, 5, 5, 5}, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int bias = 0; bias < 2; bias++) {
            struct graph_builder builder;
            build_init(&builder, i, cases[i].c, cases[i].h, cases[i].w);
            build_conv_node(&builder, window_node(OP_CONV, &cases[i]), 0, cases[i].channels, bias);
            check_network(&builder);
            build_release(&builder);
        }
}

static void pools(void **state)
{
    static const struct window_case cases[] = {
        {16, 12, 12, 0, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}, 0},
        {64, 13, 9, 0, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, 0},
        {5, 7, 8, 0, {3, 2}, {1, 2}, {1, 1}, {1, 0, 0, 1}, 0},
        {17, 14, 14, 0, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}, 0},
        {3, 15, 15, 0, {4, 4}, {3, 3}, {1, 1}, {2, 2, 2, 2}, 0},
        {8, 10, 10, 0, {5, 5}, {4, 4}, {1, 1}, {1, 1, 1, 1}, 0},
        {20, 11, 11, 0, {3, 3}, {3, 3}, {1, 1}, {0, 0, 1, 1}, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int variant = 0; variant < 8; variant++) {
            struct graph_builder builder;
            struct node node = window_node(variant & 1 ? OP_AVERAGE_POOL : OP_MAX_POOL, &cases[i]);
            node.ceil_mode = variant & 2;
            node.count_include_pad = variant & 4;
            build_init(&builder, i, cases[i].c, cases[i].h, cases[i].w);
            build_add1(&builder, node, 0);
            check_network(&builder);
            build_release(&builder);
        }
    struct graph_builder builder;
    struct window_case dilated = {6, 15, 13, 0, {3, 3}, {2, 1}, {2, 3}, {1, 1, 1, 1}, 0};
    build_init(&builder, 1, 6, 15, 13);
    build_op1(&builder, OP_GLOBAL_AVERAGE_POOL, build_add1(&builder, window_node(OP_MAX_POOL, &dilated), 0));
    check_network(&builder);
    build_release(&builder);
}

static const struct {
    enum activation activation;
    float alpha, beta;
} activations[] = {{ACTIVATION_RELU, 0, 0},
                   {ACTIVATION_LEAKY_RELU, 0.1f, 0},
                   {ACTIVATION_CLIP, 0, 6},
                   {ACTIVATION_CLIP, -0.25f, 0.5f},
                   {ACTIVATION_HARD_SIGMOID, 1.0f / 6, 0.5f},
                   {ACTIVATION_HARD_SIGMOID, 0.2f, 0.5f},
                   {ACTIVATION_HARD_SWISH, 0, 0},
                   {ACTIVATION_SIGMOID, 0, 0}};

/* Each activation on the input, and fused into a convolution, an add, a batch norm and a linear layer. */
static void all_activations(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        struct graph_builder builder;
        enum activation kind = activations[i].activation;
        float alpha = activations[i].alpha, beta = activations[i].beta;
        build_init(&builder, i, 6, 9, 7);
        int x = build_activation(&builder, 0, kind, alpha, beta);
        x = build_activation(&builder, build_conv(&builder, x, 20, 3, 1, 1, 1), kind, alpha, beta);
        int y = build_op2(&builder, OP_ADD, build_conv(&builder, x, 20, 1, 1, 0, 1), x);
        y = build_activation(&builder, y, kind, alpha, beta);
        y = build_activation(&builder, build_batch_norm(&builder, y), kind, alpha, beta);
        y = build_linear(&builder, build_op1(&builder, OP_FLATTEN, y), 11);
        build_activation(&builder, build_activation(&builder, y, kind, alpha, beta), kind, alpha, beta);
        check_network(&builder);
        build_release(&builder);
    }
}

static void combinations(void **state)
{
    (void)state;
    struct graph_builder builder;
    build_init(&builder, 3, 5, 10, 9);
    int a = build_conv(&builder, 0, 24, 3, 1, 1, 1), b = build_conv(&builder, 0, 17, 3, 1, 1, 1);
    int c = build_add(&builder, node_default(OP_CONCAT), (const int[]){a, 0, b, a}, 4);
    int d = build_relu(&builder, build_batch_norm(&builder, c));
    int gate = build_op1(&builder, OP_GLOBAL_AVERAGE_POOL, d);
    gate = build_activation(&builder, build_conv(&builder, gate, 70, 1, 1, 0, 1), ACTIVATION_SIGMOID, 0, 0);
    int e = build_op2(&builder, OP_MULTIPLY, d, gate);
    e = build_op2(&builder, OP_MULTIPLY, e, c);
    e = build_add(&builder, node_default(OP_ADD), (const int[]){e, d, c, e}, 4);
    e = build_op2(&builder, OP_ADD, e, e);
    struct node pad = node_default(OP_PAD);
    pad.pad_top = 1, pad.pad_right = 2, pad.pad_bottom = 3;
    e = build_add1(&builder, pad, e);
    e = build_op1(&builder, OP_DROPOUT, e);
    e = build_linear(&builder, build_op1(&builder, OP_FLATTEN, e), 13);
    e = build_linear(&builder, build_op1(&builder, OP_DROPOUT, build_relu(&builder, e)), 6);
    build_op1(&builder, OP_SOFTMAX, e);
    check_network(&builder);
    build_release(&builder);
}

/* The ways in which an add in place could go wrong: its other input is read later, is the layer's own input, is the
 * caller's memory, or is of another layout. */
static void residuals(void **state)
{
    (void)state;
    struct graph_builder builder;
    build_init(&builder, 4, 16, 8, 8);
    int x = build_op2(&builder, OP_ADD, build_conv(&builder, 0, 16, 3, 1, 1, 1), 0);
    x = build_op2(&builder, OP_ADD, build_conv(&builder, x, 16, 3, 1, 1, 1), 0); /* the caller's memory */
    int y = build_relu(&builder, build_op2(&builder, OP_ADD, x, build_conv(&builder, x, 16, 1, 1, 0, 1)));
    int late = build_conv(&builder, y, 16, 3, 1, 1, 16);
    int z = build_op2(&builder, OP_ADD, build_conv(&builder, y, 16, 1, 1, 0, 1),
                      build_conv(&builder, x, 16, 3, 1, 1, 1)); /* x is read again below */
    z = build_op2(&builder, OP_ADD, z, x);
    int w = build_op2(&builder, OP_ADD, late, z);
    w = build_op2(&builder, OP_ADD, build_conv(&builder, w, 16, 3, 1, 1, 1), build_op1(&builder, OP_DROPOUT, w));
    w = build_op2(&builder, OP_ADD, w, w);
    build_op2(&builder, OP_CONCAT, w, y);
    check_network(&builder);
    for (int i = 0; i < builder.graph.node_count; i++) /* any single node with the last: the rest may be fused */
        check_nodes(&builder, 1, (const int[]){builder.graph.output, i, i}, 3, op_tolerance);
    build_release(&builder);
}

/* ---- random graphs ---- */

static int draw(struct graph_builder *builder, int bound)
{
    return (int)random_below(&builder->random, (uint32_t)bound);
}

/* Another node of the same shape as node i (perhaps i). */
static int same_shape(struct graph_builder *builder, int i)
{
    const struct graph *graph = &builder->graph;
    int found = i;
    for (int k = 0, seen = 0; k < graph->node_count; k++)
        if (memcmp(&graph->nodes[k].shape, &graph->nodes[i].shape, sizeof(struct shape)) == 0 &&
            draw(builder, ++seen) == 0)
            found = k;
    return found;
}

static void append_random(struct graph_builder *builder)
{
    int count = builder->graph.node_count, x = count - 1 - draw(builder, count < 4 ? count : 4);
    struct shape shape = builder->graph.nodes[x].shape;
    size_t which = (size_t)draw(builder, (int)(sizeof activations / sizeof *activations));
    switch (draw(builder, 9)) {
    case 0:
        build_conv(builder, x, shape.c, 1 + 2 * draw(builder, 2), 1, draw(builder, 2), 1);
        break;
    case 1:
        build_conv(builder, x, shape.c, 3, 1, 1, shape.c);
        break;
    case 2:
        build_conv(builder, x, 1 + draw(builder, 40), 3, 1 + draw(builder, 2), 1, 1);
        break;
    case 3:
        build_batch_norm(builder, x);
        break;
    case 4:
        build_activation(builder, x, activations[which].activation, activations[which].alpha, activations[which].beta);
        break;
    case 5:
        build_max_pool(builder, x, 3, 1, 1);
        break;
    case 6:
        build_op2(builder, shape.c < 200 && draw(builder, 3) == 0 ? OP_CONCAT : OP_ADD, x, same_shape(builder, x));
        break;
    default: /* the commonest thing, so that there is much to fuse */
        build_op2(builder, OP_ADD, build_conv(builder, x, shape.c, 3, 1, 1, 1), same_shape(builder, x));
        break;
    }
}

static void random_graphs(void **state)
{
    enum { GRAPHS = 40, NODES = 16 };
    (void)state;
    for (uint64_t seed = 100; seed < 100 + GRAPHS; seed++) {
        struct graph_builder builder;
        int wanted[4];
        build_init(&builder, seed, 1 + (int)(seed % 20), 6 + (int)(seed % 7), 12);
        while (builder.graph.node_count < NODES)
            append_random(&builder);
        wanted[0] = builder.graph.output;
        for (int i = 1; i < 4; i++)
            wanted[i] = draw(&builder, builder.graph.node_count);
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
    struct inference *inference = NULL;
    struct device *device = open_cpu(1);
    float input[3 * 4 * 4] = {0};
    build_init(&builder, 1, 3, 4, 4);
    const int node = build_relu(&builder, 0);
    struct inference_options options = {.outputs = &node, .output_count = 1};
    assert_int_equal(inference_cpu.open(&inference, device, &builder.graph, &options, &err), STATUS_INTERNAL);
    assert_null(inference);
    err = (struct error){0};
    options.batch = 1;
    options.precision = INFERENCE_FP16;
    assert_int_equal(inference_cpu.open(&inference, device, &builder.graph, &options, &err), STATUS_CONFIG);
    assert_non_null(strstr(err.message, "fp32"));
    err = (struct error){0};
    options.precision = INFERENCE_FP32;
    must(inference_cpu.open(&inference, device, &builder.graph, &options, &err), &err);
    must(inference_cpu.submit(inference, 0, &(struct inference_batch){.count = 0, .input = input}, &err), &err);
    assert_int_equal(inference_cpu.submit(inference, 0, &(struct inference_batch){.count = 2, .input = input}, &err),
                     STATUS_INTERNAL);
    assert_non_null(strstr(err.message, "batch"));
    inference_cpu.close(inference);
    inference_cpu.close(NULL);
    backend_cpu.device_free(device);
    build_release(&builder);
}

/* The engine's shared object is missing, or of another version. */
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
