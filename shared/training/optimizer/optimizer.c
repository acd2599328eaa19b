/* SGD, Adam and AdamW as torch.optim, gradient clipping as torch.nn.utils.clip_grad_norm_, and the moving average of
 * the parameters. The vectors are cut into a fixed number of slices, whatever the number of threads. */
#include "shared/training/cpu/cpu_training.h"
#include "shared/training/optimizer/update.h"

#include <math.h>

enum { SLICES = 64 };

struct job {
    enum optimizer_kind kind;
    struct update_rates rates;
    const struct optimizer_memory *memory;
    size_t count;
    double squares[SLICES]; /* sum of the squares of each slice's gradients */
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

static void step_slice(void *context, int slice, int worker)
{
    struct job *job = context;
    size_t from, to;
    (void)worker;
    slice_bounds(job, slice, &from, &to);
    for (size_t i = from; i < to; i++) {
        const struct update_rates rates = update_rates_at(&job->rates, job->memory, i);
        if (job->kind == OPTIMIZER_SGD)
            update_sgd(&rates, job->memory, i);
        else
            update_adam(&rates, job->memory, i);
    }
}

static void optimize_one(struct device *device, const struct optimizer *optimizer, const struct step_scalars *scalars,
                         const struct optimizer_memory *memory, size_t count)
{
    struct job job = {.kind = optimizer->kind, .memory = memory, .count = count};
    double squares = 0;
    thread_pool_run(device->pool, SLICES, sum_squares, &job);
    for (int slice = 0; slice < SLICES; slice++)
        squares += job.squares[slice];
    *memory->norm = sqrt(squares);
    job.rates = update_rates_of(optimizer, scalars, clip_factor_of(optimizer->clip, *memory->norm));
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
                                             .decays = memory->decays,
                                             .norm = memory->norm + k};
        optimize_one(device, optimizer,
                     &inputs->scalars[(size_t)*inputs->cursor * (size_t)inputs->students + (size_t)k], &own, count);
    }
    return STATUS_OK;
}

static enum status ema_update(struct device *device, float *average, const float *values, size_t count, double decay,
                              const struct epoch_inputs *inputs, struct error *err)
{
    struct update_shares shares = update_shares_of(decay);
    (void)device, (void)err;
    if (inputs) /* all students are at the same step */
        shares = update_shares_at(shares, inputs->scalars[(size_t)*inputs->cursor * (size_t)inputs->students].step);
    for (size_t i = 0; i < count; i++)
        average[i] = update_average(average[i], values[i], shares);
    return STATUS_OK;
}

const struct optimizer_ops cpu_optimizer_ops = {
    .step = step,
    .ema_update = ema_update,
};
