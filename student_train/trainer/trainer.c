#define _POSIX_C_SOURCE 200809L
#include "student_train/trainer/trainer.h"

#include "shared/base/clock.h"
#include "shared/base/interrupt.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static enum status buffer(const struct trainer *trainer, size_t count, size_t size, const char *what, void **out,
                          struct error *err)
{
    const struct compute *compute = trainer->compute;
    const size_t bytes = size_mul(size_mul(count, size), (size_t)trainer->student_count);
    enum status status = compute->backend->device->buffer_new(compute->device, bytes, what, out, err);
    return status != STATUS_OK ? status : compute->backend->device->zero(compute->device, *out, bytes, err);
}

/* The moving averages start from the weights. */
static enum status copy_average(struct trainer *trainer, struct error *err)
{
    const struct backend *backend = trainer->compute->backend;
    struct device *device = trainer->compute->device;
    const struct plan *plan = &trainer->network.plan;
    const struct network_memory *network = &trainer->network.memory;
    struct trainer_memory *memory = &trainer->memory;
    const size_t students = (size_t)trainer->student_count;
    enum status status = STATUS_OK;
    if (!memory->average)
        return STATUS_OK;
    TRY(backend->training->optimizer->ema_update(device, memory->average, network->parameters,
                                                 students * plan->parameter_count, 0, err));
    TRY(backend->training->optimizer->ema_update(device, memory->average_state, network->state,
                                                 students * plan->state_count, 0, err));
cleanup:
    return status;
}

static enum status check_students(const struct trainer *trainer, struct error *err)
{
    const struct loss_expression *first = trainer->students[0].loss;
    for (int k = 1; k < trainer->student_count; k++) {
        const struct loss_expression *loss = trainer->students[k].loss;
        if (!loss_expression_alike(first, loss))
            return error_set(err, STATUS_CONFIG, NULL,
                             "losses '%.400s' and '%.400s' cannot be trained side by side: %s", first->text, loss->text,
                             "their terms must be the same on the same values in the same order");
    }
    return STATUS_OK;
}

/* The network that is trained: the student, and what the loss's terms train beside it. */
static enum status init_network(struct trainer *trainer, const struct cache_manifest *manifest, struct error *err)
{
    const struct compute *compute = trainer->compute;
    const struct trainer_student *first = &trainer->students[0];
    struct plan_options options = {.batch = trainer->options->batch, .dtype = trainer->options->dtype};
    int retained[LOSS_ALL_PAIRS];
    enum status status = STATUS_OK;
    if (manifest) {
        trainer->trains = true;
        trainer->samples = manifest->splits[SPLIT_TRAIN].samples;
        TRY(loss_values_bind(&trainer->values, first->loss, trainer->graph, manifest, first->seed, err));
        for (int i = 0; i < trainer->values.student_value_count; i++)
            if (trainer->values.student_values[i].of != trainer->values.graph.output)
                retained[options.retained_count++] = trainer->values.student_values[i].of;
        options.retained = retained;
    }
    TRY(network_init(&trainer->network, compute->backend->training, compute->device,
                     manifest ? &trainer->values.graph : trainer->graph, &options, trainer->student_count, err));
    for (int k = 1; manifest && k < trainer->student_count; k++)
        TRY(trainer_set_weights(trainer, k, trainer->graph, err));
    TRY(trainer_values_init(trainer, err));
cleanup:
    return status;
}

enum status trainer_init(struct trainer *trainer, const struct compute *compute, const struct graph *graph,
                         const struct trainer_student *students, int student_count,
                         const struct trainer_options *options, const struct cache_manifest *manifest,
                         struct error *err)
{
    enum status status = STATUS_OK;
    const struct plan *plan = &trainer->network.plan;
    *trainer = (struct trainer){.compute = compute, .options = options, .graph = graph, .student_count = student_count};
    if (student_count < 1 || student_count > TRAINING_MAX_STUDENTS)
        return error_set(err, STATUS_CONFIG, NULL, "%d students at once: at most %d can be trained side by side",
                         student_count, TRAINING_MAX_STUDENTS);
    for (int k = 0; k < student_count; k++)
        trainer->students[k] = students[k];
    trainer->classes = graph->nodes[graph->output].shape.c;
    TRY(check_students(trainer, err));
    TRY(init_network(trainer, manifest, err));
    TRY(buffer(trainer, plan->parameter_count, sizeof(float), "moments", (void **)&trainer->memory.first, err));
    TRY(buffer(trainer, plan->parameter_count, sizeof(float), "moments", (void **)&trainer->memory.second, err));
    TRY(buffer(trainer, METRIC_COUNT, sizeof(double), "metrics", (void **)&trainer->metrics, err));
    TRY(buffer(trainer, 1, sizeof(double), "gradient norm", (void **)&trainer->norm, err));
    TRY(compute->backend->device->mailbox_new(compute->device, sizeof *trainer->mailbox, (void **)&trainer->mailbox,
                                              err));
    if (options->ema_decay > 0) {
        TRY(buffer(trainer, plan->parameter_count, sizeof(float), "moving average", (void **)&trainer->memory.average,
                   err));
        TRY(buffer(trainer, plan->state_count, sizeof(float), "moving average", (void **)&trainer->memory.average_state,
                   err));
    }
    TRY(copy_average(trainer, err));
cleanup:
    if (status != STATUS_OK)
        trainer_release(trainer);
    return status;
}

void trainer_release(struct trainer *trainer)
{
    if (trainer->compute) {
        const struct backend *backend = trainer->compute->backend;
        struct device *device = trainer->compute->device;
        void *const buffers[] = {trainer->memory.first, trainer->memory.second,  trainer->metrics,
                                 trainer->norm,         trainer->memory.average, trainer->memory.average_state};
        trainer_captures_release(trainer);
        trainer_epoch_release(trainer);
        trainer_values_release(trainer);
        for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
            backend->device->buffer_free(device, buffers[i]);
        if (trainer->mailbox)
            backend->device->mailbox_free(device, trainer->mailbox);
        network_release(&trainer->network);
        loss_values_release(&trainer->values);
    }
    *trainer = (struct trainer){0};
}

/* The metrics so far; waits for the device. */
static enum status fetch_totals(struct trainer *trainer, const struct epoch_inputs *inputs, struct totals *totals,
                                struct error *err)
{
    const struct compute *compute = trainer->compute;
    double sums[TRAINING_MAX_STUDENTS][METRIC_COUNT];
    const size_t bytes = (size_t)trainer->student_count * sizeof sums[0];
    enum status status = compute->backend->device->download(compute->device, sums, trainer->metrics, bytes, err);
    for (int k = 0; status == STATUS_OK && k < trainer->student_count; k++) {
        totals[k].teacher = inputs->teacher != NULL;
        for (int i = 0; i < METRIC_COUNT; i++)
            totals[k].sums[i] = sums[k][i];
    }
    return status;
}

/* How far an epoch has come, as the device's mailbox says. */
struct watch {
    struct progress *progress;
    size_t before; /* images of earlier epochs */
    int epoch, epochs;
    uint32_t images, capacity;
};

static void show(const struct trainer *trainer, const struct watch *watch)
{
    const struct mailbox *mailbox = trainer->mailbox;
    const uint64_t done = mailbox->steps * watch->capacity;
    char postfix[96] = "";
    if (mailbox->samples > 0)
        snprintf(postfix, sizeof postfix, "epoch %d/%d, loss %.4f", watch->epoch + 1, watch->epochs,
                 mailbox->loss / mailbox->samples);
    progress_update(watch->progress, watch->before + (done < watch->images ? (size_t)done : watch->images), postfix);
}

/* Waits until the device has done all that it was asked for. */
static enum status wait(struct trainer *trainer, const struct watch *watch, struct error *err)
{
    const struct compute *compute = trainer->compute;
    const struct timespec nap = {.tv_nsec = 500000};
    enum status status = STATUS_OK;
    bool idle = false;
    for (;;) {
        TRY(compute->backend->device->idle(compute->device, &idle, err));
        show(trainer, watch);
        if (idle)
            break;
        if (interrupt_requested())
            return error_set(err, STATUS_INTERRUPTED, NULL, "stopped in epoch %d; go on with --resume",
                             watch->epoch + 1);
        nanosleep(&nap, NULL);
    }
cleanup:
    return status;
}

static struct pixel_source pixels_of(const struct dataset *dataset)
{
    return (struct pixel_source){dataset->images, dataset->size, (float(*)[256])(uintptr_t)dataset->cache_views.table,
                                 dataset->features};
}

enum status trainer_epoch(struct trainer *trainer, const struct dataset *dataset, int epoch, struct progress *progress,
                          struct totals *totals, struct error *err)
{
    const struct backend *backend = trainer->compute->backend;
    struct device *device = trainer->compute->device;
    const uint32_t capacity = (uint32_t)trainer->options->batch, steps = (dataset->count + capacity - 1) / capacity;
    const int epochs = trainer->students[0].schedule.epochs;
    const struct pixel_source source = pixels_of(dataset);
    const struct watch watch = {progress, progress->done, epoch, epochs, dataset->count, capacity};
    enum status status = STATUS_OK;
    TRY(trainer_prepare(trainer, dataset, epoch, err));
    TRY(epoch_inputs_upload(&trainer->inputs, backend->device, device, &trainer->content, dataset->count, err));
    TRY(backend->device->zero(device, trainer->metrics,
                              (size_t)trainer->student_count * METRIC_COUNT * sizeof *trainer->metrics, err));
    trainer->mailbox->steps = 0;
    trainer->mailbox->samples = 0;
    const uint32_t *partners = trainer->content.partners; /* NULL where nothing is mixed */
    for (uint32_t s = 0, first = 0; s < steps; s++, first += capacity) {
        const uint32_t left = dataset->count - first;
        if (interrupt_requested())
            TRY(error_set(err, STATUS_INTERRUPTED, NULL, "stopped in epoch %d; go on with --resume", epoch + 1));
        TRY(trainer_step(trainer, &source, &trainer->inputs, trainer->order + first, partners ? partners + first : NULL,
                         s, (int)(left < capacity ? left : capacity), true, err));
        show(trainer, &watch);
    }
    trainer->step += steps;
    if (epoch + 1 < epochs)
        TRY(trainer_prepare(trainer, dataset, epoch + 1, err));
    TRY(wait(trainer, &watch, err));
    TRY(fetch_totals(trainer, &trainer->inputs, totals, err));
cleanup:
    return status;
}

/* Exchanges the weights with their moving averages. */
static void swap_average(struct trainer *trainer)
{
    struct network_memory *network = &trainer->network.memory;
    float *parameters = network->parameters, *state = network->state;
    network->parameters = trainer->memory.average;
    network->state = trainer->memory.average_state;
    trainer->memory.average = parameters;
    trainer->memory.average_state = state;
}

static enum status evaluate(struct trainer *trainer, const struct dataset *dataset, struct error *err)
{
    const uint32_t capacity = (uint32_t)trainer->options->batch;
    const struct pixel_source source = pixels_of(dataset);
    enum status status = STATUS_OK;
    for (uint32_t first = 0, s = 0; first < dataset->count; first += capacity, s++) {
        const uint32_t left = dataset->count - first;
        TRY(trainer_step(trainer, &source, &trainer->evaluation, trainer->evaluation_samples + first, NULL, s,
                         (int)(left < capacity ? left : capacity), false, err));
        if (interrupt_requested())
            TRY(error_set(err, STATUS_INTERRUPTED, NULL, "stopped while evaluating"));
    }
cleanup:
    return status;
}

static enum status fetch_predictions(const struct trainer *trainer, const struct epoch_inputs *inputs, size_t count,
                                     int32_t *predictions, struct error *err)
{
    const struct compute *compute = trainer->compute;
    enum status status = STATUS_OK;
    for (size_t k = 0; k < (size_t)trainer->student_count; k++)
        TRY(compute->backend->device->download(compute->device, predictions + k * count,
                                               inputs->predictions + k * inputs->capacity, count * sizeof *predictions,
                                               err));
cleanup:
    return status;
}

enum status trainer_evaluate(struct trainer *trainer, const struct dataset *dataset, bool use_average,
                             int32_t *predictions, struct totals *totals, struct error *err)
{
    const struct compute *compute = trainer->compute;
    const bool swap = use_average && trainer->memory.average;
    enum status status = STATUS_OK;
    if (swap)
        swap_average(trainer);
    TRY(trainer_prepare_evaluation(trainer, dataset, err));
    TRY(compute->backend->device->zero(compute->device, trainer->metrics,
                                       (size_t)trainer->student_count * METRIC_COUNT * sizeof *trainer->metrics, err));
    TRY(evaluate(trainer, dataset, err));
    TRY(fetch_totals(trainer, &trainer->evaluation, totals, err));
    if (predictions)
        TRY(fetch_predictions(trainer, &trainer->evaluation, dataset->count, predictions, err));
cleanup:
    if (swap)
        swap_average(trainer);
    return status;
}

enum status trainer_predict(struct trainer *trainer, struct device_images *images, const struct epoch_content *content,
                            int count, int size, float table[3][256], int32_t *predictions, struct error *err)
{
    const struct backend *backend = trainer->compute->backend;
    struct device *device = trainer->compute->device;
    const struct pixel_source source = {images, size, table, NULL};
    struct epoch_inputs *inputs = &trainer->evaluation;
    enum status status = STATUS_OK;
    if (trainer->evaluation_of || inputs->capacity != content->capacity) {
        trainer->evaluation_of = NULL;
        epoch_inputs_release(inputs, backend->device, device);
        TRY(epoch_inputs_init(inputs, backend->device, device, content, err));
    }
    trainer_captures_release(trainer); /* the images change every time */
    TRY(epoch_inputs_upload(inputs, backend->device, device, content, (size_t)count, err));
    TRY(trainer_step(trainer, &source, inputs, content->samples, NULL, 0, count, false, err));
    TRY(backend->device->download(device, predictions, inputs->predictions, (size_t)count * sizeof *predictions, err));
cleanup:
    return status;
}

enum status trainer_set_weights(struct trainer *trainer, int student, const struct graph *graph, struct error *err)
{
    enum status status = STATUS_OK;
    if (trainer->trains) {
        const struct trainer_student *own = &trainer->students[student];
        loss_values_begin(&trainer->values, own->loss, graph, own->seed);
        graph = &trainer->values.graph;
    }
    TRY(network_upload(&trainer->network, student, graph, err));
    TRY(copy_average(trainer, err));
cleanup:
    return status;
}

enum status trainer_weights(struct trainer *trainer, int student, struct graph *graph, struct error *err)
{
    const bool swap = trainer->memory.average != NULL;
    if (swap)
        swap_average(trainer);
    enum status status = network_download(&trainer->network, student, graph, err);
    if (swap)
        swap_average(trainer);
    return status;
}
