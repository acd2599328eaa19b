/* One step on the device: requested call by call the first time, captured the second time, then replayed. */
#include "student_train/trainer/trainer.h"

static enum status optimize(struct trainer *trainer, const struct epoch_inputs *inputs, struct error *err)
{
    const struct backend *backend = trainer->compute->backend;
    struct device *device = trainer->compute->device;
    const struct network_memory *network = &trainer->network.memory;
    const struct plan *plan = &trainer->network.plan;
    const struct trainer_memory *own = &trainer->memory;
    const struct optimizer_memory memory = {.parameters = network->parameters,
                                            .gradients = network->parameter_gradients,
                                            .first = own->first,
                                            .second = own->second,
                                            .decays = own->decays,
                                            .norm = trainer->norm};
    const size_t students = (size_t)trainer->student_count;
    const double decay = trainer->options->ema_decay;
    enum status status = STATUS_OK;
    TRY(backend->training->optimizer->step(device, &trainer->options->optimizer, &memory, plan->parameter_count, inputs,
                                           err));
    if (own->average) {
        TRY(backend->training->optimizer->ema_update(device, own->average, network->parameters,
                                                     students * plan->parameter_count, decay, inputs, err));
        /* running statistics of every student, not the constants behind them */
        for (size_t k = 0; plan->running_count && k < students; k++)
            TRY(backend->training->optimizer->ema_update(device, own->average_state + k * plan->state_count,
                                                         network->state + k * plan->state_count, plan->running_count,
                                                         decay, inputs, err));
        /* ranges are averages already */
        for (size_t k = 0; plan->range_count && k < students; k++) {
            const size_t at = (k + 1) * plan->state_count - plan->range_count;
            TRY(backend->training->optimizer->ema_update(device, own->average_state + at, network->state + at,
                                                         plan->range_count, 0, NULL, err));
        }
    }
cleanup:
    return status;
}

static enum status request_step(struct trainer *trainer, const struct pixel_source *source,
                                const struct epoch_inputs *inputs, int count, bool training, struct error *err)
{
    const struct backend *backend = trainer->compute->backend;
    struct device *device = trainer->compute->device;
    struct network *network = &trainer->network;
    const struct epoch_views views = epoch_inputs_views(inputs);
    const struct pass pass = {.count = count, .training = training, .settled = trainer->settled, .inputs = inputs};
    enum status status = STATUS_OK;
    TRY(backend->device->images->render(device, source->images, &views, count, source->size, source->table,
                                        network->plan.dtype, network_input(network), err));
    TRY(network_forward(network, &pass, err));
    TRY(trainer_measure(trainer, source->features, inputs, &pass, err));
    if (training) {
        TRY(network_backward(network, &pass, err));
        TRY(optimize(trainer, inputs, err));
    }
    TRY(backend->training->advance(device, inputs, trainer->metrics, trainer->mailbox, err));
cleanup:
    return status;
}

static struct trainer_capture *find_capture(struct trainer *trainer, const struct trainer_capture *wanted)
{
    for (int i = 0; i < trainer->capture_count; i++) {
        struct trainer_capture *c = &trainer->captures[i];
        if (c->images == wanted->images && c->cursor == wanted->cursor && c->parameters == wanted->parameters &&
            c->count == wanted->count && c->training == wanted->training && c->settled == wanted->settled)
            return c;
    }
    return NULL;
}

enum status trainer_step(struct trainer *trainer, const struct pixel_source *source, const struct epoch_inputs *inputs,
                         const uint32_t *samples, const uint32_t *partners, uint32_t step, int count, bool training,
                         struct error *err)
{
    const struct backend *backend = trainer->compute->backend;
    const struct capture_ops *ops = backend->device->capture;
    struct device *device = trainer->compute->device;
    const struct trainer_capture wanted = {.images = source->images,
                                           .cursor = inputs->cursor,
                                           .parameters = trainer->network.memory.parameters,
                                           .count = count,
                                           .training = training,
                                           .settled = trainer->settled};
    struct trainer_capture *capture = find_capture(trainer, &wanted);
    enum status status = STATUS_OK;
    if (backend->device->images->prefetch)
        TRY(backend->device->images->prefetch(device, source->images, samples, partners, count, step, err));
    if (!capture && trainer->capture_count < TRAINER_CAPTURES)
        trainer->captures[trainer->capture_count++] = wanted;
    if (!ops || !capture)
        return request_step(trainer, source, inputs, count, training, err);
    if (!capture->capture) {
        TRY(ops->begin(device, err));
        status = request_step(trainer, source, inputs, count, training, err);
        struct graph_capture *done = NULL;
        const enum status ended = ops->end(device, &done, status == STATUS_OK ? err : NULL);
        if (status != STATUS_OK || ended != STATUS_OK) {
            if (done)
                ops->destroy(device, done);
            return status != STATUS_OK ? status : ended;
        }
        capture->capture = done;
    }
    TRY(ops->replay(device, capture->capture, err));
cleanup:
    return status;
}

void trainer_captures_release(struct trainer *trainer)
{
    for (int i = 0; i < trainer->capture_count; i++)
        if (trainer->captures[i].capture)
            trainer->compute->backend->device->capture->destroy(trainer->compute->device, trainer->captures[i].capture);
    trainer->capture_count = 0;
}
