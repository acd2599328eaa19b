/* The loss on the GPU: which kernels a term has. The terms are in losses/, a file each. */
#include "shared/training/cuda/cuda_loss.h"
#include "shared/training/losses/loss_math.h"

static const struct cuda_loss *const losses[] = {
    &cuda_ce,           &cuda_kd,        &cuda_logit_mse, &cuda_dkd,  &cuda_dist, &cuda_nkd, /* on logits */
    &cuda_rld,          &cuda_wttm,      &cuda_abkd,      &cuda_mlkd, &cuda_hint, &cuda_at,
    &cuda_cosine,       &cuda_vid,                                   /* on features, element by element */
    &cuda_rkd_distance, &cuda_rkd_angle, &cuda_sp,        &cuda_pkt, /* on how rows lie to one another */
    &cuda_cc,           &cuda_crd,                                   /* with trained embeddings */
};

static const struct cuda_loss *find_loss(enum loss_kind kind)
{
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        if (losses[i]->kind == kind)
            return losses[i];
    return NULL;
}

static size_t scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const struct cuda_loss *loss = find_loss(term->kind);
    return gate_bytes(term, shape) + (loss && loss->scratch ? loss->scratch(term, shape) : 0);
}

static enum status add(struct device *device, const struct loss_term *terms, int index, const struct loss_batch *batch,
                       struct error *err)
{
    const struct cuda_loss *loss = find_loss(terms->kind);
    struct cuda_loss_args args = {*batch, *batch->inputs, device->sums, index, 0};
    if (!loss)
        return error_set(err, STATUS_INTERNAL, NULL, "the CUDA backend has no loss %d", (int)terms->kind);
    for (int k = 0; k < batch->students; k++) { /* one gate is enough for all students to read gated logits */
        const size_t bytes = gate_bytes(&terms[k], &batch->shape);
        args.gate_bytes = bytes > args.gate_bytes ? bytes : args.gate_bytes;
    }
    if (args.gate_bytes)
        cuda_gate(device->stream, terms, &args);
    loss->launch(device->stream, terms, &args);
    return cuda_launched("loss", err);
}

const struct loss_ops cuda_loss_ops = {
    .scratch = scratch,
    .add = add,
    .metrics = cuda_metrics,
};
