/* A trainer's memory, and the weights of its students. */
#include "student_train/trainer/trainer.h"

#include <stdlib.h>
#include <string.h>

static enum status new_buffer(const struct trainer *trainer, size_t count, size_t size, const char *what, void **out,
                              struct error *err)
{
    const struct compute *compute = trainer->compute;
    const size_t bytes = size_mul(size_mul(count, size), (size_t)trainer->student_count);
    enum status status = compute->backend->device->buffer_new(compute->device, bytes, what, out, err);
    return status != STATUS_OK ? status : compute->backend->device->zero(compute->device, *out, bytes, err);
}

/* The moving averages start as copies of the weights. */
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
                                                 students * plan->parameter_count, 0, NULL, err));
    TRY(backend->training->optimizer->ema_update(device, memory->average_state, network->state,
                                                 students * plan->state_count, 0, NULL, err));
cleanup:
    return status;
}

static enum status check_students(const struct trainer *trainer, struct error *err)
{
    const struct loss_expression *first = trainer->students[0].loss;
    for (int k = 1; k < trainer->student_count; k++) {
        const struct loss_expression *loss = trainer->students[k].loss;
        if (!loss_expression_alike(first, loss))
            return error_set(
                err, STATUS_CONFIG, NULL,
                "losses '%.400s' and '%.400s' cannot be trained side by side: they need the same terms on the "
                "same features in the same order",
                first->text, loss->text);
    }
    return STATUS_OK;
}

/* The network: the student and, for training, what the loss's terms train beside it. */
static enum status init_network(struct trainer *trainer, const struct cache_manifest *manifest, struct error *err)
{
    const struct compute *compute = trainer->compute;
    const struct trainer_student *first = &trainer->students[0];
    struct plan_options options = {
        .batch = trainer->options->batch, .dtype = trainer->options->dtype, .forward_only = !manifest};
    int retained[BINDING_MAX_PAIRS];
    enum status status = STATUS_OK;
    if (manifest) {
        trainer->trains = true;
        trainer->samples = manifest->splits[SPLIT_TRAIN].samples;
        TRY(loss_bind(&trainer->binding, first->loss, trainer->graph, manifest, first->seed, err));
        for (int i = 0; i < trainer->binding.student_feature_count; i++)
            if (trainer->binding.student_features[i].of != trainer->binding.graph.output)
                retained[options.retained_count++] = trainer->binding.student_features[i].of;
        options.retained = retained;
    }
    TRY(network_init(&trainer->network, compute->backend->training, compute->device,
                     manifest ? &trainer->binding.graph : trainer->graph, &options, trainer->student_count, err));
    for (int k = 1; manifest && k < trainer->student_count; k++)
        TRY(trainer_set_weights(trainer, k, trainer->graph, err));
    TRY(trainer_features_init(trainer, err));
cleanup:
    return status;
}

/* Marks the parameters that weight decay acts on, where it does not act on all. */
static enum status init_decays(struct trainer *trainer, struct error *err)
{
    const struct plan *plan = &trainer->network.plan;
    const struct compute *compute = trainer->compute;
    enum status status = STATUS_OK;
    unsigned char *marks = calloc(plan->parameter_count + 1, 1);
    if (!marks)
        return error_no_memory(err, plan->parameter_count, "weight decay");
    for (int i = 0; i < plan->graph->weight_count; i++) {
        const struct weight *weight = &plan->graph->weights[i];
        if (weight->trained && weight->rank > 1)
            memset(marks + plan->weight_offset[i], 1, weight->count);
    }
    TRY(compute->backend->device->buffer_new(compute->device, plan->parameter_count, "weight decay",
                                             (void **)&trainer->memory.decays, err));
    TRY(compute->backend->device->upload(compute->device, trainer->memory.decays, marks, plan->parameter_count, err));
cleanup:
    free(marks);
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
        return error_set(err, STATUS_CONFIG, NULL, "%d students: at most %d can be trained side by side", student_count,
                         TRAINING_MAX_STUDENTS);
    for (int k = 0; k < student_count; k++)
        trainer->students[k] = students[k];
    trainer->classes = graph->nodes[graph->output].shape.c;
    TRY(check_students(trainer, err));
    TRY(init_network(trainer, manifest, err));
    TRY(new_buffer(trainer, plan->parameter_count, sizeof(float), "moments", (void **)&trainer->memory.first, err));
    TRY(new_buffer(trainer, plan->parameter_count, sizeof(float), "moments", (void **)&trainer->memory.second, err));
    TRY(new_buffer(trainer, METRIC_COUNT, sizeof(double), "metrics", (void **)&trainer->metrics, err));
    TRY(new_buffer(trainer, 1, sizeof(double), "gradient norm", (void **)&trainer->norm, err));
    TRY(compute->backend->device->mailbox_new(compute->device, sizeof *trainer->mailbox, (void **)&trainer->mailbox,
                                              err));
    if (options->spare_vectors)
        TRY(init_decays(trainer, err));
    if (options->ema_decay > 0) {
        TRY(new_buffer(trainer, plan->parameter_count, sizeof(float), "moving average",
                       (void **)&trainer->memory.average, err));
        TRY(new_buffer(trainer, plan->state_count, sizeof(float), "moving average",
                       (void **)&trainer->memory.average_state, err));
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
                                 trainer->norm,         trainer->memory.average, trainer->memory.average_state,
                                 trainer->memory.decays};
        trainer_captures_release(trainer);
        trainer_epoch_release(trainer);
        trainer_features_release(trainer);
        for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
            backend->device->buffer_free(device, buffers[i]);
        if (trainer->mailbox)
            backend->device->mailbox_free(device, trainer->mailbox);
        network_release(&trainer->network);
        loss_binding_release(&trainer->binding);
    }
    *trainer = (struct trainer){0};
}

void trainer_vectors(const struct trainer *trainer, struct trainer_vector vectors[TRAINER_VECTORS])
{
    const struct plan *plan = &trainer->network.plan;
    const struct network_memory *network = &trainer->network.memory;
    const struct trainer_memory *memory = &trainer->memory;
    const size_t students = (size_t)trainer->student_count, parameters = students * plan->parameter_count;
    const size_t state = students * plan->state_count;
    const struct trainer_vector all[TRAINER_VECTORS] = {
        {"parameters", network->parameters, parameters, false},
        {"running_statistics", network->state, state, true},
        {"moment_1", memory->first, parameters, false},
        {"moment_2", memory->second, parameters, false},
        {"average", memory->average, memory->average ? parameters : 0, false},
        {"average_running_statistics", memory->average_state, memory->average ? state : 0, true}};
    memcpy(vectors, all, sizeof all);
}

enum status trainer_save(const struct trainer *trainer, float **floats, struct error *err)
{
    const struct compute *compute = trainer->compute;
    struct trainer_vector vectors[TRAINER_VECTORS];
    enum status status = STATUS_OK;
    size_t count = 0, at = 0;
    trainer_vectors(trainer, vectors);
    for (int i = 0; i < TRAINER_VECTORS; i++)
        count += vectors[i].count;
    TRY(memory_new((void **)floats, count, sizeof **floats, "a trainer's state", err));
    for (int i = 0; i < TRAINER_VECTORS; at += vectors[i].count, i++)
        TRY(compute->backend->device->download(compute->device, *floats + at, vectors[i].values,
                                               vectors[i].count * sizeof **floats, err));
cleanup:
    return status;
}

enum status trainer_restore(struct trainer *trainer, const float *floats, size_t state_count, struct error *err)
{
    const struct compute *compute = trainer->compute;
    const size_t students = (size_t)trainer->student_count;
    struct trainer_vector vectors[TRAINER_VECTORS];
    enum status status = STATUS_OK;
    trainer_vectors(trainer, vectors);
    for (int i = 0; i < TRAINER_VECTORS; i++) {
        const size_t own = vectors[i].count / students, saved = own && vectors[i].state ? state_count : own;
        for (size_t k = 0; k < students; k++, floats += saved)
            TRY(compute->backend->device->upload(compute->device, vectors[i].values + k * own, floats,
                                                 saved * sizeof *floats, err));
    }
cleanup:
    return status;
}

void trainer_swap_average(struct trainer *trainer)
{
    struct network_memory *network = &trainer->network.memory;
    float *parameters = network->parameters, *state = network->state;
    network->parameters = trainer->memory.average;
    network->state = trainer->memory.average_state;
    trainer->memory.average = parameters;
    trainer->memory.average_state = state;
}

enum status trainer_set_weights(struct trainer *trainer, int student, const struct graph *graph, struct error *err)
{
    enum status status = STATUS_OK;
    if (trainer->trains) {
        const struct trainer_student *own = &trainer->students[student];
        loss_binding_begin(&trainer->binding, own->loss, graph, own->seed);
        graph = &trainer->binding.graph;
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
        trainer_swap_average(trainer);
    enum status status = network_download(&trainer->network, student, graph, err);
    if (swap)
        trainer_swap_average(trainer);
    return status;
}
