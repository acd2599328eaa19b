/* What an optimiser step does to one parameter, in float as torch.optim: the same operations in the same order on the
 * CPU and in kernels, none of them contracted to a fused multiply-add. */
#ifndef SHARED_TRAINING_OPTIMIZER_UPDATE_H
#define SHARED_TRAINING_OPTIMIZER_UPDATE_H

#include "shared/base/host_device.h"
#include "shared/training/training.h"
#include <math.h>

/* Products and sums that are rounded one by one. The host's compiler is told not to contract; nvcc contracts unless
 * these are used. */
static inline HOST_DEVICE float update_mul(float a, float b)
{
#ifdef __CUDA_ARCH__
    return __fmul_rn(a, b);
#else
    return a * b;
#endif
}
static inline HOST_DEVICE float update_add(float a, float b)
{
#ifdef __CUDA_ARCH__
    return __fadd_rn(a, b);
#else
    return a + b;
#endif
}

/* The factor of the gradients, of which `norm` is the length. */
static inline HOST_DEVICE float clip_factor_of(double clip, double norm)
{
    return clip > 0 && clip / (norm + 1e-6) < 1 ? (float)(clip / (norm + 1e-6)) : 1;
}

/* The numbers of a step, in float. */
struct update_rates {
    float clip, rate, decay, momentum, keep, beta1, beta2, rest1, rest2, epsilon, root_correction;
    bool nesterov, first; /* first: the momentum buffer is still empty */
};

static inline HOST_DEVICE struct update_rates update_rates_of(const struct optimizer *optimizer,
                                                              const struct step_scalars *scalars, float clip)
{
    const bool sgd = optimizer->kind == OPTIMIZER_SGD, decoupled = optimizer->kind == OPTIMIZER_ADAMW;
    struct update_rates r;
    r.clip = clip;
    r.rate = (float)(sgd ? scalars->learning_rate : scalars->learning_rate / scalars->correction1);
    r.decay = decoupled ? 0 : (float)optimizer->weight_decay;
    r.keep = decoupled ? (float)(1 - scalars->learning_rate * optimizer->weight_decay) : 1;
    r.momentum = (float)optimizer->momentum;
    r.nesterov = optimizer->nesterov;
    r.first = scalars->step == 0;
    r.beta1 = (float)optimizer->beta1;
    r.beta2 = (float)optimizer->beta2;
    r.rest1 = (float)(1 - optimizer->beta1);
    r.rest2 = (float)(1 - optimizer->beta2);
    r.epsilon = (float)optimizer->epsilon;
    r.root_correction = (float)scalars->root_correction2;
    return r;
}

/* The rates of element i, which may have no decay. */
static inline HOST_DEVICE struct update_rates update_rates_at(const struct update_rates *r,
                                                              const struct optimizer_memory *m, size_t i)
{
    struct update_rates own = *r;
    if (m->decays && !m->decays[i]) {
        own.decay = 0;
        own.keep = 1;
    }
    return own;
}

/* Both take element i of the vectors to the next step. */
static inline HOST_DEVICE void update_sgd(const struct update_rates *r, const struct optimizer_memory *m, size_t i)
{
    float g = update_add(update_mul(m->gradients[i], r->clip), update_mul(r->decay, m->parameters[i]));
    if (r->momentum != 0) {
        const float velocity = r->first ? g : update_add(update_mul(r->momentum, m->first[i]), g);
        m->first[i] = velocity;
        g = r->nesterov ? update_add(g, update_mul(r->momentum, velocity)) : velocity;
    }
    m->parameters[i] = update_add(m->parameters[i], -update_mul(r->rate, g));
}
static inline HOST_DEVICE void update_adam(const struct update_rates *r, const struct optimizer_memory *m, size_t i)
{
    const float parameter = update_mul(m->parameters[i], r->keep);
    const float g = update_add(update_mul(m->gradients[i], r->clip), update_mul(r->decay, parameter));
    const float first = update_add(update_mul(r->beta1, m->first[i]), update_mul(r->rest1, g));
    const float second = update_add(update_mul(r->beta2, m->second[i]), update_mul(update_mul(r->rest2, g), g));
    m->first[i] = first;
    m->second[i] = second;
    m->parameters[i] = update_add(
        parameter, -(update_mul(r->rate, first) / update_add(sqrtf(second) / r->root_correction, r->epsilon)));
}

/* The weights of a moving average and of its next value: decay and 1 - decay. */
struct update_shares {
    float decay, rest;
};

static inline struct update_shares update_shares_of(double decay)
{
    return (struct update_shares){(float)decay, (float)(1 - decay)};
}

/* Those of a step with `step` steps before it: (1 + step) / (10 + step), until the decay is smaller. */
static inline HOST_DEVICE struct update_shares update_shares_at(struct update_shares shares, uint64_t step)
{
    const float steps = (float)step;
    struct update_shares early;
    early.decay = (1 + steps) / (10 + steps);
    early.rest = 9 / (10 + steps);
    return early.decay < shares.decay ? early : shares;
}

static inline HOST_DEVICE float update_average(float average, float value, struct update_shares shares)
{
    return shares.decay == 0 ? value : update_add(update_mul(shares.decay, average), update_mul(shares.rest, value));
}

#endif
