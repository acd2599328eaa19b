/* One step on the device: asked for call by call the first time, recorded the second time, then replayed. */
#include "student_train/trainer/trainer.h"

static enum status optimize(struct trainer *trainer, const struct feed *feed, struct error *err)
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
                                            .norm = trainer->norm};
    const size_t students = (size_t)trainer->student_count;
    const double decay = trainer->options->ema_decay;
    enum status status = STATUS_OK;
    TRY(backend->training->optimizer->step(device, &trainer->options->optimizer, &memory, plan->parameter_count, feed,
                                           err));
    if (own->average) {
        TRY(backend->training->optimizer->ema_update(device, own->average, network->parameters,
                                                     students * plan->parameter_count, decay, err));
        TRY(backend->training->optimizer->ema_update(device, own->average_state, network->state,
                                                     students * plan->state_count, decay, err));
    }
cleanup:
    return status;
}

static enum status ask_step(struct trainer *trainer, const struct pixel_source *source, const struct feed *feed,
                            int count, bool training, struct error *err)
{
    const struct backend *backend = trainer->compute->backend;
    struct device *device = trainer->compute->device;
    struct network *network = &trainer->network;
    const struct epoch_views views = feed_views(feed);
    const struct pass pass = {.count = count, .training = training, .feed = feed};
    enum status status = STATUS_OK;
    TRY(backend->device->images->render(device, source->images, &views, count, source->size, source->table,
                                        network->plan.element, network_input(network), err));
    TRY(network_forward(network, &pass, err));
    TRY(trainer_measure(trainer, source->features, feed, &pass, err));
    if (training) {
        TRY(network_backward(network, &pass, err));
        TRY(optimize(trainer, feed, err));
    }
    TRY(backend->training->advance(device, feed, trainer->metrics, trainer->mailbox, err));
cleanup:
    return status;
}

static struct trainer_recording *find_recording(struct trainer *trainer, const struct trainer_recording *wanted)
{
    for (int i = 0; i < trainer->recording_count; i++) {
        struct trainer_recording *r = &trainer->recordings[i];
        if (r->images == wanted->images && r->cursor == wanted->cursor && r->parameters == wanted->parameters &&
            r->count == wanted->count && r->training == wanted->training)
            return r;
    }
    return NULL;
}

enum status trainer_step(struct trainer *trainer, const struct pixel_source *source, const struct feed *feed,
                         const uint32_t *samples, const uint32_t *partners, uint32_t step, int count, bool training,
                         struct error *err)
{
    const struct backend *backend = trainer->compute->backend;
    const struct capture_ops *capture = backend->device->capture;
    struct device *device = trainer->compute->device;
    const struct trainer_recording wanted = {.images = source->images,
                                             .cursor = feed->cursor,
                                             .parameters = trainer->network.memory.parameters,
                                             .count = count,
                                             .training = training};
    struct trainer_recording *recording = find_recording(trainer, &wanted);
    enum status status = STATUS_OK;
    if (backend->device->images->prefetch)
        TRY(backend->device->images->prefetch(device, source->images, samples, partners, count, step, err));
    if (!recording && trainer->recording_count < TRAINER_RECORDINGS)
        trainer->recordings[trainer->recording_count++] = wanted;
    if (!capture || !recording)
        return ask_step(trainer, source, feed, count, training, err);
    if (!recording->recording) {
        TRY(capture->begin(device, err));
        status = ask_step(trainer, source, feed, count, training, err);
        struct recording *done = NULL;
        const enum status ended = capture->end(device, &done, status == STATUS_OK ? err : NULL);
        if (status != STATUS_OK || ended != STATUS_OK) {
            if (done)
                capture->destroy(device, done);
            return status != STATUS_OK ? status : ended;
        }
        recording->recording = done;
    }
    TRY(capture->replay(device, recording->recording, err));
cleanup:
    return status;
}

void trainer_recordings_release(struct trainer *trainer)
{
    for (int i = 0; i < trainer->recording_count; i++)
        if (trainer->recordings[i].recording)
            trainer->compute->backend->device->capture->destroy(trainer->compute->device,
                                                                trainer->recordings[i].recording);
    trainer->recording_count = 0;
}
