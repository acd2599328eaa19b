#include "student_train/trainer.h"

#include "shared/base/clock.h"
#include "shared/base/interrupt.h"
#include "student_train/epoch_order.h"
#include <stdio.h>
#include <stdlib.h>

static enum status buffer(const struct trainer *trainer, size_t count, size_t size, const char *what, void **out,
                          struct error *err)
{
    const struct compute *compute = trainer->compute;
    enum status status = compute->backend->buffer_new(compute->device, size_mul(count, size), what, out, err);
    return status != STATUS_OK ? status : compute->backend->zero(compute->device, *out, count * size, err);
}

static enum status copy_floats(const struct trainer *trainer, float *to, const float *from, size_t count,
                               struct error *err)
{
    const struct compute *compute = trainer->compute;
    enum status status = STATUS_OK;
    float *host = NULL;
    TRY(memory_new((void **)&host, count, sizeof(float), "weights", err));
    TRY(compute->backend->download(compute->device, host, from, count * sizeof(float), err));
    TRY(compute->backend->upload(compute->device, to, host, count * sizeof(float), err));
cleanup:
    memory_free(host);
    return status;
}

static enum status init_average(struct trainer *trainer, struct error *err)
{
    const struct plan *plan = &trainer->network.plan;
    struct trainer_memory *memory = &trainer->memory;
    enum status status = STATUS_OK;
    TRY(buffer(trainer, plan->parameter_count, sizeof(float), "moving average", (void **)&memory->average, err));
    TRY(buffer(trainer, plan->state_count, sizeof(float), "moving average", (void **)&memory->average_state, err));
    TRY(buffer(trainer, plan->state_count, sizeof(float), "moving average", (void **)&trainer->zeros, err));
    TRY(copy_floats(trainer, memory->average, trainer->network.memory.parameters, plan->parameter_count, err));
    TRY(copy_floats(trainer, memory->average_state, trainer->network.memory.state, plan->state_count, err));
cleanup:
    return status;
}

enum status trainer_init(struct trainer *trainer, const struct compute *compute, const struct graph *graph,
                         const struct loss_expression *loss, const struct trainer_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    const struct plan *plan = &trainer->network.plan;
    const size_t room = (size_t)options->batch;
    *trainer = (struct trainer){.compute = compute, .loss = loss, .options = options};
    trainer->classes = graph->nodes[graph->output].shape.c;
    TRY(batch_init(&trainer->batch, options->batch, trainer->classes, err));
    TRY(network_init(&trainer->network, compute->backend, compute->device, graph, options->batch, NULL, 0, err));
    TRY(buffer(trainer, plan->parameter_count, sizeof(float), "moments", (void **)&trainer->memory.first, err));
    TRY(buffer(trainer, plan->parameter_count, sizeof(float), "moments", (void **)&trainer->memory.second, err));
    TRY(buffer(trainer, room * (size_t)trainer->classes, sizeof(float), "logits", (void **)&trainer->teacher, err));
    TRY(buffer(trainer, room, sizeof(int32_t), "labels", (void **)&trainer->labels, err));
    TRY(buffer(trainer, room, sizeof(int32_t), "predictions", (void **)&trainer->predicted, err));
    TRY(buffer(trainer, METRIC_COUNT, sizeof(double), "metrics", (void **)&trainer->metrics, err));
    TRY(buffer(trainer, 2, sizeof(double), "gradient norm", (void **)&trainer->norm, err));
    if (options->optimizer.ema_decay > 0)
        TRY(init_average(trainer, err));
cleanup:
    if (status != STATUS_OK)
        trainer_release(trainer);
    return status;
}

void trainer_release(struct trainer *trainer)
{
    if (trainer->compute) {
        void *const buffers[] = {trainer->memory.first,   trainer->memory.second,
                                 trainer->teacher,        trainer->labels,
                                 trainer->predicted,      trainer->metrics,
                                 trainer->norm,           trainer->zeros,
                                 trainer->memory.average, trainer->memory.average_state};
        for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
            trainer->compute->backend->buffer_free(trainer->compute->device, buffers[i]);
        network_release(&trainer->network);
    }
    batch_release(&trainer->batch);
    free(trainer->order);
    *trainer = (struct trainer){0};
}

/* Renders the batch into the network's input and uploads its targets. */
static enum status load_batch(struct trainer *trainer, const struct dataset *dataset, bool *teacher, struct error *err)
{
    const struct compute *compute = trainer->compute;
    struct batch *batch = &trainer->batch;
    enum status status = STATUS_OK;
    const size_t count = (size_t)batch->count;
    TRY(dataset_render(dataset, batch, network_input(&trainer->network), err));
    *teacher = dataset_targets(dataset, batch);
    TRY(compute->backend->upload(compute->device, trainer->labels, batch->labels, count * sizeof(int32_t), err));
    if (*teacher)
        TRY(compute->backend->upload(compute->device, trainer->teacher, batch->teacher,
                                     count * (size_t)trainer->classes * sizeof(float), err));
cleanup:
    return status;
}

/* Losses and metrics of the logits; their gradient where it is wanted. */
static enum status measure(struct trainer *trainer, bool teacher, float *gradient, int32_t *predictions,
                           struct error *err)
{
    const struct compute *compute = trainer->compute;
    const struct loss_expression *loss = trainer->loss;
    struct loss_batch batch = {.count = trainer->batch.count,
                               .classes = trainer->classes,
                               .logits = network_logits(&trainer->network),
                               .teacher_logits = teacher ? trainer->teacher : NULL,
                               .labels = trainer->labels,
                               .gradient = gradient};
    enum status status = STATUS_OK;
    if (gradient)
        TRY(compute->backend->zero(compute->device, gradient,
                                   (size_t)batch.count * (size_t)batch.classes * sizeof(float), err));
    for (int i = 0; i < loss->count; i++)
        if (teacher || loss->terms[i].kind == LOSS_CE)
            TRY(compute->backend->loss(compute->device, &loss->terms[i], i, &batch, trainer->metrics, err));
    TRY(compute->backend->metrics(compute->device, &batch, trainer->metrics, predictions, err));
cleanup:
    return status;
}

static enum status optimize(struct trainer *trainer, double rate, struct error *err)
{
    const struct compute *compute = trainer->compute;
    const struct network_memory *network = &trainer->network.memory;
    const struct plan *plan = &trainer->network.plan;
    struct optimizer_step step = trainer->options->optimizer;
    struct optimizer_memory memory = {.parameters = network->parameters,
                                      .gradients = network->parameter_gradients,
                                      .first = trainer->memory.first,
                                      .second = trainer->memory.second,
                                      .average = trainer->memory.average,
                                      .norm = trainer->norm};
    enum status status = STATUS_OK;
    step.learning_rate = rate;
    step.step = ++trainer->step;
    TRY(compute->backend->optimize(compute->device, &step, &memory, plan->parameter_count, err));
    if (trainer->memory.average && plan->state_count) {
        /* a step of rate 0: only the moving average of the running statistics */
        struct optimizer_step still = {.kind = OPTIMIZER_SGD, .step = 1, .ema_decay = step.ema_decay};
        struct optimizer_memory state = {.parameters = network->state,
                                         .gradients = trainer->zeros,
                                         .average = trainer->memory.average_state,
                                         .norm = trainer->norm + 1};
        TRY(compute->backend->optimize(compute->device, &still, &state, plan->state_count, err));
    }
cleanup:
    return status;
}

static enum status fetch_totals(struct trainer *trainer, struct totals *totals, struct error *err)
{
    const struct compute *compute = trainer->compute;
    return compute->backend->download(compute->device, totals->sums, trainer->metrics, sizeof totals->sums, err);
}

static enum status reserve_order(struct trainer *trainer, uint32_t count, struct error *err)
{
    if (count > trainer->order_room) {
        free(trainer->order);
        trainer->order = calloc(count, sizeof *trainer->order);
        trainer->order_room = trainer->order ? count : 0;
        if (!trainer->order)
            return error_no_memory(err, count * sizeof *trainer->order, "the order of an epoch");
    }
    return STATUS_OK;
}

/* Shows the mean loss so far, a few times a second at most: it waits for the device. */
static enum status show(struct trainer *trainer, struct progress *progress, size_t done, int epoch, double *shown,
                        struct error *err)
{
    struct totals now;
    char postfix[96];
    double clock = clock_seconds();
    if (clock - *shown < 0.5) {
        progress_update(progress, done, NULL);
        return STATUS_OK;
    }
    *shown = clock;
    enum status status = fetch_totals(trainer, &now, err);
    snprintf(postfix, sizeof postfix, "epoch %d/%d, loss %.4f", epoch + 1, trainer->options->schedule.epochs,
             now.sums[METRIC_LOSS] / now.sums[METRIC_SAMPLES]);
    progress_update(progress, done, postfix);
    return status;
}

enum status trainer_epoch(struct trainer *trainer, const struct dataset *dataset, int epoch, struct progress *progress,
                          struct totals *totals, struct error *err)
{
    const struct trainer_options *options = trainer->options;
    const struct compute *compute = trainer->compute;
    struct batch *batch = &trainer->batch;
    const uint32_t room = (uint32_t)options->batch, steps = (dataset->count + room - 1) / room;
    const size_t before = progress->done;
    enum status status = STATUS_OK;
    double shown = clock_seconds();
    TRY(reserve_order(trainer, dataset->count, err));
    epoch_order(trainer->order, dataset->count, options->seed, (uint32_t)epoch, options->sequential);
    TRY(compute->backend->zero(compute->device, trainer->metrics, METRIC_COUNT * sizeof(double), err));
    for (uint32_t s = 0, first = 0; s < steps; s++, first += room) {
        struct pass pass = {.training = true, .seed = options->seed, .step_number = trainer->step};
        if (interrupt_requested())
            TRY(error_set(err, STATUS_INTERRUPTED, NULL, "stopped in epoch %d; go on with --resume", epoch + 1));
        batch->count = (int)(dataset->count - first < room ? dataset->count - first : room);
        for (int i = 0; i < batch->count; i++) {
            batch->samples[i] = trainer->order[first + (uint32_t)i];
            batch->numbers[i] =
                epoch_view(batch->samples[i], dataset->views, options->seed, (uint32_t)epoch, options->sequential);
        }
        pass.count = batch->count;
        TRY(load_batch(trainer, dataset, &totals->teacher, err));
        TRY(network_forward(&trainer->network, &pass, err));
        TRY(measure(trainer, totals->teacher, network_logits_gradient(&trainer->network), NULL, err));
        TRY(network_backward(&trainer->network, &pass, err));
        TRY(optimize(trainer, schedule_rate(&options->schedule, epoch, s, steps), err));
        TRY(show(trainer, progress, before + first + (size_t)batch->count, epoch, &shown, err));
    }
    TRY(fetch_totals(trainer, totals, err));
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

enum status trainer_evaluate(struct trainer *trainer, const struct dataset *dataset, bool use_average,
                             int32_t *predictions, struct totals *totals, struct error *err)
{
    const struct compute *compute = trainer->compute;
    struct batch *batch = &trainer->batch;
    const uint32_t room = (uint32_t)trainer->options->batch;
    const bool swap = use_average && trainer->memory.average;
    enum status status = STATUS_OK;
    if (swap)
        swap_average(trainer);
    TRY(compute->backend->zero(compute->device, trainer->metrics, METRIC_COUNT * sizeof(double), err));
    for (uint32_t first = 0; first < dataset->count; first += room) {
        struct pass pass = {.count = (int)(dataset->count - first < room ? dataset->count - first : room)};
        batch->count = pass.count;
        for (int i = 0; i < batch->count; i++) {
            batch->samples[i] = first + (uint32_t)i;
            batch->numbers[i] = DATASET_EVALUATION_VIEW;
        }
        TRY(load_batch(trainer, dataset, &totals->teacher, err));
        TRY(network_forward(&trainer->network, &pass, err));
        TRY(measure(trainer, totals->teacher, NULL, trainer->predicted, err));
        if (predictions)
            TRY(compute->backend->download(compute->device, predictions + first, trainer->predicted,
                                           (size_t)pass.count * sizeof(int32_t), err));
        if (interrupt_requested())
            TRY(error_set(err, STATUS_INTERRUPTED, NULL, "stopped while evaluating"));
    }
    TRY(fetch_totals(trainer, totals, err));
cleanup:
    if (swap)
        swap_average(trainer);
    return status;
}

enum status trainer_weights(struct trainer *trainer, struct graph *graph, struct error *err)
{
    const bool swap = trainer->memory.average != NULL;
    if (swap)
        swap_average(trainer);
    enum status status = network_download(&trainer->network, graph, err);
    if (swap)
        swap_average(trainer);
    return status;
}
