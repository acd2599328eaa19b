#include "shared/training/cpu/cpu_run.h"

#include <string.h>

enum {
    PARTIAL_FLOATS = 1 << 22, /* weight gradients of all slices of a step: 16 MiB, if 8 slices fit */
    PIVOT_PIXELS = 64,
    STREAM_BYTES = 4 << 20, /* of a tensor, the whole batch */
    RUN_FLOATS = 16384      /* floats that are summed up in single precision before the sum goes into a double */
};

static const struct epilogue nothing = {.activation = ACTIVATION_NONE};

int slice_count(size_t partial, int batch)
{
    size_t slices = partial ? PARTIAL_FLOATS / partial : MAX_SLICES;
    slices = slices < 8 ? 8 : slices > MAX_SLICES ? MAX_SLICES : slices;
    return batch < (int)slices ? batch : (int)slices;
}

void slice_samples(const struct cpu_run *run, int slice, int *first, int *end)
{
    *first = (int)((long long)run->pass->count * slice / run->slices);
    *end = (int)((long long)run->pass->count * (slice + 1) / run->slices);
}

void run_slices(struct cpu_run *run, void (*task)(void *run, int slice, int worker))
{
    for (int i = 0; i < run->slices; i++) {
        struct cpu_slice *slice = &run->workspace->slices[i];
        slice->started = false;
        slice->count = 0;
        memset(slice->bias, 0, (size_t)run->out->shape.c * sizeof *slice->bias);
        memset(slice->weight, 0, (size_t)run->out->shape.c * sizeof *slice->weight);
    }
    thread_pool_run(run->device->pool, run->slices, task, run);
}

/* The loops over what the tensor stores. */
static const struct stored_kernels *stored_of(const struct cpu_run *run, const struct cpu_tensor *tensor)
{
    return tensor->dtype == DTYPE_BF16 ? &run->kernels->bf16 : &run->kernels->fp32;
}

void copy_with_epilogue(const struct cpu_run *run, const struct cpu_tensor *tensor, size_t first, size_t floats,
                        float *out)
{
    const void *raw = stored_value(run, tensor, first);
    if (tensor->dtype == DTYPE_FP32 && !has_epilogue(tensor))
        memcpy(out, raw, floats * sizeof *out);
    else
        stored_of(run, tensor)->apply_epilogue(&tensor->epilogue, raw, out, floats);
}

const float *read_with_epilogue(const struct cpu_run *run, const struct cpu_tensor *tensor, size_t first, size_t floats,
                                float *out)
{
    if (tensor->dtype == DTYPE_FP32 && !has_epilogue(tensor))
        return stored_value(run, tensor, first);
    copy_with_epilogue(run, tensor, first, floats, out);
    return out;
}

void copy_gradient(const struct cpu_run *run, size_t first, size_t floats, float *out)
{
    const struct cpu_tensor *t = run->out;
    const void *gradient = stored_gradient(run, t, first);
    if (t->batch_norm >= 0)
        stored_of(run, t)->through_norm(gradient, stored_value(run, t, first), out, floats, t->width,
                                        t->rows[PLAN_GRADIENT_A], t->rows[PLAN_GRADIENT_B], t->rows[PLAN_GRADIENT_D]);
    else if (t->dtype == DTYPE_FP32)
        memcpy(out, gradient, floats * sizeof *out);
    else
        stored_of(run, t)->apply_epilogue(&nothing, gradient, out, floats);
}

const float *read_gradient(const struct cpu_run *run, size_t first, size_t floats, float *out)
{
    if (run->out->dtype == DTYPE_FP32 && run->out->batch_norm < 0)
        return stored_gradient(run, run->out, first);
    copy_gradient(run, first, floats, out);
    return out;
}

/* Of the `floats` elements from `first` on: the bytes of those that the batch has. */
static size_t bytes_ahead(const struct cpu_run *run, const struct cpu_tensor *tensor, size_t first, size_t floats)
{
    const size_t all = (size_t)run->pass->count * tensor->sample;
    return (first >= all ? 0 : all - first < floats ? all - first : floats) * dtype_size(tensor->dtype);
}

void ahead_value(struct ahead *ahead, const struct cpu_run *run, const struct cpu_tensor *tensor, size_t first,
                 size_t floats)
{
    ahead_add(ahead, stored_value(run, tensor, first), bytes_ahead(run, tensor, first, floats));
}

void ahead_gradient(struct ahead *ahead, const struct cpu_run *run, size_t first, size_t floats)
{
    ahead_add(ahead, stored_gradient(run, run->out, first), bytes_ahead(run, run->out, first, floats));
}

/* Folds a row of `width` sums into sums per channel. */
static void fold(const float *row, int width, int channels, double *sums)
{
    for (int i = 0; i < width; i += channels)
        for (int c = 0; c < channels; c++)
            sums[c] += (double)row[i + c];
}

/* Floats of a tensor per run: whole rows of 16 pixels, so that every run begins where the parameters do. */
static size_t run_floats(int channels)
{
    size_t row = 16 * (size_t)channels;
    return row > RUN_FLOATS ? row : RUN_FLOATS / row * row;
}

/* Adds the columns of x, pixels of the output, to sums[channels]. */
static void add_columns(const struct cpu_run *run, const float *x, size_t floats, float *tile, double *sums)
{
    const int channels = run->out->shape.c, width = run->out->width;
    const size_t most = run_floats(channels);
    for (size_t at = 0, part; at < floats; at += part) {
        part = floats - at < most ? floats - at : most;
        run->kernels->fp32.moments(x + at, part, width, run->workspace->zeros, tile, NULL, GIVE_WRITE);
        fold(tile, width, channels, sums);
    }
}

/* The mean of a slice's first pixels. */
static void choose_pivot(const struct cpu_run *run, struct cpu_slice *slice, const float *values, size_t floats)
{
    const int channels = run->out->shape.c, width = run->out->width;
    size_t some = (size_t)PIVOT_PIXELS * (size_t)channels;
    some = some < floats ? some : floats;
    memset(slice->first, 0, (size_t)channels * sizeof *slice->first);
    add_columns(run, values, some, slice->tile, slice->first);
    for (int i = 0; i < width; i++)
        slice->pivot[i] = (float)(slice->first[i % channels] * channels / (double)some);
    memset(slice->first, 0, (size_t)channels * sizeof *slice->first);
    memset(slice->second, 0, (size_t)channels * sizeof *slice->second);
    slice->started = true;
}

/* Is the tensor so large that what a step writes is no longer in a cache of its core when the next step reads it? */
static bool passes_caches(const struct cpu_run *run, const struct cpu_tensor *tensor)
{
    return tensor->sample * (size_t)run->pass->count * dtype_size(tensor->dtype) >= STREAM_BYTES;
}

/* Does the step's output need sums for its batch norm? */
static bool notes(const struct cpu_run *run)
{
    return run->step->statistics && pass_observes(run->pass);
}

float *values_place(const struct cpu_run *run, size_t first, float *tile)
{
    const bool elsewhere = run->out->dtype != DTYPE_FP32 || passes_caches(run, run->out);
    return elsewhere ? tile : stored_value(run, run->out, first);
}

void put_values(struct cpu_run *run, int index, const float *values, size_t first, size_t floats)
{
    struct cpu_slice *slice = &run->workspace->slices[index];
    const struct cpu_tensor *out = run->out;
    const struct stored_kernels *kernels = stored_of(run, out);
    const enum give give = passes_caches(run, out) ? GIVE_STREAM : GIVE_WRITE;
    const size_t most = run_floats(out->shape.c), size = dtype_size(out->dtype);
    char *place = stored_value(run, out, first);
    const bool moved = (const void *)values != place;
    if (!notes(run) || floats == 0) {
        if (moved)
            kernels->finish(&nothing, place, values, place, give, floats, NULL);
        return;
    }
    if (!slice->started)
        choose_pivot(run, slice, values, floats);
    for (size_t at = 0, part; at < floats; at += part) {
        part = floats - at < most ? floats - at : most;
        kernels->moments(values + at, part, out->width, slice->pivot, slice->tile, moved ? place + at * size : NULL,
                         give);
        fold(slice->tile, out->width, out->shape.c, slice->first);
        fold(slice->tile + out->width, out->width, out->shape.c, slice->second);
    }
    slice->count += (double)(floats / (size_t)out->shape.c);
}

void give_gradient(struct cpu_run *run, int index, const float *dx, size_t first, size_t floats)
{
    struct cpu_slice *slice = &run->workspace->slices[index];
    const struct cpu_tensor *t = run_tensor(run, run->input->tensor);
    const struct stored_kernels *kernels = stored_of(run, t);
    const char *raw = stored_value(run, t, first);
    char *gradient = stored_gradient(run, t, first);
    const enum give give = run->input->accumulate ? GIVE_ADD : passes_caches(run, t) ? GIVE_STREAM : GIVE_WRITE;
    const bool sums = run->input->finish && t->batch_norm >= 0;
    const struct epilogue *epilogue = run->input->finish ? &t->epilogue : &nothing;
    const size_t most = run_floats(t->shape.c), size = dtype_size(t->dtype);
    if (sums && !slice->started) {
        memset(slice->first, 0, (size_t)t->shape.c * sizeof *slice->first);
        memset(slice->second, 0, (size_t)t->shape.c * sizeof *slice->second);
        slice->started = true;
    }
    if (!sums) {
        kernels->finish(epilogue, raw, dx, gradient, give, floats, NULL);
        return;
    }
    for (size_t at = 0, part; at < floats; at += part) {
        part = floats - at < most ? floats - at : most;
        kernels->finish(epilogue, raw + at * size, dx + at, gradient + at * size, give, part, slice->tile);
        fold(slice->tile, t->width, t->shape.c, slice->first);
        fold(slice->tile + t->width, t->width, t->shape.c, slice->second);
    }
}

void note_bias(struct cpu_run *run, int index, const float *dz, size_t floats)
{
    struct cpu_slice *slice = &run->workspace->slices[index];
    if (!weight_gradient(run->memory, run->step->bias))
        return;
    add_columns(run, dz, floats, slice->tile, slice->bias);
}

void finish_bias(struct cpu_run *run)
{
    float *gradient = weight_gradient(run->memory, run->step->bias);
    for (int c = 0; gradient && c < run->out->shape.c; c++) {
        double sum = 0;
        for (int i = 0; i < run->slices; i++)
            sum += run->workspace->slices[i].bias[c];
        gradient[c] = (float)sum;
    }
}

void note_weight(struct cpu_run *run, int index, const float *products, size_t floats)
{
    struct cpu_slice *slice = &run->workspace->slices[index];
    if (weight_gradient(run->memory, run->step->weight))
        add_columns(run, products, floats, slice->tile, slice->weight);
}

void note_weight_products(struct cpu_run *run, int index, const float *a, const float *b, size_t floats)
{
    struct cpu_slice *slice = &run->workspace->slices[index];
    const int channels = run->out->shape.c, width = run->out->width;
    const size_t most = run_floats(channels);
    if (!weight_gradient(run->memory, run->step->weight))
        return;
    for (size_t at = 0, part; at < floats; at += part) {
        part = floats - at < most ? floats - at : most;
        run->kernels->column_products(a + at, b + at, part, width, slice->tile);
        fold(slice->tile, width, channels, slice->weight);
    }
}

void finish_weight(struct cpu_run *run)
{
    float *gradient = weight_gradient(run->memory, run->step->weight);
    const bool one = run->plan->graph->weights[run->node->weight].count == 1;
    double sum = 0;
    for (int c = 0; gradient && c < run->out->shape.c; c++) {
        sum = one ? sum : 0;
        for (int i = 0; i < run->slices; i++)
            sum += run->workspace->slices[i].weight[c];
        gradient[one ? 0 : c] = (float)sum;
    }
}

void fill_row(const struct cpu_tensor *tensor, const float *values, size_t count, float absent, float *to)
{
    const int channels = tensor->shape.c;
    for (int i = 0; i < channels; i++)
        to[i] = !values ? absent : values[count == 1 ? 0 : i];
    for (int i = channels; i < tensor->width; i += channels)
        memcpy(to + i, to, (size_t)channels * sizeof *to);
}
