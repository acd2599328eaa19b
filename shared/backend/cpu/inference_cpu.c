/* Hands stage one's work to the engine in softcache_onednn.so (shared/backend/cpu/onednn), which is opened when the
 * first teacher is loaded: oneDNN is 40 MB, and students need none of it. */
#include "shared/backend/cpu/inference_cpu.h"

#include "shared/base/library.h"

#include <stdlib.h>

struct inference {
    const struct inference_ops *ops;
    struct inference *engine; /* the engine's own, opaque here */
};

/* A machine without oneDNN, or a folder of `make dist` without it, is nothing strange: say what to do. */
static enum status find_engine(const struct inference_ops **ops, struct error *err)
{
    const void *symbol = NULL;
    struct error why = {0};
    enum status status = library_symbol("softcache_onednn.so", INFERENCE_ONEDNN_SYMBOL, &symbol, &why);
    if (status != STATUS_OK)
        return error_set(
            err, status, why.path,
            "a teacher on the CPU needs softcache_onednn.so and oneDNN (`make dist ONEDNN=1` carries both): "
            "%s",
            why.message);
    *ops = symbol;
    return STATUS_OK;
}

static enum status inference_new(struct inference **out, const struct graph *graph,
                                 const struct inference_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    struct inference *inference = calloc(1, sizeof *inference);
    *out = NULL;
    if (!inference)
        return error_no_memory(err, sizeof *inference, "the teacher");
    TRY(find_engine(&inference->ops, err));
    TRY(inference->ops->new (&inference->engine, graph, options, err));
    *out = inference;
    inference = NULL;
cleanup:
    free(inference);
    return status;
}

static enum status inference_run(struct inference *inference, const float *input, int count, float *const *outputs,
                                 struct error *err)
{
    return inference->ops->run(inference->engine, input, count, outputs, err);
}

static void inference_free(struct inference *inference)
{
    if (!inference)
        return;
    inference->ops->free(inference->engine);
    free(inference);
}

const struct inference_ops inference_cpu = {inference_new, inference_run, inference_free};
