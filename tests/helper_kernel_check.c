/* The results of a pass, and their comparison with the reference. */
#include "tests/helper_kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

/* fp32: single precision against double, with sums of up to some thousand terms; relative to the largest value of a
 * tensor.
 * bf16: a step's stored values against the same step in double on the values that earlier steps have stored (8 bits, as
 * the factors of tensor cores), relative to the largest; and gradients stored with 8 bits through some layers, relative
 * to the norm of a tensor: up to 0.036 was measured without tensor cores. */
static const double TOLERANCE = 3e-5, BF16_STEP_TOLERANCE = 0.008, BF16_TOLERANCE = 0.08;

size_t sample_elements(const struct plan_tensor *tensor)
{
    return (size_t)tensor->shape.c * (size_t)tensor->shape.h * (size_t)tensor->shape.w;
}

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

/* The size of values, or of their differences from others: the largest magnitude (fp32) or the root mean square. */
static double measure(enum dtype dtype, const double *values, const float *others, size_t count)
{
    double top = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        const double value = values[i] - (others ? (double)others[i] : 0);
        if (!isfinite(value))
            return INFINITY;
        top = fmax(top, fabs(value));
        squares += value * value;
    }
    return dtype == DTYPE_FP32 ? top : sqrt(squares / (double)count);
}

/* What a check prints if it fails, and the dtype whose tolerance it uses. */
struct check {
    const char *what;
    enum dtype dtype;
};

static void check_close(const struct check *check, const char *name, const float *values, const double *expected,
                        size_t count, double floor)
{
    const double tolerance = check->dtype == DTYPE_FP32 ? TOLERANCE : BF16_TOLERANCE;
    const double scale = fmax(measure(check->dtype, expected, NULL, count), floor);
    const double error = measure(check->dtype, expected, values, count);
    if (!(error <= tolerance * scale))
        fail_msg("%s (%s) differs by %.3g, its size is %.3g", name, check->what, error, scale);
}

void kernel_outcome_check(const struct kernel_outcome *out, const struct network *network, const struct reference *r,
                          const char *what)
{
    const struct graph *graph = r->graph;
    const struct plan *plan = &network->plan;
    const struct check check = {what, plan->dtype};
    double floor = 0;
    check_close(&check, "logits", out->logits, r->values[graph->output], out->bytes[0] / sizeof(float), 0);
    for (int i = 0; i < graph->weight_count; i++)
        floor = fmax(floor, 0.1 * measure(plan->dtype, r->weight_gradients[i], NULL, graph->weights[i].count));
    for (int i = 0; i < graph->weight_count; i++) {
        const struct weight *w = &graph->weights[i];
        if (w->trained)
            check_close(&check, w->name, out->gradients + plan->weight_offset[i], r->weight_gradients[i], w->count,
                        floor);
        else
            check_close(&check, w->name, out->state + plan->weight_offset[i], r->weights[i], w->count, 0);
    }
}

/* The graph's node whose value is a step's raw output. A copy step's output is its input, perhaps flattened. */
static int stored_node(const struct plan *plan, const struct plan_step *step)
{
    const struct node *n = &plan->graph->nodes[step->node];
    const struct shape copy = plan->tensors[step->output].shape;
    if (step->kind != STEP_COPY)
        return step->node;
    return plan->graph->nodes[n->inputs[0]].shape.c == copy.c ? n->inputs[0] : step->node;
}

void kernel_store_values(struct reference *r, const struct test_device *t, const struct network *network, int student)
{
    const struct plan *plan = &network->plan;
    for (int s = 0; s < plan->step_count; s++) {
        const struct plan_step *step = &plan->steps[s];
        const struct plan_tensor *tensor = &plan->tensors[step->output];
        const struct node *n = &plan->graph->nodes[step->node];
        const size_t c = (size_t)tensor->shape.c, pixels = sample_elements(tensor) / c;
        const size_t count = (size_t)r->count * c * pixels;
        const size_t offset = (size_t)student * plan->value_count + tensor->value;
        /* batch norm would subtract a bias again, so biases are not in the raw values */
        const bool biased = (n->op == OP_CONV || n->op == OP_LINEAR) && n->bias >= 0 && !plan_has(step->bias);
        float *from = malloc(count * sizeof *from);
        double *to = malloc(count * sizeof *to);
        assert_non_null(from);
        assert_non_null(to);
        if (step->output != plan->output) {
            test_device_read(t, from, (char *)network->memory.values + offset * dtype_size(plan->dtype), plan->dtype,
                             count);
            for (size_t i = 0; i < count; i++) /* [n, h, w, c] to [n, c, h, w] */
                to[(i / (pixels * c) * c + i % c) * pixels + i / c % pixels] =
                    (double)from[i] + (biased ? r->weights[n->bias][i % c] : 0);
            reference_store(r, stored_node(plan, step), to);
        }
        free(from);
        free(to);
    }
}

void kernel_check_departures(const struct reference *r)
{
    for (int i = 0; i < r->graph->node_count; i++)
        if (!(r->departures[i] <= BF16_STEP_TOLERANCE))
            fail_msg("%s: a stored value differs by %.3g of the largest", r->graph->nodes[i].name, r->departures[i]);
}
