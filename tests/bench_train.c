/* Speed of whole training steps on the CPU: students of the specification at 224x224, a residual teacher at 28x28, and
 * the presets for photos and for small images. Prints images/s on one thread and two, and where the time goes by kind
 * of step; at the end the time of depthwise 5x5 and 7x7 windows per multiply, as a ratio to that of 3x3. Arguments:
 * seconds a measurement, the network's number (-1: all; 99: only the windows), an instruction set to stop at
 * ("AVX-512": the best), the batch. */
#define _GNU_SOURCE
#include "formats/net/net_text.h"
#include "shared/device/cpu/cpu_device.h"
#include "shared/training/cpu/cpu_kernels.h"
#include "shared/training/network.h"
#include "student_train/student/preset.h"
#include "tests/helper_inputs.h"
#include "tests/helper_nets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const step_names[STEP_KIND_COUNT] = {
    [STEP_CONV] = "conv",
    [STEP_POINTWISE] = "pointwise",
    [STEP_DEPTHWISE] = "depthwise",
    [STEP_LINEAR] = "linear",
    [STEP_MAX_POOL] = "max_pool",
    [STEP_AVERAGE_POOL] = "average_pool",
    [STEP_GLOBAL_AVERAGE_POOL] = "global_pool",
    [STEP_ADD] = "add",
    [STEP_CONCAT] = "concat",
    [STEP_DROPOUT] = "dropout",
    [STEP_COPY] = "copy",
};

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int separable(struct graph *g, int at, int out, int stride)
{
    at = net_conv_norm_relu(
        g, at, (struct net_window){.kernel = 3, .stride = stride, .pad = 1, .groups = g->nodes[at].shape.c});
    return net_conv_norm_relu(g, at, (struct net_window){.out = out});
}

static void head(struct graph *g, int at, int classes)
{
    const struct node pool = node_default(OP_GLOBAL_AVERAGE_POOL);
    net_linear(g, net_node(g, &pool, &at, 1), classes, true);
}

static void student(struct graph *g, int size, int stem_stride, const int (*layers)[2])
{
    int at = net_input(g, 3, size, size);
    at = net_conv_norm_relu(g, at, (struct net_window){.out = 16, .kernel = 3, .stride = stem_stride, .pad = 1});
    for (; (*layers)[0]; layers++)
        at = separable(g, at, (*layers)[0], (*layers)[1]);
    head(g, at, 11);
}

static void speed_student(struct graph *g)
{
    student(g, 224, 2, (const int[][2]){{32, 2}, {64, 2}, {128, 2}, {256, 2}, {0, 0}});
}

static void student_a(struct graph *g)
{
    student(g, 224, 2,
            (const int[][2]){{24, 1}, {32, 2}, {48, 1}, {64, 2}, {96, 1}, {112, 2}, {128, 1}, {96, 2}, {0, 0}});
}

static void student_c(struct graph *g)
{
    student(g, 32, 1, (const int[][2]){{32, 1}, {48, 2}, {64, 1}, {96, 2}, {112, 1}, {128, 1}, {96, 2}, {0, 0}});
}

static void small_student(struct graph *g)
{
    int at = net_conv_norm_relu(g, net_input(g, 1, 28, 28), (struct net_window){.out = 16, .kernel = 3, .pad = 1});
    at = separable(g, separable(g, separable(g, at, 32, 2), 64, 1), 128, 2);
    head(g, separable(g, at, 128, 1), 10);
}

static int residual(struct graph *g, int at, int out, int stride)
{
    int left = net_conv_norm_relu(g, at, (struct net_window){.out = out, .kernel = 3, .stride = stride, .pad = 1});
    left = net_batch_norm(g, net_conv(g, left, (struct net_window){.out = out, .kernel = 3, .pad = 1}));
    if (stride != 1 || g->nodes[at].shape.c != out)
        at = net_batch_norm(g, net_conv(g, at, (struct net_window){.out = out, .stride = stride}));
    return net_relu(g, net_add(g, left, at));
}

static void residual_teacher(struct graph *g)
{
    int at = net_conv_norm_relu(g, net_input(g, 1, 28, 28), (struct net_window){.out = 32, .kernel = 3, .pad = 1});
    at = residual(g, residual(g, residual(g, at, 32, 1), 64, 2), 128, 2);
    head(g, at, 10);
}

static const struct network_case {
    const char *name;
    void (*build)(struct graph *); /* NULL: a preset, called `name` */
    int batch, size;               /* of a preset */
} networks[] = {
    {"speed student, 224x224", speed_student, 128},
    {"student A, 224x224", student_a, 128},
    {"student C, 32x32", student_c, 128},
    {"dwpw, 28x28", small_student, 128},
    {"residual teacher, 28x28", residual_teacher, 128},
    {"dwpw", NULL, 64, 224},
    {"mobile-se", NULL, 64, 224},
    {"convnext-tiny", NULL, 64, 224},
    {"res5", NULL, 64, 224},
    {"ir5", NULL, 64, 224},
    {"shuffle", NULL, 64, 224},
    {"mcunet", NULL, 64, 224},
    {"dwpw-small", NULL, 128, 32},
    {"res5-32", NULL, 128, 32},
    {"branches-32", NULL, 128, 32},
};

static void build(const struct network_case *c, struct graph *graph)
{
    const struct preset *preset;
    const struct net_text_options options = {.path = c->name, .channels = 3, .size = c->size, .classes = 11};
    graph_init(graph);
    if (c->build)
        c->build(graph);
    else if (preset_find(c->name, c->size, &preset, NULL) != STATUS_OK ||
             net_text_parse(graph, preset->text, strlen(preset->text), &options, NULL) != STATUS_OK)
        abort();
    net_weights(graph, 1);
}

/* Bytes of activations that a training step has to move at least: see shared/graph/plan.h. */
static double least_bytes(const struct plan *plan)
{
    double floats = 0;
    for (int i = 0; i < plan->tensor_count; i++) {
        const struct shape s = plan->tensors[i].shape;
        floats += (i == plan->input ? 2.0 : 6.0) * s.c * s.h * s.w;
    }
    return 4 * floats;
}

/* Runs whole steps for `seconds`; times[direction][step] gets processor seconds an image of all threads together, so
 * that a busy machine does not spoil them; *processor gets images per processor second. Returns images/s. */
static double train(struct network *network, double seconds, double *times[2], double *processor)
{
    const clockid_t wall = CLOCK_MONOTONIC, cpu = CLOCK_PROCESS_CPUTIME_ID;
    const struct training_ops *b = network->training;
    const struct plan *plan = &network->plan;
    const struct optimizer adam = {.kind = OPTIMIZER_ADAM, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .clip = 10};
    const struct loss_term ce = {.kind = LOSS_CE};
    struct host_inputs host;
    const int classes = plan->tensors[plan->output].shape.c;
    float *moments = calloc(2 * plan->parameter_count, sizeof *moments);
    int32_t *labels = calloc((size_t)plan->batch, sizeof *labels);
    double metrics[METRIC_COUNT] = {0}, norm = 0;
    const struct optimizer_memory memory = {.parameters = network->memory.parameters,
                                            .gradients = network->memory.parameter_gradients,
                                            .first = moments,
                                            .second = moments + plan->parameter_count,
                                            .norm = &norm};
    const struct loss_batch batch = {.count = plan->batch,
                                     .students = 1,
                                     .logits = network_logits(network),
                                     .gradient = network_logits_gradient(network),
                                     .inputs = &host.inputs,
                                     .metrics = metrics};
    const struct pass pass = {.count = plan->batch, .training = true, .inputs = &host.inputs};
    struct error err = {0};
    host_inputs_init(&host, plan->batch, classes, labels, NULL);
    host.scalars.learning_rate = 1e-3;
    host.scalars.correction1 = 1 - adam.beta1;
    host.scalars.root_correction2 = 0.0316227766; /* sqrt(1 - beta2) */
    double start = now(wall), end = start, cpu_start = now(cpu);
    int steps = 0;
    for (; end - start < seconds || steps < 2; steps++, end = now(wall)) {
        if (steps == 1) { /* the first one touches memory */
            start = now(wall);
            cpu_start = now(cpu);
        }
        for (int i = 0; i < plan->step_count; i++) {
            double before = now(cpu);
            b->network->forward(network->device, plan, &network->memory, &pass, i, i + 1, &err);
            times[0][i] += steps ? now(cpu) - before : 0;
        }
        b->device->zero(network->device, batch.gradient, (size_t)(plan->batch * classes) * sizeof(float), &err);
        b->losses->add(network->device, &ce, 0, &batch, &err);
        for (int i = plan->step_count - 1; i >= 0; i--) {
            double before = now(cpu);
            b->network->backward(network->device, plan, &network->memory, &pass, i, i + 1, &err);
            times[1][i] += steps ? now(cpu) - before : 0;
        }
        b->optimizer->step(network->device, &adam, &memory, plan->parameter_count, &host.inputs, &err);
    }
    for (int i = 0; i < plan->step_count; i++) {
        times[0][i] /= (steps - 1) * plan->batch;
        times[1][i] /= (steps - 1) * plan->batch;
    }
    free(moments);
    free(labels);
    *processor = (steps - 1) * plan->batch / (now(cpu) - cpu_start);
    return (steps - 1) * plan->batch / (end - start);
}

static void report(const struct network *network, double *times[2], bool each)
{
    const struct plan *plan = &network->plan;
    double kinds[2][STEP_KIND_COUNT] = {{0}};
    for (int i = 0; i < plan->step_count; i++) {
        const struct plan_step *step = &plan->steps[i];
        const struct plan_tensor *out = &plan->tensors[step->output];
        const struct node *node = &plan->graph->nodes[step->node];
        double macs = 0;
        kinds[0][step->kind] += times[0][i];
        kinds[1][step->kind] += times[1][i];
        if (node->op == OP_CONV)
            macs = (double)plan->graph->weights[node->weight].count * out->shape.h * out->shape.w;
        if (each)
            printf("    %-10s %4dx%3dx%3d  forward %7.1f us %6.1f GFLOP/s  backward %7.1f us %6.1f GFLOP/s\n",
                   step_names[step->kind], out->shape.c, out->shape.h, out->shape.w, 1e6 * times[0][i],
                   2e-9 * macs / times[0][i], 1e6 * times[1][i],
                   (plan->tensors[step->inputs[0].tensor].gradient == PLAN_NONE ? 2e-9 : 4e-9) * macs / times[1][i]);
    }
    for (int kind = 0; kind < STEP_KIND_COUNT; kind++)
        if (kinds[0][kind] > 0)
            printf("  %-12s forward %8.1f us, backward %8.1f us an image\n", step_names[kind], 1e6 * kinds[0][kind],
                   1e6 * kinds[1][kind]);
}

static void measure(int which, int threads, int batch, double seconds, const char *limit)
{
    struct graph graph;
    struct network network;
    struct device *device;
    struct error err = {0};
    const struct device_options options = {.threads = threads};
    build(&networks[which], &graph);
    if (backend_cpu.device->open(&device, &options, &err) != STATUS_OK)
        return;
    device->isa = cpu_isa_choose(limit);
    if (network_init(&network, backend_cpu.training, device, &graph, &(struct plan_options){.batch = batch}, 1, &err) !=
        STATUS_OK) {
        fprintf(stderr, "%s\n", err.message);
        return;
    }
    const struct plan_tensor *in = &network.plan.tensors[network.plan.input];
    net_fill(network_input(&network), (size_t)batch * (size_t)in->shape.c * (size_t)in->shape.h * (size_t)in->shape.w,
             7);
    double *times[2] = {calloc((size_t)network.plan.step_count, sizeof(double)),
                        calloc((size_t)network.plan.step_count, sizeof(double))};
    double processor, rate = train(&network, seconds, times, &processor);
    printf("%s, batch %d, %d threads, %s: %.0f images/s (%.0f a processor second), %.1f GB/s of %.1f MB "
           "an image, %zu parameters\n",
           networks[which].name, batch, threads, cpu_isa_names[device->isa], rate, processor,
           1e-9 * rate * least_bytes(&network.plan), 1e-6 * least_bytes(&network.plan), graph_parameter_count(&graph));
    report(&network, times, threads == 1);
    fflush(stdout);
    free(times[0]);
    free(times[1]);
    network_release(&network);
    backend_cpu.device->close(device);
    graph_release(&graph);
}

/* Stride 1 and a batch norm each, as a residual block has them; 64 channels of 28x28. Returns seconds an image and
 * multiply, of forward and backward pass together. */
static double depthwise_seconds(int kernel, double seconds, const char *limit)
{
    enum { CHANNELS = 64, SIZE = 28, BATCH = 32, LAYERS = 4 };
    struct graph graph;
    struct network network;
    struct device *device;
    const struct device_options options = {.threads = 1};
    double *times[2], processor, spent = 0;
    graph_init(&graph);
    int at = net_input(&graph, 3, SIZE, SIZE);
    at = net_conv_norm_relu(&graph, at, (struct net_window){.out = CHANNELS});
    for (int i = 0; i < LAYERS; i++)
        at = net_conv_norm_relu(&graph, at,
                                (struct net_window){.kernel = kernel, .pad = kernel / 2, .groups = CHANNELS});
    head(&graph, at, 11);
    net_weights(&graph, 1);
    if (backend_cpu.device->open(&device, &options, NULL) != STATUS_OK)
        abort();
    device->isa = cpu_isa_choose(limit);
    if (network_init(&network, backend_cpu.training, device, &graph, &(struct plan_options){.batch = BATCH}, 1, NULL) !=
        STATUS_OK)
        abort();
    net_fill(network_input(&network), (size_t)BATCH * 3 * SIZE * SIZE, 7);
    for (int i = 0; i < 2; i++)
        times[i] = calloc((size_t)network.plan.step_count, sizeof(double));
    train(&network, seconds, times, &processor);
    for (int i = 0; i < network.plan.step_count; i++)
        if (network.plan.steps[i].kind == STEP_DEPTHWISE)
            spent += times[0][i] + times[1][i];
    free(times[0]);
    free(times[1]);
    network_release(&network);
    backend_cpu.device->close(device);
    graph_release(&graph);
    return spent / (LAYERS * 3.0 * CHANNELS * SIZE * SIZE * kernel * kernel);
}

static void compare_windows(double seconds, const char *limit)
{
    const double three = depthwise_seconds(3, seconds, limit);
    printf("depthwise 3x3, forward and backward: %.1f GFLOP/s on one thread\n", 2e-9 / three);
    for (int kernel = 5; kernel <= 7; kernel += 2)
        printf("depthwise %dx%d: %.2f of the time per multiply of 3x3\n", kernel, kernel,
               depthwise_seconds(kernel, seconds, limit) / three);
}

int main(int count, char **arguments)
{
    const double seconds = count > 1 ? atof(arguments[1]) : 2;
    const int only = count > 2 ? atoi(arguments[2]) : -1;
    for (int which = 0; which < (int)(sizeof networks / sizeof *networks); which++)
        for (int threads = 1; threads <= 2; threads++)
            if (only < 0 || only == which)
                measure(which, threads, count > 4 ? atoi(arguments[4]) : networks[which].batch, seconds,
                        count > 3 ? arguments[3] : NULL);
    if (only < 0 || only >= (int)(sizeof networks / sizeof *networks))
        compare_windows(seconds, count > 3 ? arguments[3] : NULL);
    return 0;
}
