/* SGD, Adam and AdamW step for step as torch.optim, gradient clipping as torch.nn.utils.clip_grad_norm_, and the moving
 * average of the parameters. The vectors are cut into a fixed number of slices, whatever the number of threads. */
#include "shared/training/cpu/cpu_training.h"

#include <math.h>

enum { SLICES = 64 };

struct job {
    const struct optimizer *step;
    const struct step_scalars *scalars;
    const struct optimizer_memory *memory;
    size_t count;
    double squares[SLICES]; /* sum of the gradients' squares of each slice */
    float clip;             /* factor of the gradients */
    /* Adam */
    float step_size, root_correction;
};

static void slice_bounds(const struct job *job, int slice, size_t *from, size_t *to)
{
    size_t length = (job->count + SLICES - 1) / SLICES;
    *from = length * (size_t)slice < job->count ? length * (size_t)slice : job->count;
    *to = *from + length < job->count ? *from + length : job->count;
}

static void sum_squares(void *context, int slice, int worker)
{
    struct job *job = context;
    size_t from, to;
    double sum = 0;
    (void)worker;
    slice_bounds(job, slice, &from, &to);
    for (size_t i = from; i < to; i++)
        sum += (double)job->memory->gradients[i] * job->memory->gradients[i];
    job->squares[slice] = sum;
}

static void step_sgd(const struct job *job, size_t from, size_t to)
{
    const struct optimizer_memory *m = job->memory;
    const float decay = (float)job->step->weight_decay, momentum = (float)job->step->momentum;
    const float rate = (float)job->scalars->learning_rate;
    const bool first = job->scalars->step == 0;
    for (size_t i = from; i < to; i++) {
        float g = m->gradients[i] * job->clip + decay * m->parameters[i];
        if (momentum != 0) {
            m->first[i] = first ? g : momentum * m->first[i] + g;
            g = job->step->nesterov ? g + momentum * m->first[i] : m->first[i];
        }
        m->parameters[i] -= rate * g;
    }
}

static void step_adam(const struct job *job, size_t from, size_t to)
{
    const struct optimizer_memory *m = job->memory;
    const bool decoupled = job->step->kind == OPTIMIZER_ADAMW;
    const float decay = decoupled ? 0 : (float)job->step->weight_decay;
    const float keep = decoupled ? (float)(1 - job->scalars->learning_rate * job->step->weight_decay) : 1;
    const float beta1 = (float)job->step->beta1, beta2 = (float)job->step->beta2;
    const float rest1 = (float)(1 - job->step->beta1), rest2 = (float)(1 - job->step->beta2);
    const float epsilon = (float)job->step->epsilon;
    for (size_t i = from; i < to; i++) {
        float parameter = m->parameters[i] * keep, g = m->gradients[i] * job->clip + decay * parameter;
        m->first[i] = beta1 * m->first[i] + rest1 * g;
        m->second[i] = beta2 * m->second[i] + rest2 * g * g;
        m->parameters[i] =
            parameter - job->step_size * m->first[i] / (sqrtf(m->second[i]) / job->root_correction + epsilon);
    }
}

static void step_slice(void *context, int slice, int worker)
{
    struct job *job = context;
    size_t from, to;
    (void)worker;
    slice_bounds(job, slice, &from, &to);
    if (job->step->kind == OPTIMIZER_SGD)
        step_sgd(job, from, to);
    else
        step_adam(job, from, to);
}

static void optimize_one(struct device *device, const struct optimizer *step, const struct step_scalars *scalars,
                         const struct optimizer_memory *memory, size_t count)
{
    struct job job = {.step = step, .scalars = scalars, .memory = memory, .count = count, .clip = 1};
    double squares = 0;
    thread_pool_run(device->pool, SLICES, sum_squares, &job);
    for (int slice = 0; slice < SLICES; slice++)
        squares += job.squares[slice];
    *memory->norm = sqrt(squares);
    if (step->clip > 0 && step->clip / (*memory->norm + 1e-6) < 1)
        job.clip = (float)(step->clip / (*memory->norm + 1e-6));
    if (step->kind != OPTIMIZER_SGD) {
        job.step_size = (float)(scalars->learning_rate / scalars->correction1);
        job.root_correction = (float)scalars->root_correction2;
    }
    thread_pool_run(device->pool, SLICES, step_slice, &job);
}

static enum status step(struct device *device, const struct optimizer *optimizer, const struct optimizer_memory *memory,
                        size_t count, const struct epoch_inputs *inputs, struct error *err)
{
    (void)err;
    for (int k = 0; k < inputs->students; k++) {
        const size_t first = (size_t)k * count;
        const struct optimizer_memory own = {.parameters = memory->parameters + first,
                                             .gradients = memory->gradients + first,
                                             .first = memory->first + first,
                                             .second = memory->second + first,
                                             .norm = memory->norm + k};
        optimize_one(device, optimizer,
                     &inputs->scalars[(size_t)*inputs->cursor * (size_t)inputs->students + (size_t)k], &own, count);
    }
    return STATUS_OK;
}

static enum status ema_update(struct device *device, float *average, const float *values, size_t count, double decay,
                              struct error *err)
{
    const float keep = (float)decay, rest = (float)(1 - decay);
    (void)device, (void)err;
    for (size_t i = 0; i < count; i++)
        average[i] = decay == 0 ? values[i] : keep * average[i] + rest * values[i];
    return STATUS_OK;
}

const struct optimizer_ops cpu_optimizer_ops = {
    .step = step,
    .ema_update = ema_update,
};
