#include "shared/backend/network.h"

#include <string.h>

static enum status buffer(struct network *network, size_t floats, const char *what, float **out, struct error *err)
{
    void *block;
    enum status status =
        network->backend->buffer_new(network->device, size_mul(floats, sizeof(float)), what, &block, err);
    *out = block;
    return status;
}

/* The graph's weights to the device. */
static enum status upload_weights(struct network *network, const struct graph *graph, struct error *err)
{
    enum status status = STATUS_OK;
    const struct plan *plan = &network->plan;
    float *parameters = NULL, *state = NULL;
    TRY(memory_new((void **)&parameters, plan->parameter_count, sizeof(float), "parameters", err));
    TRY(memory_new((void **)&state, plan->state_count, sizeof(float), "running statistics", err));
    plan_gather_weights(plan, graph, parameters, state);
    TRY(network->backend->upload(network->device, network->memory.parameters, parameters,
                                 plan->parameter_count * sizeof(float), err));
    TRY(network->backend->upload(network->device, network->memory.state, state, plan->state_count * sizeof(float),
                                 err));
cleanup:
    memory_free(parameters);
    memory_free(state);
    return status;
}

enum status network_init(struct network *network, const struct backend *backend, struct device *device,
                         const struct graph *graph, int batch, const int *kept, int kept_count, struct error *err)
{
    enum status status = STATUS_OK;
    *network = (struct network){.backend = backend, .device = device};
    struct network_memory *memory = &network->memory;
    const struct plan *plan = &network->plan;
    TRY(plan_compile(&network->plan, graph, batch, kept, kept_count, err));
    TRY(buffer(network, plan->value_count, "activations", &memory->values, err));
    TRY(buffer(network, plan->gradient_count, "gradients of activations", &memory->gradients, err));
    TRY(buffer(network, plan->parameter_count, "parameters", &memory->parameters, err));
    TRY(buffer(network, plan->parameter_count, "gradients of parameters", &memory->parameter_gradients, err));
    TRY(buffer(network, plan->state_count, "running statistics", &memory->state, err));
    TRY(buffer(network, plan->statistics_count, "batch statistics", &memory->statistics, err));
    TRY(backend->network_prepare(device, plan, &memory->workspace, err));
    TRY(upload_weights(network, graph, err));
cleanup:
    if (status != STATUS_OK)
        network_release(network);
    return status;
}

void network_release(struct network *network)
{
    const struct backend *backend = network->backend;
    struct network_memory *memory = &network->memory;
    if (backend) {
        backend->network_release(network->device, memory->workspace);
        backend->buffer_free(network->device, memory->values);
        backend->buffer_free(network->device, memory->gradients);
        backend->buffer_free(network->device, memory->parameters);
        backend->buffer_free(network->device, memory->parameter_gradients);
        backend->buffer_free(network->device, memory->state);
        backend->buffer_free(network->device, memory->statistics);
    }
    plan_release(&network->plan);
    *network = (struct network){0};
}

float *network_input(const struct network *network)
{
    return network->memory.values + network->plan.tensors[network->plan.input].value;
}

float *network_logits(const struct network *network)
{
    return network->memory.values + network->plan.tensors[network->plan.output].value;
}

float *network_logits_gradient(const struct network *network)
{
    return network->memory.gradients + network->plan.tensors[network->plan.output].gradient;
}

enum status network_forward(struct network *network, const struct pass *pass, struct error *err)
{
    return network->backend->forward(network->device, &network->plan, &network->memory, pass, 0,
                                     network->plan.step_count, err);
}

enum status network_backward(struct network *network, const struct pass *pass, struct error *err)
{
    return network->backend->backward(network->device, &network->plan, &network->memory, pass, 0,
                                      network->plan.step_count, err);
}

enum status network_download(struct network *network, struct graph *graph, struct error *err)
{
    enum status status = STATUS_OK;
    const struct plan *plan = &network->plan;
    float *parameters = NULL, *state = NULL;
    TRY(memory_new((void **)&parameters, plan->parameter_count, sizeof(float), "parameters", err));
    TRY(memory_new((void **)&state, plan->state_count, sizeof(float), "running statistics", err));
    TRY(network->backend->download(network->device, parameters, network->memory.parameters,
                                   plan->parameter_count * sizeof(float), err));
    TRY(network->backend->download(network->device, state, network->memory.state, plan->state_count * sizeof(float),
                                   err));
    plan_scatter_weights(plan, graph, parameters, state);
cleanup:
    memory_free(parameters);
    memory_free(state);
    return status;
}
