/* Lowered students (shared/quantise/lowered.h) are the graphs that they come from: those with which the teachers'
 * engines are tested, random ones, and layers that share weights. tests/test_quantise.c has presets, integers and
 * student.c. */
#include "shared/graph/graph_reference.h"
#include "shared/quantise/lowered.h"
#include "tests/helper_engine_graphs.h"
#include "tests/helper_nets.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int compared, refused;

static size_t values_of(struct shape s)
{
    return (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

/* [c, h, w] to [h, w, c]. */
static void channels_last(struct shape s, const float *from, float *to)
{
    for (int c = 0; c < s.c; c++)
        for (int p = 0; p < s.h * s.w; p++)
            to[p * s.c + c] = from[c * s.h * s.w + p];
}

static void compare(const struct graph *graph)
{
    const struct shape in = graph->nodes[graph->input].shape, out = graph->nodes[graph->output].shape;
    float *input = calloc(values_of(in), sizeof *input), *turned = calloc(values_of(in), sizeof *turned);
    float *right = calloc(values_of(out), sizeof *right), *expected = calloc(values_of(out), sizeof *expected);
    float *found = calloc(values_of(out), sizeof *found), most = 0;
    struct lowered lowered;
    struct error err = {0};
    net_fill(input, values_of(in), 5);
    const enum status status = lowered_init(&lowered, graph, &err);
    if (status != STATUS_OK) { /* a layer without a simple form: named, and never computed in another way */
        assert_int_equal(status, STATUS_CONFIG);
        assert_non_null(strstr(err.message, "has no form in integers or plain C"));
        refused++;
    } else {
        float *arena = calloc(lowered.arena_values, sizeof *arena);
        channels_last(in, input, turned);
        lowered_run(&lowered, turned, arena, NULL, NULL, found);
        assert_int_equal(graph_forward_reference(graph, input, 1, graph->output, right, &err), STATUS_OK);
        channels_last(out, right, expected);
        for (size_t i = 0; i < values_of(out); i++)
            most = fmaxf(most, fabsf(expected[i]));
        for (size_t i = 0; i < values_of(out); i++)
            if (!(fabsf(found[i] - expected[i]) <= 1e-5f + 1e-4f * most))
                fail_msg("'%s' (%s): value %zu is %g, not %g", graph->nodes[graph->output].name,
                         op_name(graph->nodes[graph->output].op), i, (double)found[i], (double)expected[i]);
        free(arena);
        lowered_release(&lowered);
        compared++;
    }
    free(input);
    free(turned);
    free(right);
    free(expected);
    free(found);
}

static void check(struct graph_builder *builder)
{
    compare(&builder->graph);
}

/* So many graphs must have been compared, the others refused. */
static void expect_counts(int at_least, const char *what)
{
    print_message("# %s: %d compared, %d refused\n", what, compared, refused);
    assert_true(compared >= at_least);
    compared = refused = 0;
}

static void layers(void **state)
{
    (void)state;
    engine_convolutions(check);
    expect_counts(34, "convolutions");
    engine_pools(check);
    expect_counts(50, "pools");
    engine_activations(check);
    expect_counts(20, "activations");
    engine_perceptrons(check);
    engine_residuals(check);
    expect_counts(5, "perceptrons and residuals");
    engine_scales(check);
    expect_counts(50, "scales");
    engine_gates(check);
    expect_counts(15, "gates");
    engine_selects(check);
    expect_counts(50, "selections");
    engine_pads(check);
    expect_counts(20, "pads");
}

static void random_graphs(void **state)
{
    enum { GRAPHS = 60 };
    (void)state;
    for (uint64_t seed = 300; seed < 300 + GRAPHS; seed++) {
        struct graph_builder builder;
        engine_random_graph(&builder, seed);
        compare(&builder.graph);
        build_release(&builder);
    }
    expect_counts(5, "random graphs");
}

/* Every layer gets weights of its own: batch norms behind them differ. */
static void shared_weights(void **state)
{
    enum { LAYERS = 12 };
    (void)state;
    struct graph graph;
    graph_init(&graph);
    int at = net_input(&graph, 4, 6, 6);
    at = net_conv_norm_relu(&graph, at, (struct net_window){.kernel = 3, .pad = 1});
    int first = at;
    while (graph.nodes[first].op != OP_CONV)
        first = graph.nodes[first].inputs[0];
    for (int i = 0; i < LAYERS; i++) {
        at = net_conv(&graph, at, (struct net_window){.kernel = 3, .pad = 1});
        graph.nodes[at].weight = graph.nodes[first].weight;
        at = net_relu(&graph, net_batch_norm(&graph, at));
    }
    net_linear(&graph, at, 5, true);
    net_weights(&graph, 3);
    compare(&graph);
    expect_counts(1, "shared weights");
    graph_release(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers),
        cmocka_unit_test(random_graphs),
        cmocka_unit_test(shared_weights),
    };
    return cmocka_run_group_tests_name("lowered", tests, NULL, NULL);
}
