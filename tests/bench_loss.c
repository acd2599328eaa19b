/* What losses on features cost on the CPU beside a training step without them: a student of the specification at
 * 224x224, batch 128, whose map of 14x14 pixels and 128 channels is compared with one of the teacher's (hint, at,
 * cosine, vid), or the map's mean with the mean of the teacher's (relations). Arguments: seconds per measurement,
 * threads. */
#include "shared/training/network.h"
#include "tests/helper_inputs.h"
#include "tests/helper_nets.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BATCH = 128, CLASSES = 11, CHANNELS = 128, SIDE = 14 };

static const struct {
    const char *name;
    struct loss_term term;
    int side;
} losses[] = {
    {"hint", {.kind = LOSS_HINT, .distance = DISTANCE_MSE}, SIDE},
    {"at", {.kind = LOSS_AT}, SIDE},
    {"cosine", {.kind = LOSS_COSINE}, SIDE},
    {"vid", {.kind = LOSS_VID}, SIDE},
    {"rkd_distance", {.kind = LOSS_RKD_DISTANCE}, 1},
    {"rkd_angle", {.kind = LOSS_RKD_ANGLE}, 1},
    {"sp", {.kind = LOSS_SP}, SIDE},
    {"pkt", {.kind = LOSS_PKT}, 1},
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *filled(size_t count, uint64_t seed)
{
    float *values = malloc(count * sizeof *values);
    if (!values)
        abort();
    net_fill(values, count, seed);
    return values;
}

static void must(enum status status, const struct error *err)
{
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "%s\n", err->message);
    exit((int)status);
}

/* Returns the node of the map. */
static int build(struct graph *g)
{
    static const int channels[] = {32, 64, CHANNELS, 256};
    const struct node pool = node_default(OP_GLOBAL_AVERAGE_POOL);
    int map = 0, at = net_input(g, 3, 224, 224);
    at = net_conv_norm_relu(g, at, (struct net_window){.out = 16, .kernel = 3, .stride = 2, .pad = 1});
    for (int i = 0; i < 4; i++) {
        const int groups = g->nodes[at].shape.c;
        at = net_conv_norm_relu(g, at, (struct net_window){.kernel = 3, .stride = 2, .pad = 1, .groups = groups});
        at = net_conv_norm_relu(g, at, (struct net_window){.out = channels[i]});
        map = channels[i] == CHANNELS ? at : map;
    }
    net_linear(g, net_node(g, &pool, &at, 1), CLASSES, true);
    net_weights(g, 1);
    return map;
}

/* A network in training and all that a loss on its map reads and writes; host memory. */
struct setting {
    struct graph graph;
    struct network network;
    struct device *device;
    struct host_inputs host;
    struct pass pass;
    struct feature_store store;
    int tensor;
    float *student, *teacher, *gradient, *log_scale, *log_scale_gradient;
    double metrics[METRIC_COUNT];
};

static void setting_init(struct setting *s, int threads)
{
    static int32_t labels[BATCH];
    static uint32_t samples[BATCH], numbers[BATCH];
    const size_t floats = (size_t)BATCH * SIDE * SIDE * CHANNELS;
    struct error err = {0};
    graph_init(&s->graph);
    const int map = build(&s->graph);
    const struct device_options options = {.threads = threads};
    must(backend_cpu.device->open(&s->device, &options, &err), &err);
    const struct plan_options plan = {.batch = BATCH, .retained = &map, .retained_count = 1};
    must(network_init(&s->network, backend_cpu.training, s->device, &s->graph, &plan, 1, &err), &err);
    net_fill(network_input(&s->network), (size_t)BATCH * 3 * 224 * 224, 7);
    s->tensor = s->network.plan.node_tensor[map];
    host_inputs_init(&s->host, BATCH, CLASSES, labels, NULL);
    for (uint32_t i = 0; i < BATCH; i++)
        samples[i] = i;
    s->host.inputs.samples = samples;
    s->host.inputs.numbers = numbers;
    s->host.scalars.rows[0] = BATCH;
    s->pass = (struct pass){.count = BATCH, .training = true, .inputs = &s->host.inputs};
    s->student = filled(floats, 1);
    s->teacher = filled(floats, 2);
    s->gradient = filled(floats, 3);
    s->log_scale = filled(CHANNELS, 4);
    s->log_scale_gradient = filled(CHANNELS, 5);
    uint16_t *half = calloc(floats, sizeof *half); /* the values do not matter for speed */
    if (!half)
        abort();
    for (size_t i = 0; i < floats; i++)
        half[i] = (uint16_t)(0x3000 + i * 37 % 0x0c00);
    s->store = (struct feature_store){DTYPE_FP16, CHANNELS, SIDE, SIDE, 1, half, NULL};
}

/* Milliseconds of the parts of a step. */
enum part { PART_FORWARD, PART_TEACHER, PART_READ, PART_LOSS, PART_GRADIENT, PART_BACKWARD, PARTS };

static void note(double *parts, enum part part, double *since)
{
    const double at = now();
    parts[part] += at - *since;
    *since = at;
}

/* One step; which -1: without a loss on features. */
static void step(struct setting *s, int which, const struct loss_batch *batch, double *parts)
{
    const struct plan *plan = &s->network.plan;
    const struct loss_term ce = {.kind = LOSS_CE};
    const int side = which < 0 ? SIDE : losses[which].side;
    const struct student_feature feature = {s->tensor, side, side};
    const size_t stride = (size_t)BATCH * (size_t)side * (size_t)side * CHANNELS;
    const struct loss_batch logits = {.count = BATCH,
                                      .students = 1,
                                      .logits = network_logits(&s->network),
                                      .gradient = network_logits_gradient(&s->network),
                                      .inputs = &s->host.inputs,
                                      .metrics = s->metrics};
    struct error err = {0};
    double since = now();
    must(network_forward(&s->network, &s->pass, &err), &err);
    note(parts, PART_FORWARD, &since);
    backend_cpu.device->zero(s->device, logits.gradient, BATCH * CLASSES * sizeof(float), &err);
    must(backend_cpu.training->losses->add(s->device, &ce, 1, &logits, &err), &err);
    s->host.scalars.rows[0] = which < 0 ? 0 : BATCH;
    if (which >= 0) {
        since = now();
        must(backend_cpu.training->features->read_teacher(s->device, &s->store, &s->host.inputs, 0, side, side,
                                                          s->teacher, &err),
             &err);
        note(parts, PART_TEACHER, &since);
        must(backend_cpu.training->features->read_student(s->device, plan, &s->network.memory, &s->pass, 0, &feature,
                                                          s->student, stride, &err),
             &err);
        note(parts, PART_READ, &since);
        backend_cpu.device->zero(s->device, s->gradient, stride * sizeof *s->gradient, &err);
        must(backend_cpu.training->losses->add(s->device, &losses[which].term, 0, batch, &err), &err);
        note(parts, PART_LOSS, &since);
    }
    must(backend_cpu.training->features->add_gradient(s->device, plan, &s->network.memory, &s->pass, 0, &feature,
                                                      s->gradient, stride, true, &err),
         &err);
    note(parts, PART_GRADIENT, &since);
    must(network_backward(&s->network, &s->pass, &err), &err);
    note(parts, PART_BACKWARD, &since);
}

static void measure(struct setting *s, int which, double seconds)
{
    const int side = which < 0 ? SIDE : losses[which].side;
    const struct loss_shape shape = {BATCH, CLASSES, BATCH, side * side, CHANNELS, side * side, CHANNELS};
    const size_t scratch = which < 0 ? 0 : backend_cpu.training->losses->scratch(&losses[which].term, &shape);
    const struct loss_batch batch = {.count = BATCH,
                                     .students = 1,
                                     .logits = network_logits(&s->network),
                                     .inputs = &s->host.inputs,
                                     .metrics = s->metrics,
                                     .shape = shape,
                                     .student = s->student,
                                     .student_gradient = s->gradient,
                                     .teacher = s->teacher,
                                     .parameters = s->log_scale,
                                     .parameter_gradients = s->log_scale_gradient,
                                     .scratch = malloc(scratch + 1)};
    double parts[PARTS] = {0}, all = 0;
    int steps = 0;
    step(s, which, &batch, parts); /* the first one touches the memory */
    for (int i = 0; i < PARTS; i++)
        parts[i] = 0;
    for (const double start = now(); now() - start < seconds || steps == 0; steps++)
        step(s, which, &batch, parts);
    for (int i = 0; i < PARTS; i++)
        all += parts[i];
    printf("  %-13s %7.1f", which < 0 ? "ce" : losses[which].name, 1e3 * all / steps);
    for (int i = 0; i < PARTS; i++)
        printf(" %9.2f", 1e3 * parts[i] / steps);
    printf("\n");
    fflush(stdout);
    free(batch.scratch);
}

int main(int count, char **arguments)
{
    const double seconds = count > 1 ? atof(arguments[1]) : 2;
    const int threads = count > 2 ? atoi(arguments[2]) : 2;
    static struct setting s;
    setting_init(&s, threads);
    printf("milliseconds per step, batch %d, %d threads\n  %-13s %7s %9s %9s %9s %9s %9s %9s\n", BATCH, threads, "loss",
           "step", "forward", "teacher", "read", "loss", "gradient", "backward");
    for (int which = -1; which < (int)(sizeof losses / sizeof *losses); which++)
        measure(&s, which, seconds);
    network_release(&s.network);
    backend_cpu.device->close(s.device);
    graph_release(&s.graph);
    free(s.student);
    free(s.teacher);
    free(s.gradient);
    free(s.log_scale);
    free(s.log_scale_gradient);
    free((void *)(uintptr_t)s.store.values);
    return 0;
}
