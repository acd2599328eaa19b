/* Training with fake quantisation, on every backend: the forward pass against the exported integer network, gradients
 * against differences, weights, and how ranges move. tests/test_kernels_blocks.c compares the step with its reference,
 * tests/test_course.c has whole runs. */
#include "shared/augment/view.h"
#include "shared/quantise/calibration.h"
#include "shared/quantise/training_graph.h"
#include "shared/training/network.h"
#include "student_train/student/student.h"
#include "tests/helper_device.h"
#include "tests/helper_nets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PICTURES = 6, CLASSES = 7 };

static void open_network(struct network *network, struct test_device *t, const char *backend, const struct graph *graph,
                         int batch, int students)
{
    struct error err = {0};
    const struct plan_options options = {.batch = batch};
    *t = test_device_open(backend, 2);
    test_must(network_init(network, t->backend->training, t->device, graph, &options, students, &err), &err);
}

static void close_network(struct network *network, struct test_device *t)
{
    network_release(network);
    test_device_close(t);
}

static void forward(struct network *network, const struct pass *pass)
{
    struct error err = {0};
    test_must(network_forward(network, pass, &err), &err);
}

/* ---- the integer network ---- */
struct fixture {
    int size;
    struct graph student, graph; /* graph: its training graph */
    struct network network;
    struct test_device t;
    float table[3][256];
    uint8_t *pixels; /* [PICTURES, size, size, 3] */
    float *input;    /* the same, normalised */
    size_t count;    /* values of one picture */
};

/* Smooth pictures: noise alone makes all logits alike. */
static void make_pictures(struct fixture *f)
{
    static const float mean[3] = {0.48f, 0.45f, 0.41f}, std[3] = {0.23f, 0.22f, 0.225f};
    f->count = 3 * (size_t)f->size * (size_t)f->size;
    f->pixels = malloc(PICTURES * f->count);
    f->input = malloc(PICTURES * f->count * sizeof *f->input);
    assert_non_null(f->pixels);
    assert_non_null(f->input);
    view_normalisation_table(f->table, mean, std, 3);
    for (size_t i = 0; i < PICTURES * f->count; i++) {
        const size_t n = i / f->count, p = i % f->count / 3, size = (size_t)f->size;
        const double y = (double)(p / size) / f->size, x = (double)(p % size) / f->size;
        f->pixels[i] = (uint8_t)(127 + 120 * sin((1 + (double)n) * 3 * x + (double)(i % 3) * 2 + 5 * y * (double)n));
    }
    pixels_normalise(f->pixels, PICTURES * f->count, 3, f->table, f->input);
}

/* A network that has learned its ranges and statistics in some steps. */
static void fixture_init(struct fixture *f, const char *backend)
{
    struct error err = {0};
    const struct epoch_content sizes = {.batch = PICTURES, .capacity = PICTURES, .students = 1, .classes = 1};
    struct test_inputs inputs; /* for dropout */
    net_weights(&f->student, 11);
    test_must(training_graph(&f->student, &f->graph, &err), &err);
    make_pictures(f);
    open_network(&f->network, &f->t, backend, &f->graph, PICTURES, 1);
    test_device_write(&f->t, network_input(&f->network), DTYPE_FP32, f->input, PICTURES * f->count);
    test_inputs_init(&inputs, &f->t, &sizes, 0);
    inputs.content.scalars[0] = (struct step_scalars){.seed = 1};
    test_inputs_upload(&inputs, &f->t, 0);
    for (int i = 0; i < 3; i++)
        forward(&f->network, &(struct pass){.count = PICTURES, .training = true, .inputs = &inputs.inputs});
    test_inputs_release(&inputs, &f->t);
    test_must(network_download(&f->network, 0, &f->graph, &err), &err);
    for (int i = 0; i < f->student.weight_count; i++)
        memcpy(f->student.weights[i].data, f->graph.weights[i].data, f->graph.weights[i].count * sizeof(float));
}

static void fixture_release(struct fixture *f)
{
    close_network(&f->network, &f->t);
    graph_release(&f->graph);
    graph_release(&f->student);
    free(f->pixels);
    free(f->input);
}

/* steps[d]: how many logits of the integer network are d steps from those of the training graph. */
static void compare(struct fixture *f, int steps[4])
{
    struct error err = {0};
    struct lowered lowered;
    struct int8_net net;
    const struct pass pass = {.count = PICTURES};
    const size_t classes = (size_t)f->graph.nodes[f->graph.output].shape.c;
    float *logits = malloc(PICTURES * classes * sizeof *logits);
    test_must(lowered_init(&lowered, &f->student, &err), &err);
    struct value_range *ranges = calloc((size_t)lowered.value_count, sizeof *ranges);
    assert_true(training_graph_ranges(&f->graph, &lowered, ranges));
    test_must(int8_net_init(&net, &lowered, ranges, f->table, &err), &err);
    forward(&f->network, &pass);
    test_device_download(&f->t, logits, network_logits(&f->network), PICTURES * classes * sizeof *logits);
    int8_t *arena = calloc(lowered.arena_values, 1), *answer = calloc(classes, 1);
    const struct int8_value scale = net.values[lowered.output];
    for (size_t i = 0; i < PICTURES; i++) {
        int8_run(&net, f->pixels + i * f->count, arena, answer);
        for (size_t k = 0; k < classes; k++) {
            const double q = rint((double)logits[i * classes + k] / (double)scale.scale) + scale.zero;
            const int apart = abs((int)q - answer[k]);
            steps[apart < 3 ? apart : 3]++;
        }
    }
    free(arena);
    free(answer);
    free(ranges);
    free(logits);
    int8_net_release(&net);
    lowered_release(&lowered);
}

/* The integer network rounds biases, and adds up without error: in the presets that moves some values to the other side
 * of a half, and 20 layers later logits. Measured: at most 5 of 42 logits are two steps apart (ir5), in five of seven
 * presets none. */
static void agrees_with_integers(void **state)
{
    static const char *const presets[] = {"dwpw-small", "res5", "mobile-se", "shuffle", "ir5", "branches-32", "mcunet"};
    const size_t count = test_device_is_shim(*state) ? 1 : sizeof presets / sizeof *presets;
    for (size_t p = 0; p < count; p++) {
        struct fixture f = {.size = p == 0 || p == 5 ? 32 : 64};
        struct student student;
        struct error err = {0};
        int steps[4] = {0};
        if (test_device_is_shim(*state))
            f.size = 28;
        test_must(student_open(&student, presets[p], &(struct student_input){3, f.size, CLASSES}, &err), &err);
        test_must(graph_copy(&student.graph, &f.student, &err), &err);
        student_release(&student);
        fixture_init(&f, *state);
        compare(&f, steps);
        print_message("%s: %d logits equal, %d one step apart, %d two, %d more\n", presets[p], steps[0], steps[1],
                      steps[2], steps[3]);
        assert_int_equal(steps[3], 0);
        assert_true(steps[2] <= PICTURES * CLASSES / 4);
        fixture_release(&f);
    }
}

/* Every kind of layer that moves, joins or bounds values, and a batch norm that no convolution can take. */
static void agrees_on_every_layer(void **state)
{
    struct fixture f = {.size = 16};
    int steps[4] = {0}, order[12];
    const struct node pool = node_default(OP_GLOBAL_AVERAGE_POOL), drop = node_default(OP_DROPOUT);
    struct graph *g = &f.student;
    graph_init(g);
    for (int i = 0; i < 12; i++)
        order[i] = (i * 5 + 2) % 12;
    int a = net_conv_norm_relu(g, net_input(g, 3, 16, 16), (struct net_window){.out = 12, .kernel = 3, .pad = 1});
    int b = net_pool(g, a, OP_MAX_POOL, 3, 2, 1);
    int c = net_pool(g, a, OP_AVERAGE_POOL, 2, 2, 0);
    int d = net_add(g, net_select(g, b, order, 12), c);
    d = net_batch_norm(g, net_activation(g, d, ACTIVATION_CLIP, 0, 2));
    int gate = net_activation(g, net_conv(g, net_node(g, &pool, &d, 1), (struct net_window){.out = 12, .bias = true}),
                              ACTIVATION_HARD_SIGMOID, 1.0f / 6, 0.5f);
    d = net_multiply(g, d, gate);
    d = net_concat(g, d,
                   net_activation(g, net_conv(g, c, (struct net_window){.out = 6, .groups = 3, .bias = true}),
                                  ACTIVATION_HARD_SWISH, 0, 0));
    d = net_conv_norm_relu(g, d, (struct net_window){.kernel = 3, .stride = 2, .pad = 1, .groups = 18});
    d = net_node(g, &drop, &d, 1);
    net_linear(g, d, CLASSES, true);
    fixture_init(&f, *state);
    compare(&f, steps);
    print_message("%d logits equal, %d one step apart\n", steps[0], steps[1]);
    assert_int_equal(steps[2] + steps[3], 0); /* measured: all are equal; without rounding 16 are not */
    assert_true(steps[1] <= PICTURES * CLASSES / 8);
    fixture_release(&f);
}

/* ---- gradients ---- */
enum { C = 4, PIXELS = 12, FLOATS = PICTURES * C * PIXELS };

/* input * weight + bias, in 8 bits, then a linear layer. */
static int quantised_scale(struct graph *graph, float low, float high)
{
    const struct node scale = node_default(OP_SCALE);
    struct node quantise = node_default(OP_QUANTISE);
    struct error err = {0};
    graph_init(graph);
    int at = net_weighted(graph, scale, net_input(graph, C, 3, 4), 1, true, true);
    const int bias = graph->nodes[at].bias;
    test_must(graph_add_weight(graph, "range", (const int[]){2}, 1, false, &quantise.weight, &err), &err);
    quantise.alpha = -100;
    quantise.beta = 100;
    net_linear(graph, net_node(graph, &quantise, &at, 1), 1, true);
    net_weights(graph, 5);
    graph->weights[quantise.weight].data[0] = low;
    graph->weights[quantise.weight].data[1] = high;
    return bias;
}

static double sum_of_logits(struct network *network, const struct test_device *t)
{
    float logits[PICTURES];
    double sum = 0;
    forward(network, &(struct pass){.count = PICTURES});
    test_device_download(t, logits, network_logits(network), sizeof logits);
    for (int i = 0; i < PICTURES; i++)
        sum += (double)logits[i];
    return sum;
}

/* A bias that grows by one step moves all values of its channel by one step, but for those that are clipped: there the
 * estimator is exact. Channels 0 and 1 stay in the range, channels 2 and 3 lie far below and above it. */
static void gradient_is_straight_through(void **state)
{
    static const float ones[PICTURES] = {1, 1, 1, 1, 1, 1}, middles[C] = {0.1f, -0.3f, -9, 9};
    struct graph graph;
    struct network network;
    struct test_device t;
    struct error err = {0};
    float input[FLOATS], gradients[64];
    const int bias = quantised_scale(&graph, -1, 1.5f);
    const float step = 2.5f / 255;
    net_fill(input, FLOATS, 8);
    for (int c = 0; c < C; c++) {
        graph.weights[bias].data[c] = middles[c];
        graph.weights[graph.nodes[1].weight].data[c] = 0.25f;
    }
    open_network(&network, &t, *state, &graph, PICTURES, 1);
    test_device_write(&t, network_input(&network), DTYPE_FP32, input, FLOATS);
    const size_t at = network.plan.weight_offset[bias];
    const double before = sum_of_logits(&network, &t);
    test_device_upload(&t, network_logits_gradient(&network), ones, sizeof ones);
    test_must(network_backward(&network, &(struct pass){.count = PICTURES}, &err), &err);
    test_device_download(&t, gradients, network.memory.parameter_gradients + at, C * sizeof(float));
    for (int c = 0; c < C; c++) {
        const float moved = middles[c] + step;
        test_device_upload(&t, network.memory.parameters + at + c, &moved, sizeof moved);
        const double difference = (sum_of_logits(&network, &t) - before) / (double)step;
        test_device_upload(&t, network.memory.parameters + at + c, &middles[c], sizeof moved);
        if (!(fabs(difference - (double)gradients[c]) < 1e-2 * fabs(difference) + 1e-6))
            fail_msg("channel %d: the gradient is %g, the difference says %g", c, (double)gradients[c], difference);
        assert_true(c < 2 ? fabs(difference) > 0.01 : gradients[c] == 0);
    }
    close_network(&network, &t);
    graph_release(&graph);
}

/* ---- ranges ---- */
static void read_range(const struct network *network, const struct test_device *t, float range[2])
{
    test_device_download(t, range, network->memory.state + network->plan.state_count - 2, 2 * sizeof(float));
}

static void ranges_follow(void **state)
{
    struct graph graph;
    struct network network;
    struct test_device t;
    float input[FLOATS], range[2];
    const int bias = quantised_scale(&graph, 1, -1); /* not known yet */
    struct pass pass = {.count = PICTURES, .training = true};
    for (int i = 0; i < FLOATS; i++)
        input[i] = (float)(i % 5 - 2);
    for (int c = 0; c < C; c++) {
        graph.weights[bias].data[c] = 0;
        graph.weights[graph.nodes[1].weight].data[c] = 0.5f;
    }
    open_network(&network, &t, *state, &graph, PICTURES, 1);
    test_device_write(&t, network_input(&network), DTYPE_FP32, input, FLOATS);
    forward(&network, &pass); /* the first step sets it */
    read_range(&network, &t, range);
    assert_true(range[0] == -1 && range[1] == 1);
    for (int i = 0; i < FLOATS; i++)
        input[i] *= 3;
    test_device_write(&t, network_input(&network), DTYPE_FP32, input, FLOATS);
    forward(&network, &(struct pass){.count = PICTURES}); /* evaluation leaves it */
    pass.settled = true;
    forward(&network, &pass);
    read_range(&network, &t, range);
    assert_true(range[0] == -1 && range[1] == 1);
    pass.settled = false; /* others move it by a hundredth of the way */
    forward(&network, &pass);
    read_range(&network, &t, range);
    assert_true(fabsf(range[0] + 1.02f) < 1e-6f && fabsf(range[1] - 1.02f) < 1e-6f);
    close_network(&network, &t);
    graph_release(&graph);
}

/* ---- weights ---- */
/* A grouped and a depthwise convolution and a linear layer see rounded weights, which two layers may share. */
static void shared_layers(struct graph *graph)
{
    graph_init(graph);
    int at = net_conv_norm_relu(graph, net_input(graph, 4, 6, 6), (struct net_window){.out = 8, .groups = 2});
    at = net_conv_norm_relu(graph, at, (struct net_window){.kernel = 3, .pad = 1, .groups = 8});
    const int first = net_conv(graph, at, (struct net_window){.kernel = 3, .pad = 1});
    const int second = net_conv(graph, first, (struct net_window){.kernel = 3, .pad = 1});
    graph->nodes[second].weight = graph->nodes[first].weight;
    net_linear(graph, second, CLASSES, true);
    net_weights(graph, 4);
}

static void run(struct network *network, const struct test_device *t, float *logits, float *gradients)
{
    enum { VALUES = PICTURES * 4 * 36 };
    struct error err = {0};
    float input[VALUES], gradient[PICTURES * CLASSES];
    const struct pass pass = {.count = PICTURES, .training = true};
    net_fill(input, VALUES, 1);
    net_fill(gradient, PICTURES * CLASSES, 2);
    test_device_write(t, network_input(network), DTYPE_FP32, input, VALUES);
    forward(network, &pass);
    test_device_download(t, logits, network_logits(network), sizeof gradient);
    test_device_upload(t, network_logits_gradient(network), gradient, sizeof gradient);
    test_must(network_backward(network, &pass, &err), &err);
    test_device_download(t, gradients, network->memory.parameter_gradients,
                         network->plan.parameter_count * sizeof(float));
}

/* The formula: with a scale for every output channel. */
static void round_in_place(struct weight *weight)
{
    const size_t rows = (size_t)weight->dims[0], row = weight->count / rows;
    for (size_t r = 0; r < rows; r++) {
        float *w = weight->data + r * row, largest = 0;
        for (size_t i = 0; i < row; i++)
            largest = fmaxf(largest, fabsf(w[i]));
        for (size_t i = 0; i < row; i++)
            w[i] = rintf(w[i] / (largest / 127)) * (largest / 127);
    }
}

static void weights_are_rounded(void **state)
{
    enum { MOST = 4096 };
    struct graph rounded, plain;
    struct network network;
    struct test_device t;
    float *memory = calloc(2 * (MOST + PICTURES * CLASSES), sizeof *memory);
    float *gradients[2] = {memory, memory + MOST};
    float *logits[2] = {memory + (size_t)2 * MOST, memory + (size_t)2 * MOST + PICTURES * CLASSES};
    shared_layers(&rounded);
    shared_layers(&plain);
    for (int i = 0; i < rounded.weight_count; i++)
        if (rounded.weights[i].rank > 1) {
            rounded.weights[i].int8 = true;
            round_in_place(&plain.weights[i]);
        }
    size_t parameters = 0;
    for (int k = 0; k < 2; k++) {
        open_network(&network, &t, *state, k ? &plain : &rounded, PICTURES, 1);
        parameters = network.plan.parameter_count;
        assert_true(parameters <= MOST);
        run(&network, &t, logits[k], gradients[k]);
        close_network(&network, &t);
    }
    assert_memory_equal(logits[0], logits[1], PICTURES * CLASSES * sizeof(float));
    assert_memory_equal(gradients[0], gradients[1], parameters * sizeof(float));
    free(memory);
    graph_release(&rounded);
    graph_release(&plain);
}

/* A settled step trains with running statistics: its forward pass is that of evaluation. */
static void settled_steps_are_evaluation(void **state)
{
    struct fixture f = {.size = 16};
    float logits[2][PICTURES * CLASSES];
    graph_init(&f.student);
    int at =
        net_conv_norm_relu(&f.student, net_input(&f.student, 3, 16, 16), (struct net_window){.out = 8, .kernel = 3});
    net_linear(&f.student, at, CLASSES, true);
    fixture_init(&f, *state);
    for (int k = 0; k < 2; k++) {
        forward(&f.network, &(struct pass){.count = PICTURES, .training = k == 1, .settled = true});
        test_device_download(&f.t, logits[k], network_logits(&f.network), sizeof logits[k]);
    }
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    forward(&f.network, &(struct pass){.count = PICTURES, .training = true});
    test_device_download(&f.t, logits[1], network_logits(&f.network), sizeof logits[1]);
    assert_memory_not_equal(logits[0], logits[1], sizeof logits[0]);
    fixture_release(&f);
}

/* A layer without an integer form is named. */
static void refuses_other_layers(void **state)
{
    struct graph graph, to;
    struct error err = {0};
    (void)state;
    graph_init(&graph);
    net_linear(&graph, net_weighted(&graph, node_default(OP_LAYER_NORM), net_input(&graph, 3, 4, 4), 1, true, true), 3,
               true);
    assert_int_equal(training_graph(&graph, &to, &err), STATUS_CONFIG);
    assert_non_null(strstr(err.message, "layer_norm"));
    graph_release(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(agrees_with_integers),         ON_EVERY_BACKEND(agrees_on_every_layer),
        ON_EVERY_BACKEND(gradient_is_straight_through), ON_EVERY_BACKEND(ranges_follow),
        ON_EVERY_BACKEND(weights_are_rounded),          ON_EVERY_BACKEND(settled_steps_are_evaluation),
        cmocka_unit_test(refuses_other_layers),
    };
    return cmocka_run_group_tests_name("training graph", tests, NULL, NULL);
}
