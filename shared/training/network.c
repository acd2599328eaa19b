#include "shared/training/network.h"

#include <string.h>

/* Allocates `count` items per student. */
static enum status buffer(struct network *network, size_t count, size_t size, const char *what, void **out,
                          struct error *err)
{
    const size_t bytes = size_mul(size_mul(count, size), (size_t)network->memory.students);
    return network->training->device->buffer_new(network->device, bytes, what, out, err);
}

enum status network_init(struct network *network, const struct training_ops *training, struct device *device,
                         const struct graph *graph, const struct plan_options *options, int students, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t dtype = dtype_size(options->dtype), number = sizeof(float);
    *network =
        (struct network){.training = training, .device = device, .memory = {.students = students ? students : 1}};
    struct network_memory *memory = &network->memory;
    const struct plan *plan = &network->plan;
    if (memory->students < 1 || memory->students > TRAINING_MAX_STUDENTS)
        return error_set(err, STATUS_CONFIG, NULL, "%d students at once: at most %d can be trained side by side",
                         students, TRAINING_MAX_STUDENTS);
    TRY(plan_compile(&network->plan, graph, options, err));
    TRY(buffer(network, plan->value_count, dtype, "activations", &memory->values, err));
    TRY(buffer(network, plan->gradient_count, dtype, "gradients of activations", &memory->gradients, err));
    TRY(buffer(network, plan->parameter_count, number, "parameters", (void **)&memory->parameters, err));
    TRY(buffer(network, plan->parameter_count, number, "gradients of parameters", (void **)&memory->parameter_gradients,
               err));
    if (plan->rounding_count)
        TRY(buffer(network, plan->parameter_count, number, "weights in 8 bits", (void **)&memory->rounded, err));
    TRY(buffer(network, plan->state_count, number, "running statistics", (void **)&memory->state, err));
    TRY(buffer(network, plan->statistics_count, number, "batch statistics", (void **)&memory->statistics, err));
    TRY(training->network->prepare(device, plan, memory->students, &memory->workspace, err));
    for (int k = 0; k < memory->students; k++)
        TRY(network_upload(network, k, graph, err));
cleanup:
    if (status != STATUS_OK)
        network_release(network);
    return status;
}

void network_release(struct network *network)
{
    const struct training_ops *training = network->training;
    struct network_memory *memory = &network->memory;
    if (training) {
        training->network->release(network->device, memory->workspace);
        training->device->buffer_free(network->device, memory->values);
        training->device->buffer_free(network->device, memory->gradients);
        training->device->buffer_free(network->device, memory->parameters);
        training->device->buffer_free(network->device, memory->rounded);
        training->device->buffer_free(network->device, memory->parameter_gradients);
        training->device->buffer_free(network->device, memory->state);
        training->device->buffer_free(network->device, memory->statistics);
    }
    plan_release(&network->plan);
    *network = (struct network){0};
}

static void *element_at(const struct network *network, void *elements, size_t offset)
{
    return (char *)elements + offset * dtype_size(network->plan.dtype);
}

void *network_input(const struct network *network)
{
    return element_at(network, network->memory.values, network->plan.tensors[network->plan.input].value);
}

float *network_logits(const struct network *network)
{
    return element_at(network, network->memory.values, network->plan.tensors[network->plan.output].value);
}

float *network_logits_gradient(const struct network *network)
{
    return element_at(network, network->memory.gradients, network->plan.tensors[network->plan.output].gradient);
}

size_t network_logit_stride(const struct network *network)
{
    return network->plan.value_count * dtype_size(network->plan.dtype) / sizeof(float);
}

size_t network_gradient_stride(const struct network *network)
{
    return network->plan.gradient_count * dtype_size(network->plan.dtype) / sizeof(float);
}

enum status network_forward(struct network *network, const struct pass *pass, struct error *err)
{
    return network->training->network->forward(network->device, &network->plan, &network->memory, pass, 0,
                                               network->plan.step_count, err);
}

enum status network_backward(struct network *network, const struct pass *pass, struct error *err)
{
    return network->training->network->backward(network->device, &network->plan, &network->memory, pass, 0,
                                                network->plan.step_count, err);
}

enum status network_upload(struct network *network, int student, const struct graph *graph, struct error *err)
{
    enum status status = STATUS_OK;
    const struct plan *plan = &network->plan;
    const struct network_memory *memory = &network->memory;
    const size_t k = (size_t)student;
    float *parameters = NULL, *state = NULL;
    TRY(memory_new((void **)&parameters, plan->parameter_count, sizeof(float), "parameters", err));
    TRY(memory_new((void **)&state, plan->state_count, sizeof(float), "running statistics", err));
    plan_gather_weights(plan, graph, parameters, state);
    TRY(network->training->device->upload(network->device, memory->parameters + k * plan->parameter_count, parameters,
                                          plan->parameter_count * sizeof(float), err));
    TRY(network->training->device->upload(network->device, memory->state + k * plan->state_count, state,
                                          plan->state_count * sizeof(float), err));
cleanup:
    memory_free(parameters);
    memory_free(state);
    return status;
}

enum status network_download(struct network *network, int student, struct graph *graph, struct error *err)
{
    enum status status = STATUS_OK;
    const struct plan *plan = &network->plan;
    const struct network_memory *memory = &network->memory;
    const size_t k = (size_t)student;
    float *parameters = NULL, *state = NULL;
    TRY(memory_new((void **)&parameters, plan->parameter_count, sizeof(float), "parameters", err));
    TRY(memory_new((void **)&state, plan->state_count, sizeof(float), "running statistics", err));
    TRY(network->training->device->download(network->device, parameters, memory->parameters + k * plan->parameter_count,
                                            plan->parameter_count * sizeof(float), err));
    TRY(network->training->device->download(network->device, state, memory->state + k * plan->state_count,
                                            plan->state_count * sizeof(float), err));
    plan_scatter_weights(plan, graph, parameters, state);
cleanup:
    memory_free(parameters);
    memory_free(state);
    return status;
}
