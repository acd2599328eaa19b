/* What happens between the forward and the backward pass: the terms of the loss, on logits and on features. This file
 * only requests them; the backend computes them (shared/training/losses). */
#include "student_train/trainer/trainer.h"

enum { SCRATCH_ALIGNMENT = 256 };

static struct loss_shape shape_of(const struct trainer *trainer, const struct feature_pair *pair)
{
    const struct loss_feature *student = &trainer->binding.student_features[pair->student_feature];
    struct loss_shape shape = {.batch = trainer->options->batch,
                               .classes = trainer->classes,
                               .samples = trainer->samples,
                               .pixels = student->h * student->w,
                               .channels = student->channels};
    if (pair->teacher_feature >= 0) {
        const struct loss_feature *teacher = &trainer->binding.teacher_features[pair->teacher_feature];
        shape.teacher_pixels = teacher->h * teacher->w;
        shape.teacher_channels = teacher->channels;
    }
    return shape;
}

/* Floats of a student's feature, for a whole batch. */
static size_t feature_size(const struct trainer *trainer, int i)
{
    const struct loss_feature *feature = &trainer->binding.student_features[i];
    return (size_t)trainer->options->batch * (size_t)feature->h * (size_t)feature->w * (size_t)feature->channels;
}

static enum status new_buffer(const struct trainer *trainer, size_t bytes, void *out, struct error *err)
{
    return trainer->compute->backend->device->buffer_new(trainer->compute->device, bytes,
                                                         "features that the loss compares", out, err);
}

static size_t scratch_size(const struct trainer *trainer)
{
    const struct backend *backend = trainer->compute->backend;
    const struct loss_expression *loss = trainer->students[0].loss;
    const struct loss_shape logits = {.batch = trainer->options->batch, .classes = trainer->classes};
    size_t most = 0;
    for (int i = 0; i < loss->count; i++)
        for (int k = 0; k < trainer->student_count && !loss_expression_on_features(loss, i); k++) { /* gates differ */
            const size_t bytes = backend->training->losses->scratch(&trainer->students[k].loss->terms[i], &logits);
            most = bytes > most ? bytes : most;
        }
    for (int i = 0; i < trainer->binding.pair_count; i++) {
        const struct feature_pair *pair = &trainer->binding.pairs[i];
        const struct loss_shape shape = shape_of(trainer, pair);
        const size_t bytes = backend->training->losses->scratch(&loss->terms[pair->term], &shape);
        most = bytes > most ? bytes : most;
    }
    return (most + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT * SCRATCH_ALIGNMENT;
}

enum status trainer_features_init(struct trainer *trainer, struct error *err)
{
    const struct loss_binding *binding = &trainer->binding;
    struct feature_buffers *buffers = &trainer->features;
    const size_t students = (size_t)trainer->student_count;
    enum status status = STATUS_OK;
    buffers->scratch_stride = scratch_size(trainer);
    if (buffers->scratch_stride)
        TRY(new_buffer(trainer, size_mul(students, buffers->scratch_stride), &buffers->scratch, err));
    for (int i = 0; i < binding->teacher_feature_count; i++) {
        const struct loss_feature *teacher = &binding->teacher_features[i];
        const size_t floats = (size_t)teacher->h * (size_t)teacher->w * (size_t)teacher->channels;
        TRY(new_buffer(trainer, size_mul(size_mul((size_t)trainer->options->batch, floats), sizeof(float)),
                       &buffers->teacher[i], err));
    }
    for (int i = 0; i < binding->student_feature_count; i++) {
        const size_t bytes = size_mul(students, size_mul(feature_size(trainer, i), sizeof(float)));
        TRY(new_buffer(trainer, bytes, &buffers->student[i], err));
        TRY(new_buffer(trainer, bytes, &buffers->gradient[i], err));
    }
cleanup:
    return status;
}

void trainer_features_release(struct trainer *trainer)
{
    const struct compute *compute = trainer->compute;
    struct feature_buffers *buffers = &trainer->features;
    for (int i = 0; i < BINDING_MAX_PAIRS; i++) {
        compute->backend->device->buffer_free(compute->device, buffers->teacher[i]);
        compute->backend->device->buffer_free(compute->device, buffers->student[i]);
        compute->backend->device->buffer_free(compute->device, buffers->gradient[i]);
    }
    compute->backend->device->buffer_free(compute->device, buffers->scratch);
    *buffers = (struct feature_buffers){0};
}

/* teacher_square: of the teacher's feature, if the term is on features. */
static enum status add_term(struct trainer *trainer, int term, float teacher_square, const struct loss_batch *batch,
                            struct error *err)
{
    struct loss_term terms[TRAINING_MAX_STUDENTS];
    for (int k = 0; k < trainer->student_count; k++) {
        terms[k] = trainer->students[k].loss->terms[term];
        terms[k].teacher_square = teacher_square;
    }
    return trainer->compute->backend->training->losses->add(trainer->compute->device, terms, term, batch, err);
}

static struct student_feature student_feature_of(const struct trainer *trainer, int i)
{
    const struct loss_feature *feature = &trainer->binding.student_features[i];
    return (struct student_feature){trainer->network.plan.node_tensor[feature->of], feature->h, feature->w};
}

/* Reads the features of both sides into their buffers. */
static enum status read_features(struct trainer *trainer, const struct feature_store *features,
                                 const struct epoch_inputs *inputs, const struct pass *pass, struct error *err)
{
    const struct backend *backend = trainer->compute->backend;
    struct device *device = trainer->compute->device;
    const struct loss_binding *binding = &trainer->binding;
    const struct network *network = &trainer->network;
    enum status status = STATUS_OK;
    for (int i = 0; i < binding->teacher_feature_count; i++) {
        const struct loss_feature *teacher = &binding->teacher_features[i];
        const struct feature_store *store = teacher->of >= 0 ? &features[teacher->of] : NULL;
        TRY(backend->training->features->read_teacher(device, store, inputs, teacher->term, teacher->h, teacher->w,
                                                      trainer->features.teacher[i], err));
    }
    for (int i = 0; i < binding->student_feature_count; i++) {
        const struct student_feature feature = student_feature_of(trainer, i);
        const size_t size = feature_size(trainer, i);
        TRY(backend->training->features->read_student(device, &network->plan, &network->memory, pass,
                                                      binding->student_features[i].term, &feature,
                                                      trainer->features.student[i], size, err));
        TRY(backend->device->zero(device, trainer->features.gradient[i],
                                  (size_t)trainer->student_count * size * sizeof(float), err));
    }
cleanup:
    return status;
}

/* Adds the gradients of the student's features to those of the network. */
static enum status add_gradients(struct trainer *trainer, const struct pass *pass, struct error *err)
{
    const struct backend *backend = trainer->compute->backend;
    const struct network *network = &trainer->network;
    enum status status = STATUS_OK;
    for (int i = 0; i < trainer->binding.student_feature_count; i++) {
        const struct student_feature feature = student_feature_of(trainer, i);
        bool first =
            feature.tensor != network->plan.output; /* the logits' gradient already has the other terms' share */
        for (int before = 0; before < i; before++)
            first &= student_feature_of(trainer, before).tensor != feature.tensor;
        TRY(backend->training->features->add_gradient(
            trainer->compute->device, &network->plan, &network->memory, pass, trainer->binding.student_features[i].term,
            &feature, trainer->features.gradient[i], feature_size(trainer, i), first, err));
    }
cleanup:
    return status;
}

static enum status add_pair(struct trainer *trainer, const struct feature_pair *pair,
                            const struct feature_store *features, struct loss_batch batch, struct error *err)
{
    const struct network *network = &trainer->network;
    const int recorded = pair->teacher_feature >= 0 ? trainer->binding.teacher_features[pair->teacher_feature].of : -1;
    batch.part = pair->part;
    batch.shape = shape_of(trainer, pair);
    batch.student = trainer->features.student[pair->student_feature];
    batch.student_gradient = trainer->features.gradient[pair->student_feature];
    batch.student_stride = feature_size(trainer, pair->student_feature);
    batch.teacher = pair->teacher_feature >= 0 ? trainer->features.teacher[pair->teacher_feature] : NULL;
    batch.parameters = network->memory.parameters;
    batch.parameter_gradients = network->memory.parameter_gradients;
    batch.parameter_stride = network->plan.parameter_count;
    batch.state = network->memory.state;
    batch.state_stride = network->plan.state_count;
    for (int i = 0; i < LEARNED_COUNT; i++)
        if (pair->learned[i] >= 0)
            batch.learned[i] = network->plan.weight_offset[pair->learned[i]];
    return add_term(trainer, pair->term, recorded >= 0 ? features[recorded].mean_square : 0, &batch, err);
}

/* The terms on logits; without the teacher's logits only cross entropy can be computed. */
static enum status add_logit_terms(struct trainer *trainer, const struct loss_batch *batch, struct error *err)
{
    const struct loss_expression *loss = trainer->students[0].loss;
    enum status status = STATUS_OK;
    for (int i = 0; i < loss->count; i++)
        if (!loss_expression_on_features(loss, i) && (batch->inputs->teacher || loss->terms[i].kind == LOSS_CE))
            TRY(add_term(trainer, i, 0, batch, err));
cleanup:
    return status;
}

enum status trainer_measure(struct trainer *trainer, const struct feature_store *features,
                            const struct epoch_inputs *inputs, const struct pass *pass, struct error *err)
{
    const struct backend *backend = trainer->compute->backend;
    struct device *device = trainer->compute->device;
    struct loss_batch batch = {.count = pass->count,
                               .students = trainer->student_count,
                               .logits = network_logits(&trainer->network),
                               .logit_stride = network_logit_stride(&trainer->network),
                               .inputs = inputs,
                               .metrics = trainer->metrics,
                               .shape = {.batch = trainer->options->batch, .classes = trainer->classes},
                               .scratch = trainer->features.scratch,
                               .scratch_stride = trainer->features.scratch_stride};
    enum status status = STATUS_OK;
    if (pass->training) {
        const size_t bytes = (size_t)pass->count * (size_t)trainer->classes * sizeof(float);
        batch.gradient = network_logits_gradient(&trainer->network);
        batch.gradient_stride = network_gradient_stride(&trainer->network);
        TRY(backend->device->zero_rows(device, batch.gradient, batch.gradient_stride * sizeof(float), bytes,
                                       trainer->student_count, err));
    }
    TRY(add_logit_terms(trainer, &batch, err));
    if (pass->training && trainer->binding.pair_count) {
        TRY(read_features(trainer, features, inputs, pass, err));
        for (int i = 0; i < trainer->binding.pair_count; i++)
            TRY(add_pair(trainer, &trainer->binding.pairs[i], features, batch, err));
        TRY(add_gradients(trainer, pass, err));
    }
    TRY(backend->training->losses->metrics(device, &batch, err));
cleanup:
    return status;
}
