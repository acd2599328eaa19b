#include "tests/helper_regressor.h"

#include "tests/helper_nets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static size_t value_count(const struct regressor *r, int node)
{
    const struct shape *shape = &r->graph.nodes[node].shape;
    return (size_t)r->pass.count * (size_t)shape->c * (size_t)shape->h * (size_t)shape->w;
}

static struct student_feature student_feature_of(const struct regressor *r, int node)
{
    const struct shape *shape = &r->graph.nodes[node].shape;
    return (struct student_feature){r->network.plan.node_tensor[node], shape->h, shape->w};
}

/* The map is the value of an identity convolution, so that it has a gradient. The network ends in a number that is not
 * used. */
static void make_graph(struct regressor *r, struct shape shape, int out, int kernel, const float *weight,
                       const float *bias)
{
    struct graph *graph = &r->graph;
    graph_init(graph);
    const int input = net_input(graph, shape.c, shape.h, shape.w);
    r->map = net_conv(graph, input, (struct net_window){.out = shape.c});
    r->value =
        net_conv(graph, r->map, (struct net_window){.out = out, .kernel = kernel, .pad = kernel / 2, .bias = true});
    graph->output = net_linear(graph, net_pool(graph, r->value, OP_GLOBAL_AVERAGE_POOL, 0, 0, 0), 1, true);
    net_weights(graph, 1);
    const struct node *map = &graph->nodes[r->map], *value = &graph->nodes[r->value];
    struct weight *identity = &graph->weights[map->weight];
    for (int i = 0; i < shape.c; i++)
        for (int k = 0; k < shape.c; k++)
            identity->data[i * shape.c + k] = i == k;
    memcpy(graph->weights[value->weight].data, weight, graph->weights[value->weight].count * sizeof *weight);
    memcpy(graph->weights[value->bias].data, bias, graph->weights[value->bias].count * sizeof *bias);
}

void regressor_init(struct regressor *r, const struct test_device *t, int batch, struct shape shape, int out,
                    int kernel, const float *map, const float *weight, const float *bias)
{
    const struct epoch_content sizes = {.batch = batch, .capacity = (size_t)batch, .students = 1, .classes = 1};
    struct error err = {0};
    *r = (struct regressor){.t = t};
    make_graph(r, shape, out, kernel, weight, bias);
    const int retained[] = {r->map, r->value};
    const struct plan_options options = {
        .batch = batch, .dtype = DTYPE_FP32, .retained = retained, .retained_count = 2};
    test_must(network_init(&r->network, t->backend->training, t->device, &r->graph, &options, 1, &err), &err);
    test_inputs_init(&r->inputs, t, &sizes, 0);
    r->inputs.content.scalars->rows[0] = (uint32_t)batch;
    test_inputs_upload(&r->inputs, t, 0);
    r->pass = (struct pass){.count = batch, .training = true, .inputs = &r->inputs.inputs};
    test_device_upload(t, network_input(&r->network), map, value_count(r, r->map) * sizeof *map);
}

void regressor_release(struct regressor *r)
{
    test_inputs_release(&r->inputs, r->t);
    network_release(&r->network);
    graph_release(&r->graph);
}

void regressor_forward(struct regressor *r, float *value)
{
    const struct student_feature feature = student_feature_of(r, r->value);
    const size_t count = value_count(r, r->value);
    const struct network *network = &r->network;
    struct error err = {0};
    float *out = test_device_buffer(r->t, NULL, count * sizeof *out);
    test_must(network_forward(&r->network, &r->pass, &err), &err);
    test_must(r->t->backend->training->features->read_student(r->t->device, &network->plan, &network->memory, &r->pass,
                                                              0, &feature, out, count, &err),
              &err);
    test_device_download(r->t, value, out, count * sizeof *out);
    test_device_free(r->t, out);
}

/* gradient [batch, h, w, c] of a node's value, host memory */
static void give(struct regressor *r, int node, const float *gradient)
{
    const struct student_feature feature = student_feature_of(r, node);
    const size_t count = value_count(r, node);
    const struct network *network = &r->network;
    struct error err = {0};
    float *memory = test_device_buffer(r->t, gradient, count * sizeof *gradient);
    test_must(r->t->backend->training->features->add_gradient(r->t->device, &network->plan, &network->memory, &r->pass,
                                                              0, &feature, memory, count, true, &err),
              &err);
    test_device_free(r->t, memory);
}

void regressor_backward(struct regressor *r, const float *gradient, float *map, float *weight, float *bias)
{
    const struct network *network = &r->network;
    const struct plan *plan = &network->plan;
    const struct node *value = &r->graph.nodes[r->value];
    const size_t maps = value_count(r, r->map), parameters = plan->parameter_count;
    float *zeros = calloc(maps, sizeof *zeros), *all = malloc(parameters * sizeof *all);
    struct error err = {0};
    assert_non_null(zeros);
    assert_non_null(all);
    test_device_upload(r->t, network_logits_gradient(network), zeros, (size_t)r->pass.count * sizeof *zeros);
    give(r, r->map, zeros);
    give(r, r->value, gradient);
    /* all steps but the first, which made the map: so the gradient of the map stays where it was summed up */
    test_must(r->t->backend->training->network->backward(r->t->device, plan, &network->memory, &r->pass, 1,
                                                         plan->step_count, &err),
              &err);
    const struct plan_tensor *tensor = &plan->tensors[plan->node_tensor[r->map]];
    test_device_download(r->t, map, (float *)network->memory.gradients + tensor->gradient, maps * sizeof *map);
    test_device_download(r->t, all, network->memory.parameter_gradients, parameters * sizeof *all);
    memcpy(weight, all + plan->weight_offset[value->weight], r->graph.weights[value->weight].count * sizeof *weight);
    memcpy(bias, all + plan->weight_offset[value->bias], r->graph.weights[value->bias].count * sizeof *bias);
    free(zeros);
    free(all);
}
