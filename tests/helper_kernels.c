#include "tests/helper_kernels.h"

#include "shared/backend/cpu/cpu_backend.h"
#include "shared/backend/cpu/cpu_kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* fp32: single precision against double, sums of up to some thousand terms, relative to the largest value of a tensor.
 * bf16: 8 bits of every stored value and gradient and of both operands of a product, a few layers deep, relative to the
 * norm of a tensor, so that single elements may be further off. Most of it are ReLUs that fall to the other side: where
 * half a percent of them do, gradients differ by the root of that, 7 percent. */
static const double TOLERANCE = 3e-5, BF16_TOLERANCE = 0.12;

enum { STUDENTS = 3 };

/* ---- running ---- */

/* One way of running: every student's weights are the graph's times 1 + student / 8. */
struct way {
    const char *backend, *instruction_set, *order;
    int threads;
    enum element element;
    int first, students; /* which of the students run */
};

static struct test_device open_device(const struct way *way)
{
    struct test_device t = test_device_open(way->backend, way->threads);
    if (way->instruction_set)
        t.device->kernels = cpu_kernels_choose(way->instruction_set);
    test_device_order(way->order);
    return t;
}

size_t sample_elements(const struct plan_tensor *tensor)
{
    return (size_t)tensor->shape.c * (size_t)tensor->shape.h * (size_t)tensor->shape.w;
}

static void upload_students(struct network *network, const struct graph *graph, const struct way *way)
{
    const struct plan *plan = &network->plan;
    const size_t parameters = plan->parameter_count, states = plan->state_count;
    float *vectors = malloc((parameters + states) * sizeof *vectors);
    assert_non_null(vectors);
    for (size_t k = 0; k < (size_t)way->students; k++) {
        plan_gather_weights(plan, graph, vectors, vectors + parameters);
        for (size_t i = 0; i < parameters + states; i++)
            vectors[i] *= 1 + (float)(way->first + (int)k) / 8;
        test_device_upload(&(struct test_device){network->backend, network->device},
                           network->memory.parameters + k * parameters, vectors, parameters * sizeof *vectors);
        test_device_upload(&(struct test_device){network->backend, network->device}, network->memory.state + k * states,
                           vectors + parameters, states * sizeof *vectors);
    }
    free(vectors);
}

/* Nothing is written behind the samples of the pass, whatever the tensor. */
static void check_guards(const struct test_device *t, const struct network *network, int count)
{
    const struct plan *plan = &network->plan;
    const size_t size = element_size(plan->element), bytes = plan->value_count * size;
    unsigned char *values = malloc((size_t)network->memory.students * bytes);
    assert_non_null(values);
    test_device_download(t, values, network->memory.values, (size_t)network->memory.students * bytes);
    for (int k = 0; k < network->memory.students; k++)
        for (int i = 0; i < plan->tensor_count; i++) {
            const struct plan_tensor *tensor = &plan->tensors[i];
            const size_t next = i + 1 < plan->tensor_count ? plan->tensors[i + 1].value : plan->value_count;
            const size_t used = (size_t)count * sample_elements(tensor) * (i == plan->output ? sizeof(float) : size);
            const unsigned char *own = values + (size_t)k * bytes;
            for (size_t b = tensor->value * size + used; b < next * size; b++)
                if (own[b] != 0xff)
                    fail_msg("student %d: byte %zu behind %s is written", k, b - tensor->value * size - used,
                             tensor->name);
        }
    free(values);
}

/* One forward and backward pass over `count` samples, everything else poisoned before. */
static void run_network(const struct test_device *t, struct network *network, int count, bool training,
                        const float *input, const float *gradient)
{
    const struct plan *plan = &network->plan;
    const struct plan_tensor *in = &plan->tensors[plan->input], *out = &plan->tensors[plan->output];
    const struct network_memory *memory = &network->memory;
    const struct pass pass = {.count = count, .training = training};
    const size_t students = (size_t)memory->students, size = element_size(plan->element);
    struct error err = {0};
    test_device_poison(t, memory->values, students * plan->value_count * size);
    test_device_poison(t, memory->gradients, students * plan->gradient_count * size);
    test_device_poison(t, memory->statistics, students * plan->statistics_count * sizeof(float));
    test_device_write(t, network_input(network), plan->element, input, (size_t)count * sample_elements(in));
    test_must(network_forward(network, &pass, &err), &err);
    check_guards(t, network, count);
    for (size_t k = 0; k < students; k++)
        test_device_upload(t, network_logits_gradient(network) + k * network_gradient_stride(network), gradient,
                           (size_t)count * sample_elements(out) * sizeof *gradient);
    test_must(network_backward(network, &pass, &err), &err);
}

/* ---- outcomes ---- */

void kernel_outcome_download(struct kernel_outcome *out, const struct test_device *t, const struct network *network,
                             int student, int count)
{
    const struct plan *plan = &network->plan;
    const size_t k = (size_t)student, logits = (size_t)count * sample_elements(&plan->tensors[plan->output]);
    const float *const from[] = {network_logits(network) + k * network_logit_stride(network),
                                 network->memory.parameter_gradients + k * plan->parameter_count,
                                 network->memory.state + k * plan->state_count};
    const size_t counts[] = {logits, plan->parameter_count, plan->state_count};
    float **const to[] = {&out->logits, &out->gradients, &out->state};
    for (int i = 0; i < 3; i++) {
        out->bytes[i] = counts[i] * sizeof(float);
        *to[i] = malloc(out->bytes[i] + 1);
        assert_non_null(*to[i]);
        test_device_download(t, *to[i], from[i], out->bytes[i]);
    }
}

void kernel_outcome_release(struct kernel_outcome *out)
{
    free(out->logits);
    free(out->gradients);
    free(out->state);
    *out = (struct kernel_outcome){0};
}

static void assert_same(const struct kernel_outcome *a, const struct kernel_outcome *b)
{
    assert_memory_equal(a->logits, b->logits, a->bytes[0]);
    assert_memory_equal(a->gradients, b->gradients, a->bytes[1]);
    assert_memory_equal(a->state, b->state, a->bytes[2]);
}

/* The largest magnitude, or the root of the mean square, of values, or of their difference from others. */
static double measure(enum element element, const double *values, const float *others, size_t count)
{
    double top = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        const double value = values[i] - (others ? (double)others[i] : 0);
        if (!isfinite(value))
            return INFINITY;
        top = fmax(top, fabs(value));
        squares += value * value;
    }
    return element == ELEMENT_FP32 ? top : sqrt(squares / (double)count);
}

/* What a check says when it fails, and the element type that it looks with. */
struct check {
    const char *what;
    enum element element;
};

static void check_close(const struct check *check, const char *name, const float *values, const double *expected,
                        size_t count, double floor)
{
    const double tolerance = check->element == ELEMENT_FP32 ? TOLERANCE : BF16_TOLERANCE;
    const double scale = fmax(measure(check->element, expected, NULL, count), floor);
    const double error = measure(check->element, expected, values, count);
    if (!(error <= tolerance * scale))
        fail_msg("%s (%s): is off by %.3g, its size is %.3g", name, check->what, error, scale);
}

void kernel_outcome_check(const struct kernel_outcome *out, const struct network *network, const struct reference *r,
                          const char *what)
{
    const struct graph *graph = r->graph;
    const struct plan *plan = &network->plan;
    const struct check check = {what, plan->element};
    double floor = 0;
    check_close(&check, "logits", out->logits, r->values[graph->output], out->bytes[0] / sizeof(float), 0);
    for (int i = 0; i < graph->weight_count; i++)
        floor = fmax(floor, 0.1 * measure(plan->element, r->weight_gradients[i], NULL, graph->weights[i].count));
    for (int i = 0; i < graph->weight_count; i++) {
        const struct weight *w = &graph->weights[i];
        if (w->trained)
            check_close(&check, w->name, out->gradients + plan->weight_offset[i], r->weight_gradients[i], w->count,
                        floor);
        else
            check_close(&check, w->name, out->state + plan->weight_offset[i], r->weights[i], w->count, 0);
    }
}

/* ---- ways ---- */

/* The graph's pass in a way; outcomes of the first and the last of its students. r: the reference of student 0, or NULL
 * where that is not one of them. */
static void run_way(const struct way *way, const struct graph *graph, int batch, int count, bool training,
                    const float *input, const float *gradient, const struct reference *r, struct kernel_outcome *last)
{
    struct test_device t = open_device(way);
    struct error err = {0};
    struct network network;
    struct kernel_outcome first;
    char what[128];
    snprintf(what, sizeof what, "%s %s, %s, %d students", way->backend,
             way->instruction_set ? way->instruction_set : "", element_name(way->element), way->students);
    const struct plan_options options = {.batch = batch, .element = way->element};
    test_must(network_init(&network, t.backend, t.device, graph, &options, way->students, &err), &err);
    upload_students(&network, graph, way);
    run_network(&t, &network, count, training, input, gradient);
    kernel_outcome_download(&first, &t, &network, 0, count);
    kernel_outcome_download(last, &t, &network, way->students - 1, count);
    if (r)
        kernel_outcome_check(&first, &network, r, what);
    kernel_outcome_release(&first);
    network_release(&network);
    test_device_close(&t);
    test_device_order("forward");
}

/* Every way of a backend with these elements: several students side by side, of which the first is compared with the
 * reference, and the last with itself alone. */
static void check_ways(const char *backend, enum element element, const struct graph *graph, int batch, int count,
                       bool training, const float *input, const float *gradient, const struct reference *r)
{
    static const struct way ways[] = {
        {"cpu", "AVX-512", .students = STUDENTS},
        {"cpu", "AVX2", .students = 1},
        {"cpu", "generic", .students = 1},
        {"cuda", NULL, .students = STUDENTS, .element = ELEMENT_FP32},
        {"cuda", NULL, .students = STUDENTS, .element = ELEMENT_BF16},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct kernel_outcome together, alone;
        struct way way = ways[i];
        if (strcmp(way.backend, backend) != 0 || way.element != element)
            continue;
        way.order = "forward", way.threads = 1;
        run_way(&way, graph, batch, count, training, input, gradient, r, &together);
        way.order = "reverse", way.threads = 3;
        way.first = way.students - 1, way.students = 1;
        run_way(&way, graph, batch, count, training, input, gradient, NULL, &alone);
        assert_same(&together, &alone);
        kernel_outcome_release(&together);
        kernel_outcome_release(&alone);
    }
}

/* The reference sees the input as it is stored. */
static void check_element(const char *backend, enum element element, const struct graph *graph, int batch, int count,
                          bool training, const float *input)
{
    const struct shape in = graph->nodes[graph->input].shape;
    const size_t floats = (size_t)count * (size_t)in.c * (size_t)in.h * (size_t)in.w;
    const size_t logits = (size_t)count * (size_t)graph->nodes[graph->output].shape.c;
    float *rounded = malloc(floats * sizeof *rounded), *gradient = malloc(logits * sizeof *gradient);
    struct reference r;
    assert_non_null(rounded);
    assert_non_null(gradient);
    for (size_t i = 0; i < floats; i++)
        rounded[i] = test_device_round(input[i], element);
    net_fill(gradient, logits, 2);
    reference_init(&r, graph, count);
    reference_forward(&r, rounded, training);
    for (size_t i = 0; i < logits; i++)
        r.gradients[graph->output][i] = (double)gradient[i];
    reference_backward(&r, training);
    check_ways(backend, element, graph, batch, count, training, rounded, gradient, &r);
    reference_release(&r);
    free(rounded);
    free(gradient);
}

void kernels_check_input(const char *backend, const struct graph *graph, int batch, int count, bool training,
                         const float *input)
{
    check_element(backend, ELEMENT_FP32, graph, batch, count, training, input);
    if (strcmp(backend, "cuda") == 0)
        check_element(backend, ELEMENT_BF16, graph, batch, count, training, input);
}

void kernels_check(const char *backend, struct graph *graph, int batch, int count, bool training)
{
    const struct shape in = graph->nodes[graph->input].shape;
    const size_t floats = (size_t)count * (size_t)in.c * (size_t)in.h * (size_t)in.w;
    float *input = malloc(floats * sizeof *input);
    assert_non_null(input);
    net_weights(graph, 42);
    net_fill(input, floats, 1);
    kernels_check_input(backend, graph, batch, count, training, input);
    free(input);
}
