/* The terms of the loss: which kernels a kind has. */
#include "shared/training/cuda/cuda_loss.h"

static const struct cuda_term_kind *find_kind(enum loss_kind kind)
{
    const struct cuda_term_kind *const families[] = {cuda_logit_terms, cuda_feature_terms, cuda_relation_terms,
                                                     cuda_learned_terms};
    for (size_t i = 0; (unsigned)kind < LOSS_KIND_COUNT && i < sizeof families / sizeof *families; i++)
        if (families[i][kind].launch)
            return &families[i][kind];
    return NULL;
}

static size_t scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const struct cuda_term_kind *kind = find_kind(term->kind);
    return kind && kind->scratch ? kind->scratch(term, shape) : 0;
}

static enum status add(struct device *device, const struct loss_term *terms, int index, const struct loss_batch *batch,
                       struct error *err)
{
    const struct cuda_term_kind *kind = find_kind(terms->kind);
    const struct loss_rows rows = {*batch, *batch->inputs, device->sums, index};
    if (!kind)
        return error_set(err, STATUS_INTERNAL, NULL, "the CUDA backend has no loss %d", (int)terms->kind);
    kind->launch(device->stream, terms, &rows);
    return cuda_launched("loss", err);
}

const struct loss_ops cuda_loss_ops = {
    .scratch = scratch,
    .add = add,
    .metrics = cuda_metrics,
};
