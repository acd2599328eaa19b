/* The structure of a plan: what becomes a step, where epilogues are attached, who finishes which gradient, and where
 * gradients lie. test_kernels.c shows that training by a plan is right. */
#include "shared/graph/plan.h"
#include "shared/graph/plan_memory.h"
#include "tests/helper_nets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void compile(struct plan *plan, const struct graph *graph, const int *retained, int retained_count)
{
    struct error err = {0};
    if (plan_compile(plan, graph, &(struct plan_options){4, DTYPE_FP32, retained, retained_count, false}, &err) !=
        STATUS_OK)
        fail_msg("%s", err.message);
}

/* plan_compile fails with a message that has `text`. */
static void refuses(const struct graph *graph, const char *text)
{
    struct plan plan;
    struct error err = {0};
    assert_int_equal(plan_compile(&plan, graph, &(struct plan_options){.batch = 4}, &err), STATUS_CONFIG);
    if (!strstr(err.message, text))
        fail_msg("'%s' does not say '%s'", err.message, text);
    plan_release(&plan);
}

static void chain_is_fused(void **state)
{
    struct graph graph;
    struct plan plan;
    (void)state;
    graph_init(&graph);
    int at = net_input(&graph, 3, 8, 8);
    at = net_conv_norm_relu(&graph, at, (struct net_window){.out = 4, .kernel = 3, .bias = true});
    at = net_conv_norm_relu(&graph, at, (struct net_window){.kernel = 3, .groups = 4});
    net_linear(&graph, at, 5, true);
    compile(&plan, &graph, NULL, 0);
    assert_int_equal(plan.step_count, 3);
    assert_int_equal(plan.tensor_count, 4);
    assert_int_equal(plan.batch_norm_count, 2);
    assert_int_equal(plan.steps[0].kind, STEP_CONV);
    assert_int_equal(plan.steps[1].kind, STEP_DEPTHWISE);
    assert_int_equal(plan.steps[2].kind, STEP_LINEAR);
    const struct plan_tensor *first = &plan.tensors[plan.steps[0].output];
    assert_int_equal(first->batch_norm, 0);
    assert_int_equal(first->activation, ACTIVATION_RELU);
    assert_int_equal(plan.node_tensor[3], plan.steps[0].output); /* the value of the ReLU */
    assert_int_equal(plan.node_tensor[1], -1);                   /* the bare convolution is inside the chain */
    /* the bias before a batch norm goes to the batch norm */
    assert_true(plan.steps[0].statistics && !plan_has(plan.steps[0].bias));
    assert_int_equal(plan.batch_norms[0].layer_bias.offset, plan.weight_offset[graph.nodes[1].bias]);
    assert_true(plan.tensors[plan.input].gradient == PLAN_NONE);
    for (int s = 1; s < 3; s++)
        assert_true(plan.steps[s].inputs[0].finish && !plan.steps[s].inputs[0].accumulate);
    assert_int_equal(plan.parameter_count, graph_parameter_count(&graph));
    char *text = plan_describe(&plan);
    assert_non_null(strstr(text, "depthwise"));
    free(text);
    plan_release(&plan);
    graph_release(&graph);
}

/* input -> stem -> conv -> conv -> add(stem) -> relu -> head */
static int residual(struct graph *graph)
{
    graph_init(graph);
    int stem = net_conv_norm_relu(graph, net_input(graph, 3, 6, 6), (struct net_window){.out = 8});
    int left = net_conv_norm_relu(graph, stem, (struct net_window){.kernel = 3, .pad = 1});
    left = net_batch_norm(graph, net_conv(graph, left, (struct net_window){.kernel = 3, .pad = 1}));
    net_linear(graph, net_relu(graph, net_add(graph, left, stem)), 5, true);
    return stem;
}

/* Two convolutions of 8x8 and a linear layer, counted by hand. */
static void costs_are_counted(void **state)
{
    struct graph graph;
    struct plan plan;
    (void)state;
    graph_init(&graph);
    int at = net_input(&graph, 3, 8, 8);
    at = net_conv_norm_relu(&graph, at, (struct net_window){.out = 4, .kernel = 3, .pad = 1});
    at = net_conv_norm_relu(&graph, at, (struct net_window){.kernel = 3, .pad = 1, .groups = 4});
    net_linear(&graph, at, 5, true);
    compile(&plan, &graph, NULL, 0);
    const struct plan_cost cost = plan_cost_of(&plan);
    const double first = 4 * 3 * 9 * 64, second = 4 * 9 * 64, linear = 4 * 64 * 5;
    assert_float_equal(cost.operations, 2 * (2 * first + 3 * second + 3 * linear), 0); /* no gradient of the images */
    assert_float_equal(cost.values, 2 * 192 + 6 * (256 + 256 + 5), 0);
    plan_release(&plan);
    graph_release(&graph);
}

static void residual_gradients(void **state)
{
    struct graph graph;
    struct plan plan;
    (void)state;
    int stem = residual(&graph);
    compile(&plan, &graph, NULL, 0);
    assert_int_equal(plan.step_count, 5);
    const struct plan_step *block = &plan.steps[1], *add = &plan.steps[3];
    assert_int_equal(add->kind, STEP_ADD);
    assert_int_equal(add->inputs[1].tensor, plan.node_tensor[stem]);
    assert_int_equal(block->inputs[0].tensor, plan.node_tensor[stem]);
    /* backward, the sum comes first and the block last */
    assert_true(!add->inputs[1].accumulate && !add->inputs[1].finish);
    assert_true(block->inputs[0].accumulate && block->inputs[0].finish);
    assert_true(!add->inputs[0].accumulate && add->inputs[0].finish);
    assert_int_equal(plan.tensors[add->output].activation, ACTIVATION_RELU);
    plan_release(&plan);
    graph_release(&graph);
}

/* A retained node stays visible, and the loss is the first to write its gradient. */
static void retained_nodes(void **state)
{
    struct graph graph;
    struct plan plan;
    (void)state;
    int stem = residual(&graph), conv = stem - 2;
    compile(&plan, &graph, (int[]){stem, conv}, 2);
    const struct plan_tensor *raw = &plan.tensors[plan.node_tensor[conv]];
    assert_true(raw->batch_norm < 0 && raw->activation == ACTIVATION_NONE);
    assert_int_equal(plan.steps[1].kind, STEP_COPY);
    assert_true(plan.steps[1].inputs[0].accumulate && plan.steps[1].inputs[0].finish);
    for (int s = 2; s < plan.step_count; s++)
        for (int i = 0; i < plan.steps[s].input_count; i++)
            if (plan.steps[s].inputs[i].tensor == plan.node_tensor[stem])
                assert_true(plan.steps[s].inputs[i].accumulate);
    /* memory of its own: no gradient of another tensor may lie there, from the first moment of backward on */
    for (int i = 0; i < 2; i++) {
        const struct plan_tensor *retained = &plan.tensors[plan.node_tensor[i ? conv : stem]];
        const size_t size = 4 * 8 * 6 * 6;
        for (int t = 0; t < plan.tensor_count; t++) {
            const struct plan_tensor *other = &plan.tensors[t];
            const size_t floats = 4 * (size_t)(other->shape.c * other->shape.h * other->shape.w);
            if (other != retained && other->gradient != PLAN_NONE && t >= plan.node_tensor[stem])
                assert_true(other->gradient + floats <= retained->gradient ||
                            retained->gradient + size <= other->gradient);
        }
    }
    plan_release(&plan);
    graph_release(&graph);
}

/* A retained node that nothing else reads gets a raw tensor, as the logits do. */
static void kept_end(void **state)
{
    struct graph graph;
    struct plan plan;
    (void)state;
    graph_init(&graph);
    int at = net_conv_norm_relu(&graph, net_input(&graph, 3, 6, 6), (struct net_window){.out = 8});
    int side = net_conv_norm_relu(&graph, at, (struct net_window){.out = 2});
    int dead = net_conv_norm_relu(&graph, at, (struct net_window){.out = 3});
    net_relu(&graph, net_linear(&graph, at, 5, true));
    compile(&plan, &graph, &side, 1);
    assert_int_equal(plan.step_count, 5); /* stem, side, linear, and copies of the side and of the completed logits */
    assert_int_equal(plan.node_tensor[dead], -1);
    const struct plan_tensor *t = &plan.tensors[plan.node_tensor[side]];
    assert_true(t->batch_norm < 0 && t->activation == ACTIVATION_NONE);
    t = &plan.tensors[plan.output];
    assert_true(t->batch_norm < 0 && t->activation == ACTIVATION_NONE);
    plan_release(&plan);
    graph_release(&graph);
}

static void concat_and_late_norm(void **state)
{
    struct graph graph;
    struct plan plan;
    (void)state;
    graph_init(&graph);
    int at = net_conv_norm_relu(&graph, net_input(&graph, 3, 6, 6), (struct net_window){.out = 8});
    int left = net_conv(&graph, at, (struct net_window){.out = 2});
    at = net_relu(&graph, net_batch_norm(&graph, net_concat(&graph, left, at)));
    at = net_batch_norm(&graph, at); /* after an activation: a copy */
    net_linear(&graph, at, 3, false);
    compile(&plan, &graph, NULL, 0);
    const enum step_kind kinds[] = {STEP_POINTWISE, STEP_POINTWISE, STEP_CONCAT, STEP_COPY, STEP_LINEAR};
    assert_int_equal(plan.step_count, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(plan.steps[i].kind, kinds[i]);
    assert_true(plan.steps[2].statistics && plan.steps[3].statistics);
    assert_int_equal(plan.tensors[plan.steps[2].output].activation, ACTIVATION_RELU);
    assert_int_equal(plan.tensors[plan.steps[3].output].activation, ACTIVATION_NONE);
    plan_release(&plan);
    graph_release(&graph);
}

/* Which of three step kinds a convolution becomes. Padding in a pad before it, or only after the last pixels, makes
 * images larger. */
static void kinds_of_convolutions(void **state)
{
    struct graph graph;
    struct plan plan;
    struct node pad = node_default(OP_PAD), after = node_default(OP_CONV);
    (void)state;
    graph_init(&graph);
    int at = net_conv(&graph, net_input(&graph, 3, 6, 6), (struct net_window){.out = 8});
    at = net_conv(&graph, at, (struct net_window){.stride = 2});
    at = net_conv(&graph, at, (struct net_window){.groups = 2});
    at = net_conv(&graph, at, (struct net_window){.groups = 8});
    pad.pad_bottom = 1;
    at = net_node(&graph, &pad, &at, 1);
    at = net_conv(&graph, at, (struct net_window){.out = 8});
    struct error err = {0};
    after.groups = after.stride_h = after.stride_w = after.dilation_h = after.dilation_w = 1;
    after.pad_right = 1;
    assert_int_equal(graph_add_weight(&graph, "after", (int[]){8, 8, 1, 1}, 4, true, &after.weight, &err), STATUS_OK);
    at = net_node(&graph, &after, &at, 1);
    net_linear(&graph, at, 3, false);
    compile(&plan, &graph, NULL, 0);
    const enum step_kind kinds[] = {STEP_POINTWISE, STEP_CONV, STEP_CONV,  STEP_DEPTHWISE,
                                    STEP_CONV,      STEP_CONV, STEP_LINEAR};
    assert_int_equal(plan.step_count, 7);
    for (int i = 0; i < 7; i++)
        assert_int_equal(plan.steps[i].kind, kinds[i]);
    plan_release(&plan);
    graph_release(&graph);
}

static void same_graph_same_plan(void **state)
{
    struct graph graph;
    struct plan a, b;
    (void)state;
    residual(&graph);
    compile(&a, &graph, NULL, 0);
    compile(&b, &graph, NULL, 0);
    assert_int_equal(a.step_count, b.step_count);
    for (int t = 0; t < a.tensor_count; t++) {
        assert_int_equal(a.tensors[t].value, b.tensors[t].value);
        assert_int_equal(a.tensors[t].gradient, b.tensors[t].gradient);
    }
    char *text_a = plan_describe(&a), *text_b = plan_describe(&b);
    assert_string_equal(text_a, text_b);
    free(text_a);
    free(text_b);
    plan_release(&a);
    plan_release(&b);
    graph_release(&graph);
}

static void weights_go_and_come_back(void **state)
{
    struct graph graph, copy;
    struct plan plan;
    (void)state;
    residual(&graph);
    residual(&copy);
    net_weights(&graph, 3);
    compile(&plan, &graph, NULL, 0);
    float *parameters = calloc(plan.parameter_count, sizeof *parameters),
          *states = calloc(plan.state_count, sizeof *states);
    plan_gather_weights(&plan, &graph, parameters, states);
    plan_scatter_weights(&plan, &copy, parameters, states);
    for (int i = 0; i < graph.weight_count; i++)
        assert_memory_equal(graph.weights[i].data, copy.weights[i].data, graph.weights[i].count * sizeof(float));
    free(parameters);
    free(states);
    plan_release(&plan);
    graph_release(&graph);
    graph_release(&copy);
}

static void what_cannot_be_trained(void **state)
{
    struct graph graph;
    (void)state;
    graph_init(&graph);
    int at = net_conv(&graph, net_input(&graph, 3, 6, 6), (struct net_window){.out = 8});
    refuses(&graph, "one per class");
    const struct node softmax = node_default(OP_SOFTMAX);
    graph_release(&graph);

    graph_init(&graph);
    at = net_linear(&graph, net_input(&graph, 3, 1, 1), 4, true);
    net_node(&graph, &softmax, &at, 1);
    refuses(&graph, "softmax");
    graph_release(&graph);

    graph_init(&graph);
    at = net_input(&graph, 3, 1, 1);
    net_relu(&graph, at);
    refuses(&graph, "no parameters");
    graph_release(&graph);

    graph_init(&graph); /* a constant factor is not a parameter: it must not be read as one */
    at = net_input(&graph, 3, 4, 4);
    at = net_conv(&graph, at, (struct net_window){.out = 3});
    graph.weights[graph.nodes[at].weight].trained = false;
    net_linear(&graph, at, 4, true);
    refuses(&graph, "constants");
    graph_release(&graph);
}

/* The second layer's gradient goes behind the parameters, and is added to that of the weight afterwards. */
static void shared_weights_have_twins(void **state)
{
    (void)state;
    struct graph graph;
    struct plan plan;
    graph_init(&graph);
    int at = net_input(&graph, 3, 4, 4);
    at = net_conv(&graph, at, (struct net_window){.out = 3, .bias = true});
    const struct node again = graph.nodes[at];
    at = net_node(&graph, &again, &at, 1);
    net_linear(&graph, at, 4, true);
    compile(&plan, &graph, NULL, 0);
    const size_t own = graph_parameter_count(&graph);
    assert_int_equal(plan.twin_count, 2);
    assert_int_equal(plan.parameter_count, own + 9 + 3);
    assert_int_equal(plan.twins[0].from, own);
    assert_int_equal(plan.twins[0].to, plan.weight_offset[again.weight]);
    assert_int_equal(plan.twins[1].to, plan.weight_offset[again.bias]);
    assert_int_equal(plan.twins[1].count, 3);
    assert_int_equal(plan.steps[0].weight.gradient, plan.weight_offset[again.weight]);
    assert_int_equal(plan.steps[1].weight.offset, plan.weight_offset[again.weight]);
    assert_int_equal(plan.steps[1].weight.gradient, own);
    plan_release(&plan);
    graph_release(&graph);
}

/* A constant lies in the state vector, behind all running statistics, and is no parameter. */
static void constants_are_state(void **state)
{
    struct graph graph;
    struct plan plan;
    struct error err = {0};
    const struct node scale = node_default(OP_SCALE);
    (void)state;
    graph_init(&graph);
    int at = net_weighted(&graph, scale, net_input(&graph, 3, 4, 4), 1, false, true);
    at = net_conv_norm_relu(&graph, at, (struct net_window){.out = 5});
    const int own = net_weighted(&graph, scale, at, 1, true, false);
    net_linear(&graph, own, 4, true);
    const struct plan_options options = {.batch = 2, .dtype = DTYPE_FP32};
    assert_int_equal(plan_compile(&plan, &graph, &options, &err), STATUS_OK);
    assert_int_equal(plan.parameter_count, graph_parameter_count(&graph));
    assert_int_equal(plan.running_count, 2 * 5);
    assert_int_equal(plan.statistics_count, (PLAN_STATISTICS * 5 + 3) / 4 * 4); /* the next rows are aligned */
    assert_int_equal(plan.state_count, 2 * 5 + 2 * 3);
    assert_int_equal(plan.steps[0].kind, STEP_SCALE);
    assert_false(plan.steps[0].weight.trained || plan.steps[0].bias.trained || plan_step_learns(&plan.steps[0]));
    assert_int_equal(plan.steps[0].weight.offset, 10);
    assert_int_equal(plan.steps[0].bias.offset, 13);
    assert_int_equal(plan.tensors[plan.steps[0].output].gradient, PLAN_NONE);
    assert_true(plan.steps[2].weight.trained && plan_step_learns(&plan.steps[2]));
    assert_int_equal(plan.steps[2].weight.offset, plan.weight_offset[graph.nodes[own].weight]);
    plan_release(&plan);
    graph_release(&graph);
}

/* Random lifetimes: no overlap in place and time, and no more memory than the sum. */
static void memory_is_shared_safely(void **state)
{
    enum { COUNT = 200 };
    struct lifetime items[COUNT];
    struct error err = {0};
    size_t total, sum = 0;
    unsigned seed = 1;
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        seed = seed * 1664525u + 1013904223u;
        items[i] = (struct lifetime){.size = seed >> 20, .first = (int)(seed >> 8 & 63)};
        items[i].last = items[i].first + (int)(seed >> 4 & 7);
        sum += items[i].size;
    }
    assert_int_equal(plan_memory(items, COUNT, 1, &total, &err), STATUS_OK);
    assert_true(total < sum / 2);
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < i; k++) {
            const struct lifetime *a = &items[i], *b = &items[k];
            bool apart = a->last < b->first || b->last < a->first;
            assert_true(apart || a->offset + a->size <= b->offset || b->offset + b->size <= a->offset);
            assert_true(a->offset + a->size <= total);
        }
}

/* Offsets are multiples of the alignment, an item that is never used takes no place, and one that is used twice keeps
 * its place until its last use. */
static void memory_is_aligned(void **state)
{
    struct error err = {0};
    struct lifetime items[4] = {lifetime_new(100), lifetime_new(65), lifetime_new(64), lifetime_new(0)};
    size_t total;
    (void)state;
    lifetime_use(&items[0], 0);
    lifetime_use(&items[0], 3); /* in place: steps 0 and 3 work on it */
    lifetime_use(&items[1], 1);
    lifetime_use(&items[2], 2);
    assert_int_equal(items[3].first, LIFETIME_UNUSED);
    assert_int_equal(plan_memory(items, 4, 64, &total, &err), STATUS_OK);
    assert_int_equal(items[0].offset, 0);
    assert_int_equal(items[1].offset, 128);
    assert_int_equal(items[2].offset, 128);
    assert_int_equal(total, 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_is_fused),
        cmocka_unit_test(costs_are_counted),
        cmocka_unit_test(residual_gradients),
        cmocka_unit_test(retained_nodes),
        cmocka_unit_test(kept_end),
        cmocka_unit_test(kinds_of_convolutions),
        cmocka_unit_test(concat_and_late_norm),
        cmocka_unit_test(same_graph_same_plan),
        cmocka_unit_test(weights_go_and_come_back),
        cmocka_unit_test(shared_weights_have_twins),
        cmocka_unit_test(what_cannot_be_trained),
        cmocka_unit_test(constants_are_state),
        cmocka_unit_test(memory_is_shared_safely),
        cmocka_unit_test(memory_is_aligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
