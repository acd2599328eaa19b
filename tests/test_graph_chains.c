/* Which nodes of small graphs share a step: one graph per rule of graph_chains.h, with the answer. That the engines
 * compute the right values with these chains is shown by test_inference.c and test_teacher_runner.c. */
#include "shared/graph/graph_chains.h"
#include "tests/helper_nets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

struct fixture {
    struct graph graph;
    struct graph_chains chains;
    int input;
};

static void begin(struct fixture *f)
{
    graph_init(&f->graph);
    f->input = net_input(&f->graph, 4, 8, 8);
}

static bool fuses_all(const struct node *host, const struct node *follower)
{
    (void)follower;
    return host->op == OP_CONV || host->op == OP_LINEAR || host->op == OP_ADD;
}

static bool fuses_nothing(const struct node *host, const struct node *follower)
{
    (void)host;
    (void)follower;
    return false;
}

static bool fuses_relu_only(const struct node *host, const struct node *follower)
{
    return host->op == OP_CONV && follower->op == OP_ACTIVATION && follower->activation == ACTIVATION_RELU;
}

static void find(struct fixture *f, graph_fuses *fuses, const int *retained, int retained_count)
{
    struct error err = {0};
    if (graph_chains_find(&f->chains, &f->graph, retained, retained_count, fuses, &err) != STATUS_OK)
        fail_msg("%s", err.message);
}

static void end(struct fixture *f)
{
    graph_chains_release(&f->chains);
    graph_release(&f->graph);
}

/* A step exists at `last`, and it computes this. */
static void expect(const struct fixture *f, int last, int host, int addend, int activation)
{
    assert_true(graph_chains_ends_at(&f->chains, last));
    const struct graph_chain chain = graph_chain_ending_at(&f->chains, &f->graph, last);
    assert_int_equal(chain.host, host);
    assert_int_equal(chain.last, last);
    assert_int_equal(chain.addend, addend);
    assert_int_equal(chain.activation, activation);
    for (int i = host; i >= 0; i = f->chains.next[i]) {
        assert_int_equal(f->chains.host[i], host);
        assert_int_equal(f->chains.last[i], last);
    }
}

static void expect_alone(const struct fixture *f, int node)
{
    expect(f, node, node, -1, -1);
}

static int conv(struct fixture *f, int from)
{
    return net_conv(&f->graph, from, (struct net_window){.kernel = 3, .pad = 1});
}

/* conv -> relu: one step, where the relu stands. */
static void activation_joins_its_layer(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    const int layer = conv(&f, f.input), relu = net_relu(&f.graph, layer);
    find(&f, fuses_all, &relu, 1);
    assert_false(graph_chains_ends_at(&f.chains, layer));
    expect(&f, relu, layer, -1, relu);
    expect_alone(&f, f.input); /* no engine fuses anything into the input */
    end(&f);
}

/* What the engine cannot fuse keeps its own step. */
static void engine_decides(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    const int layer = conv(&f, f.input), clip = net_activation(&f.graph, layer, ACTIVATION_CLIP, 0, 6);
    const int second = conv(&f, clip), relu = net_relu(&f.graph, second);
    find(&f, fuses_nothing, &relu, 1);
    for (int i = f.input; i <= relu; i++)
        expect_alone(&f, i);
    graph_chains_release(&f.chains);
    find(&f, fuses_relu_only, &relu, 1);
    expect_alone(&f, layer);
    expect_alone(&f, clip);
    expect(&f, relu, second, -1, relu);
    end(&f);
}

/* The layer's value has a second reader, so it must exist. */
static void chain_ends_at_two_readers(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    const int layer = conv(&f, f.input), relu = net_relu(&f.graph, layer);
    const int both = net_concat(&f.graph, layer, relu);
    find(&f, fuses_all, &both, 1);
    expect_alone(&f, layer);
    expect_alone(&f, relu);
    assert_int_equal(f.chains.readers[layer], 2);
    end(&f);
}

static void chain_ends_at_retained_value(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    const int layer = conv(&f, f.input), relu = net_relu(&f.graph, layer);
    const int retained[2] = {relu, layer};
    find(&f, fuses_all, retained, 2);
    expect_alone(&f, layer);
    expect_alone(&f, relu);
    end(&f);
}

/* A residual block: the second layer takes the addition and the activation behind it. */
static void residual_addition(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    const int before = conv(&f, f.input), layer = conv(&f, before);
    const int sum = net_add(&f.graph, layer, before), relu = net_relu(&f.graph, sum);
    find(&f, fuses_all, &relu, 1);
    expect_alone(&f, before);
    expect(&f, relu, layer, before, relu);
    assert_false(graph_chains_ends_at(&f.chains, sum));
    end(&f);
}

/* Both inputs are layers: the later one adds, whichever input it is, because the other one is computed by then. */
static void later_layer_adds(void **state)
{
    (void)state;
    for (int swapped = 0; swapped < 2; swapped++) {
        struct fixture f;
        begin(&f);
        const int early = conv(&f, f.input), late = conv(&f, f.input);
        const int sum = swapped ? net_add(&f.graph, early, late) : net_add(&f.graph, late, early);
        find(&f, fuses_all, &sum, 1);
        expect_alone(&f, early);
        expect(&f, sum, late, early, -1);
        end(&f);
    }
}

/* The later input cannot vanish, so the earlier layer adds, at the place of the sum. */
static void earlier_layer_adds_if_the_later_cannot(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    const int early = conv(&f, f.input), late = net_pool(&f.graph, f.input, OP_MAX_POOL, 3, 1, 1);
    const int sum = net_add(&f.graph, early, late);
    find(&f, fuses_all, &sum, 1);
    assert_false(graph_chains_ends_at(&f.chains, early));
    expect_alone(&f, late);
    expect(&f, sum, early, late, -1);
    end(&f);
}

/* x + x has two readers of x, and a sum of three values is a step of its own; it may take an activation. */
static void sums_that_stand_alone(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    const int layer = conv(&f, f.input), twice = net_add(&f.graph, layer, layer);
    const int a = conv(&f, twice), b = conv(&f, twice), c = conv(&f, twice), three[3] = {a, b, c};
    const struct node add = node_default(OP_ADD);
    const int sum = net_node(&f.graph, &add, three, 3), relu = net_relu(&f.graph, sum);
    find(&f, fuses_all, &relu, 1);
    expect_alone(&f, layer);
    expect_alone(&f, twice);
    expect_alone(&f, a);
    expect_alone(&f, c);
    expect(&f, relu, sum, -1, relu);
    end(&f);
}

/* A chain has one addition and one activation. */
static void one_of_each(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    const int other = conv(&f, f.input), third = net_pool(&f.graph, f.input, OP_MAX_POOL, 3, 1, 1);
    const int layer = conv(&f, f.input);
    const int first_sum = net_add(&f.graph, layer, third), second_sum = net_add(&f.graph, first_sum, other);
    const int first_relu = net_relu(&f.graph, second_sum), second_relu = net_relu(&f.graph, first_relu);
    find(&f, fuses_all, &second_relu, 1);
    expect(&f, first_sum, layer, third, -1);
    assert_false(graph_chains_ends_at(&f.chains, other)); /* the first sum cannot add again, so `other` does */
    expect(&f, first_relu, other, first_sum, first_relu);
    expect_alone(&f, second_relu);
    end(&f);
}

/* An addition after the activation starts a chain of its own, and nodes that no retained value needs have no step. */
static void only_what_is_needed(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    const int layer = conv(&f, f.input), relu = net_relu(&f.graph, layer), sum = net_add(&f.graph, relu, f.input);
    const int unused = conv(&f, sum), tail = net_relu(&f.graph, unused);
    find(&f, fuses_all, &sum, 1);
    expect(&f, relu, layer, -1, relu);
    expect_alone(&f, sum);
    assert_false(graph_chains_ends_at(&f.chains, unused));
    assert_false(graph_chains_ends_at(&f.chains, tail));
    assert_false(f.chains.needed[tail]);
    assert_int_equal(f.chains.readers[sum], 0); /* the reader is not needed */
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activation_joins_its_layer),
        cmocka_unit_test(engine_decides),
        cmocka_unit_test(chain_ends_at_two_readers),
        cmocka_unit_test(chain_ends_at_retained_value),
        cmocka_unit_test(residual_addition),
        cmocka_unit_test(later_layer_adds),
        cmocka_unit_test(earlier_layer_adds_if_the_later_cannot),
        cmocka_unit_test(sums_that_stand_alone),
        cmocka_unit_test(one_of_each),
        cmocka_unit_test(only_what_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
