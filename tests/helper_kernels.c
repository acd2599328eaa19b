#include "tests/helper_kernels.h"

#include "shared/device/cpu/cpu_device.h"
#include "shared/training/cpu/cpu_kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* What runs. */
struct kernel_case {
    const struct graph *graph;
    int batch, count;
    bool training;
    const float *input;    /* [count, h, w, c] */
    const float *gradient; /* [count, classes] of the logits */
};

/* One variation of it. */
struct way {
    const char *backend, *instruction_set;
    enum dtype dtype;
    int first, students; /* the students that run, see student_factor */
    const char *order;
    int threads;
};

/* Every student's weights are the graph's weights times a number of its own. */
static float student_factor(int student)
{
    return 1 + (float)student / 8;
}

static void upload_students(const struct test_device *t, const struct network *network, const struct way *way)
{
    const struct plan *plan = &network->plan;
    const struct network_memory *memory = &network->memory;
    const size_t parameters = plan->parameter_count, states = plan->state_count;
    float *vectors = malloc((parameters + states) * sizeof *vectors);
    assert_non_null(vectors);
    for (size_t k = 0; k < (size_t)way->students; k++) {
        plan_gather_weights(plan, plan->graph, vectors, vectors + parameters);
        for (size_t i = 0; i < parameters + states; i++)
            vectors[i] *= student_factor(way->first + (int)k);
        test_device_upload(t, memory->parameters + k * parameters, vectors, parameters * sizeof *vectors);
        test_device_upload(t, memory->state + k * states, vectors + parameters, states * sizeof *vectors);
    }
    free(vectors);
}

/* Fails the test if any tensor was written behind the samples of the pass. */
static void check_guards(const struct test_device *t, const struct network *network, int count)
{
    const struct plan *plan = &network->plan;
    const size_t size = dtype_size(plan->dtype), bytes = plan->value_count * size;
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
                    fail_msg("student %d: byte %zu behind %s was written", k, b - tensor->value * size - used,
                             tensor->name);
        }
    free(values);
}

/* One forward and backward pass; everything that the pass does not read is poisoned before. */
static void run_network(const struct test_device *t, struct network *network, const struct kernel_case *c)
{
    const struct plan *plan = &network->plan;
    const struct plan_tensor *in = &plan->tensors[plan->input], *out = &plan->tensors[plan->output];
    const struct network_memory *memory = &network->memory;
    const struct pass pass = {.count = c->count, .training = c->training};
    const size_t students = (size_t)memory->students, size = dtype_size(plan->dtype);
    struct error err = {0};
    test_device_poison(t, memory->values, students * plan->value_count * size);
    test_device_poison(t, memory->gradients, students * plan->gradient_count * size);
    test_device_poison(t, memory->statistics, students * plan->statistics_count * sizeof(float));
    test_device_write(t, network_input(network), plan->dtype, c->input, (size_t)c->count * sample_elements(in));
    test_must(network_forward(network, &pass, &err), &err);
    check_guards(t, network, c->count);
    for (size_t k = 0; k < students; k++)
        test_device_upload(t, network_logits_gradient(network) + k * network_gradient_stride(network), c->gradient,
                           (size_t)c->count * sample_elements(out) * sizeof *c->gradient);
    test_must(network_backward(network, &pass, &err), &err);
}

static void run_reference(struct reference *r, const struct kernel_case *c)
{
    reference_forward(r, c->input, c->training);
    for (size_t i = 0; i < (size_t)c->count * (size_t)c->graph->nodes[c->graph->output].shape.c; i++)
        r->gradients[c->graph->output][i] = (double)c->gradient[i];
    reference_backward(r, c->training);
}

/* The reference of a student, computed from the values that a device has stored for it. */
static void reference_of_stored(struct reference *r, const struct test_device *t, const struct network *network,
                                const struct kernel_case *c, int student)
{
    reference_init(r, c->graph, c->count);
    for (int i = 0; i < c->graph->weight_count; i++)
        for (size_t k = 0; k < c->graph->weights[i].count; k++)
            r->weights[i][k] = (double)(c->graph->weights[i].data[k] * student_factor(student));
    kernel_store_values(r, t, network, student);
    run_reference(r, c);
    kernel_check_departures(r);
}

/* Runs a variation of the case. Compares the first student with its reference, if one is given; with rounded dtypes,
 * the last student with a reference on the stored values. last: the results of the last student. */
static void run_way(const struct way *way, const struct kernel_case *c, const struct reference *first,
                    struct kernel_outcome *last)
{
    struct test_device t = test_device_open(way->backend, way->threads);
    struct error err = {0};
    struct network network;
    char what[128];
    snprintf(what, sizeof what, "%s %s, %s, %d students", way->backend,
             way->instruction_set ? way->instruction_set : "", dtype_name(way->dtype), way->students);
    if (way->instruction_set)
        t.device->isa = cpu_isa_choose(way->instruction_set);
    test_device_order(way->order);
    const struct plan_options options = {.batch = c->batch, .dtype = way->dtype};
    test_must(network_init(&network, t.backend->training, t.device, c->graph, &options, way->students, &err), &err);
    upload_students(&t, &network, way);
    run_network(&t, &network, c);
    kernel_outcome_download(last, &t, &network, way->students - 1, c->count);
    if (first) {
        struct kernel_outcome outcome;
        kernel_outcome_download(&outcome, &t, &network, 0, c->count);
        kernel_outcome_check(&outcome, &network, first, what);
        kernel_outcome_release(&outcome);
    }
    if (way->dtype != DTYPE_FP32) {
        struct reference r;
        reference_of_stored(&r, &t, &network, c, way->students - 1);
        kernel_outcome_check(last, &network, &r, what);
        reference_release(&r);
    }
    network_release(&network);
    test_device_close(&t);
    test_device_order("forward");
}

/* Several students side by side: the first is compared with the reference; the last must have the same bits as when it
 * runs alone, with more threads and in another order. */
static void check_fp32(struct way way, const struct kernel_case *c, const struct reference *r)
{
    struct kernel_outcome together, alone;
    way.order = "forward", way.threads = 1;
    run_way(&way, c, r, &together);
    way.order = "reverse", way.threads = 3;
    way.first = way.students - 1, way.students = 1;
    run_way(&way, c, NULL, &alone);
    assert_memory_equal(together.logits, alone.logits, alone.bytes[0]);
    assert_memory_equal(together.gradients, alone.gradients, alone.bytes[1]);
    assert_memory_equal(together.state, alone.state, alone.bytes[2]);
    kernel_outcome_release(&together);
    kernel_outcome_release(&alone);
}

/* The last of two students; the reference reads the stored, rounded input. */
static void check_bf16(struct way way, const struct kernel_case *c)
{
    const struct shape in = c->graph->nodes[c->graph->input].shape;
    const size_t floats = (size_t)c->count * (size_t)in.c * (size_t)in.h * (size_t)in.w;
    struct kernel_case stored = *c;
    struct kernel_outcome outcome;
    float *input = malloc(floats * sizeof *input);
    assert_non_null(input);
    for (size_t i = 0; i < floats; i++)
        input[i] = test_device_round(c->input[i], DTYPE_BF16);
    stored.input = input;
    way.dtype = DTYPE_BF16, way.order = "reverse", way.students = 2;
    run_way(&way, &stored, NULL, &outcome);
    kernel_outcome_release(&outcome);
    free(input);
}

void kernels_check_input(const char *backend, const struct graph *graph, int batch, int count, bool training,
                         const float *input)
{
    const size_t logits = (size_t)count * (size_t)graph->nodes[graph->output].shape.c;
    float *gradient = malloc(logits * sizeof *gradient);
    assert_non_null(gradient);
    net_fill(gradient, logits, 2);
    const struct kernel_case c = {graph, batch, count, training, input, gradient};
    struct reference r;
    reference_init(&r, graph, count);
    run_reference(&r, &c);
    if (strcmp(backend, "cpu") == 0) {
        for (int isa = cpu_isa_choose(NULL), students = 3; isa < CPU_ISA_COUNT; isa++) {
            check_bf16((struct way){"cpu", cpu_isa_names[isa]}, &c);
            if (isa == CPU_ISA_AVX512_BF16)
                continue; /* its fp32 is that of AVX-512 */
            check_fp32((struct way){"cpu", cpu_isa_names[isa], .students = students}, &c, &r);
            students = 1;
        }
    } else {
        check_fp32((struct way){backend, NULL, .students = 2}, &c, &r);
        if (test_device_has_bf16(backend))
            check_bf16((struct way){backend}, &c);
    }
    reference_release(&r);
    free(gradient);
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
