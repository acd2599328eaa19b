/* Speed of whole training steps on the CPU: forward, cross entropy, backward, clipping and Adam. Without --student some
 * presets, on one thread and on two; with it one line for scripts/bench_cpu.py, and the same net for PyTorch. */
#define _GNU_SOURCE
#include "formats/export/student_py.h"
#include "shared/base/options.h"
#include "shared/device/cpu/cpu_device.h"
#include "shared/training/cpu/cpu_kernels.h"
#include "shared/training/network.h"
#include "student_train/student/student.h"
#include "shared/tensor/bf16.h"
#include "tests/helper_inputs.h"
#include "tests/helper_nets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Images a second and a processor second, of all threads together. */
struct rate {
    double wall, processor;
};

enum part { FORWARD, BACKWARD, STEP, PART_COUNT };

/* Since `begin`, for parts of a step that are measured one by one. */
static void add_time(struct rate *spent, const struct rate *begin)
{
    spent->wall += now(CLOCK_MONOTONIC) - begin->wall;
    spent->processor += now(CLOCK_PROCESS_CPUTIME_ID) - begin->processor;
}

/* Runs whole steps for `seconds`; times[direction][step] gets processor seconds an image of all threads together, so
 * that a busy machine does not spoil them; rates[PART_COUNT] the speed of the passes and of whole steps. */
static void train(struct network *network, double seconds, double *times[2], struct rate rates[PART_COUNT])
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
    struct rate start = {now(wall), now(cpu)}, spent[PART_COUNT] = {{0}};
    int steps = 0;
    for (; now(wall) - start.wall < seconds || steps < 2; steps++) {
        if (steps == 1) { /* the first one touches memory */
            start = (struct rate){now(wall), now(cpu)};
            memset(spent, 0, sizeof spent);
        }
        struct rate begin = {now(wall), now(cpu)};
        for (int i = 0; i < plan->step_count; i++) {
            double before = now(cpu);
            b->network->forward(network->device, plan, &network->memory, &pass, i, i + 1, &err);
            times[0][i] += steps ? now(cpu) - before : 0;
        }
        add_time(&spent[FORWARD], &begin);
        b->device->zero(network->device, batch.gradient, (size_t)(plan->batch * classes) * sizeof(float), &err);
        b->losses->add(network->device, &ce, 0, &batch, &err);
        begin = (struct rate){now(wall), now(cpu)};
        for (int i = plan->step_count - 1; i >= 0; i--) {
            double before = now(cpu);
            b->network->backward(network->device, plan, &network->memory, &pass, i, i + 1, &err);
            times[1][i] += steps ? now(cpu) - before : 0;
        }
        add_time(&spent[BACKWARD], &begin);
        b->optimizer->step(network->device, &adam, &memory, plan->parameter_count, &host.inputs, &err);
    }
    add_time(&spent[STEP], &start);
    const double images = (steps - 1) * plan->batch;
    for (int i = 0; i < plan->step_count; i++) {
        times[0][i] /= images;
        times[1][i] /= images;
    }
    for (int i = 0; i < PART_COUNT; i++)
        rates[i] = (struct rate){images / spent[i].wall, images / spent[i].processor};
    free(moments);
    free(labels);
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
            printf("    %-20s %4dx%3dx%3d  forward %7.1f us %6.1f GFLOP/s  backward %7.1f us %6.1f GFLOP/s\n",
                   plan_step_names[step->kind], out->shape.c, out->shape.h, out->shape.w, 1e6 * times[0][i],
                   2e-9 * macs / times[0][i], 1e6 * times[1][i],
                   (plan->tensors[step->inputs[0].tensor].gradient == PLAN_NONE ? 2e-9 : 4e-9) * macs / times[1][i]);
    }
    for (int kind = 0; kind < STEP_KIND_COUNT; kind++)
        if (kinds[0][kind] > 0)
            printf("  %-20s forward %8.1f us, backward %8.1f us an image\n", plan_step_names[kind],
                   1e6 * kinds[0][kind], 1e6 * kinds[1][kind]);
}

struct settings {
    const char *student, *pytorch, *isa;
    int precision; /* enum dtype */
    double seconds;
    int size, channels, classes, batch, threads;
    bool steps, windows;
};

static enum status write_text(const char *path, const char *text, size_t size, struct error *err)
{
    FILE *file = fopen(path, "w");
    const bool written = file && fwrite(text, 1, size, file) == size;
    if (!file || fclose(file) != 0 || !written)
        return error_set(err, STATUS_IO, path, "cannot be written");
    return STATUS_OK;
}

/* Images between -1 and 1, as the plan stores them. */
static enum status fill_input(const struct network *network, struct error *err)
{
    const struct plan_tensor *in = &network->plan.tensors[network->plan.input];
    const size_t count = (size_t)network->plan.batch * (size_t)in->shape.c * (size_t)in->shape.h * (size_t)in->shape.w;
    float *values = malloc(count * sizeof *values);
    if (!values)
        return error_no_memory(err, count * sizeof *values, "images");
    net_fill(values, count, 7);
    if (network->plan.dtype == DTYPE_FP32)
        memcpy(network_input(network), values, count * sizeof *values);
    for (size_t i = 0; network->plan.dtype == DTYPE_BF16 && i < count; i++)
        ((uint16_t *)network_input(network))[i] = bf16_from_float(values[i]);
    free(values);
    return STATUS_OK;
}

static enum status measure(const struct settings *s, struct error *err)
{
    enum status status = STATUS_OK;
    const struct student_input input = {s->channels, s->size, s->classes};
    const struct device_options options = {.threads = s->threads};
    const struct plan_options options_of_plan = {.batch = s->batch, .dtype = (enum dtype)s->precision};
    struct student student = {0};
    struct network network = {0};
    struct device *device = NULL;
    double *times[2] = {NULL, NULL};
    struct rate rates[PART_COUNT];
    char *text = NULL;
    size_t size;
    TRY(student_open(&student, s->student, &input, err));
    net_weights(&student.graph, 1);
    if (s->pytorch) {
        TRY(student_py_write(&student.graph, NULL, &text, &size, err));
        TRY(write_text(s->pytorch, text, size, err));
    }
    TRY(backend_cpu.device->open(&device, &options, err));
    device->isa = cpu_isa_choose(s->isa);
    TRY(network_init(&network, backend_cpu.training, device, &student.graph, &options_of_plan, 1, err));
    TRY(fill_input(&network, err));
    for (int i = 0; i < 2; i++)
        times[i] = calloc((size_t)network.plan.step_count, sizeof(double));
    if (!times[0] || !times[1])
        FAIL(error_no_memory(err, sizeof(double), "times"));
    train(&network, s->seconds, times, rates);
    printf("%s, %dx%dx%d, %zu parameters, batch %d, %d threads, %s, %s: %.1f images/s, %.1f images/processor second, "
           "%.3f GFLOP/image, %.3f MB/image; forward %.1f, %.1f; backward %.1f, %.1f\n",
           s->student, s->size, s->size, s->channels, graph_parameter_count(&student.graph), s->batch, s->threads,
           cpu_isa_names[device->isa], dtype_name(network.plan.dtype), rates[STEP].wall, rates[STEP].processor,
           1e-9 * plan_cost_of(&network.plan).operations,
           1e-6 * (double)dtype_size(network.plan.dtype) * plan_cost_of(&network.plan).values, rates[FORWARD].wall,
           rates[FORWARD].processor, rates[BACKWARD].wall, rates[BACKWARD].processor);
    report(&network, times, s->steps);
    fflush(stdout);
cleanup:
    free(text);
    free(times[0]);
    free(times[1]);
    network_release(&network);
    if (device)
        backend_cpu.device->close(device);
    student_release(&student);
    return status;
}

static void head(struct graph *g, int at, int classes)
{
    const struct node pool = node_default(OP_GLOBAL_AVERAGE_POOL);
    net_linear(g, net_node(g, &pool, &at, 1), classes, true);
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
    double *times[2], spent = 0;
    struct rate rates[PART_COUNT];
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
    train(&network, seconds, times, rates);
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

static enum status measure_all(const struct settings *s, struct error *err)
{
    static const struct {
        const char *student;
        int size, channels;
    } rows[] = {{"speed", 224, 3},  {"dwpw", 224, 3},      {"res5", 224, 3},   {"ir5", 224, 3},
                {"mcunet", 224, 3}, {"dwpw-small", 32, 3}, {"res5-32", 32, 3}, {"dwpw-small", 28, 1}};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int threads = 1; threads <= 2; threads++) {
            struct settings one = *s;
            one.student = rows[i].student;
            one.size = rows[i].size;
            one.channels = rows[i].channels;
            one.threads = threads;
            TRY(measure(&one, err));
        }
    compare_windows(s->seconds, s->isa);
cleanup:
    return status;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct settings s = {0};
    static const char *const precisions[] = {[DTYPE_FP32] = "fp32", [DTYPE_BF16] = "bf16", NULL};
    const struct option_spec specs[] = {
        {"student", OPTION_STRING, &s.student, "NAME", NULL, "a preset, FILE.net or FILE.onnx; default: some presets"},
        {"size", OPTION_INT, &s.size, "N", "224", "side of the images", .minimum = 1, .maximum = 4096},
        {"channels", OPTION_INT, &s.channels, "N", "3", "of the images", .minimum = 1, .maximum = 4096},
        {"classes", OPTION_INT, &s.classes, "N", "11", "logits", .minimum = 2, .maximum = 1e6},
        {"batch", OPTION_INT, &s.batch, "N", "128", "images of a step", .minimum = 1, .maximum = 65536},
        {"threads", OPTION_INT, &s.threads, "N", "0", "0: all processors", .minimum = 0, .maximum = 1024},
        {"seconds", OPTION_FLOAT, &s.seconds, "X", "2", "how long to measure", .minimum = 0, .maximum = 1e6},
        {"isa", OPTION_STRING, &s.isa, "NAME", NULL, "an instruction set to stop at: generic, AVX2, AVX-512"},
        {"precision", OPTION_CHOICE, &s.precision, NULL, "fp32", "type of stored activations", .choices = precisions},
        {"steps", OPTION_FLAG, &s.steps, NULL, NULL, "also print every step of the plan"},
        {"windows", OPTION_FLAG, &s.windows, NULL, NULL, "only compare depthwise 5x5 and 7x7 with 3x3, a multiply"},
        {"pytorch", OPTION_STRING, &s.pytorch, "FILE.py", NULL, "write the same net as a PyTorch module"},
    };
    struct options options = {.command = "bench_train",
                              .summary = "speed of training steps on the CPU",
                              .specs = specs,
                              .count = sizeof specs / sizeof *specs};
    enum status status = options_parse(&options, argc, argv, &err);
    if (status == STATUS_OK && options.help)
        options_print_help(&options, stdout);
    else if (status == STATUS_OK && s.windows)
        compare_windows(s.seconds, s.isa);
    else if (status == STATUS_OK)
        status = s.student ? measure(&s, &err) : measure_all(&s, &err);
    if (status != STATUS_OK)
        fprintf(stderr, "bench_train: %s%s%s\n", err.path[0] ? err.path : "", err.path[0] ? ": " : "", err.message);
    options_release(&options);
    return status;
}
