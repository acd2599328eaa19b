#include "shared/quantise/calibration.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double PERCENTILE = 1e-4; /* left out at each end */

void pixels_normalise(const uint8_t *pixels, size_t count, int channels, float normalised[3][256], float *input)
{
    for (size_t i = 0; i < count; i++)
        input[i] = normalised[i % (size_t)channels][pixels[i]];
}

/* ---- gathering ---- */

/* What one thread has seen. Bounds and counts do not depend on who sees what. */
struct gatherer {
    struct value_statistics *values;
    float *input, *arena, *output;
};

struct gathering {
    struct calibration *calibration;
    const struct pixel_set *pictures;
    float (*normalised)[256];
    struct gatherer *workers;
    bool counting; /* the second pass: bounds are known */
};

/* One picture in one thread. */
struct observation {
    const struct gathering *gathering;
    struct value_statistics *values;
};

static void observe_bounds(struct value_statistics *seen, const float *data, size_t count, int channels)
{
    for (size_t i = 0; i < count; i++) {
        float *peak = &seen->channel_peak[i % (size_t)channels];
        seen->low = fminf(seen->low, data[i]);
        seen->high = fmaxf(seen->high, isfinite(data[i]) ? data[i] : INFINITY);
        *peak = fmaxf(*peak, fabsf(data[i]));
    }
}

static void observe_bins(struct value_statistics *seen, const struct value_statistics *bounds, const float *data,
                         size_t count)
{
    const float width = bounds->high - bounds->low, factor = width > 0 ? CALIBRATION_BINS / width : 0;
    for (size_t i = 0; i < count; i++) {
        const float bin = (data[i] - bounds->low) * factor; /* NaN where all values are next to 0: the last bin */
        seen->bins[bin >= 0 && bin < CALIBRATION_BINS ? (int)bin : CALIBRATION_BINS - 1]++;
    }
}

static void observe(void *context, int value, const float *data)
{
    const struct observation *o = context;
    const struct calibration *calibration = o->gathering->calibration;
    const struct lowered_value *of = &calibration->lowered->values[value];
    if (o->gathering->counting)
        observe_bins(&o->values[value], &calibration->values[value], data, of->count);
    else
        observe_bounds(&o->values[value], data, of->count, of->shape.c);
}

static void run_picture(void *context, int index, int worker)
{
    const struct gathering *gathering = context;
    const struct lowered *lowered = gathering->calibration->lowered;
    struct gatherer *own = &gathering->workers[worker];
    struct observation observation = {gathering, own->values};
    pixels_normalise(gathering->pictures->pixels + (size_t)index * gathering->pictures->size, gathering->pictures->size,
                     lowered->values[lowered->input].shape.c, gathering->normalised, own->input);
    lowered_run(lowered, own->input, own->arena, observe, &observation, own->output);
}

static enum status make_statistics(struct calibration *calibration, struct value_statistics **out, struct error *err)
{
    const struct lowered *lowered = calibration->lowered;
    struct value_statistics *values = arena_alloc(&calibration->arena, (size_t)lowered->value_count, sizeof *values);
    *out = values;
    for (int v = 0; values && v < lowered->value_count; v++) {
        values[v].low = FLT_MAX;
        values[v].high = -FLT_MAX;
        values[v].channel_peak =
            arena_alloc(&calibration->arena, (size_t)lowered->values[v].shape.c, sizeof *values[v].channel_peak);
        values[v].bins = arena_alloc(&calibration->arena, CALIBRATION_BINS, sizeof *values[v].bins);
        if (!values[v].channel_peak || !values[v].bins)
            values = NULL;
    }
    return values ? STATUS_OK : error_no_memory(err, 0, "a calibration");
}

static enum status make_worker(struct calibration *calibration, struct gatherer *worker, struct error *err)
{
    const struct lowered *lowered = calibration->lowered;
    worker->input = arena_alloc(&calibration->arena, lowered->values[lowered->input].count, sizeof(float));
    worker->output = arena_alloc(&calibration->arena, lowered->values[lowered->output].count, sizeof(float));
    worker->arena = arena_alloc(&calibration->arena, lowered->arena_values, sizeof(float));
    if (!worker->input || !worker->output || !worker->arena)
        return error_no_memory(err, lowered->arena_values * sizeof(float), "a calibration");
    return make_statistics(calibration, &worker->values, err);
}

static void merge(const struct calibration *calibration, const struct value_statistics *from)
{
    for (int v = 0; v < calibration->lowered->value_count; v++) {
        struct value_statistics *to = &calibration->values[v];
        to->low = fminf(to->low, from[v].low);
        to->high = fmaxf(to->high, from[v].high);
        for (int c = 0; c < calibration->lowered->values[v].shape.c; c++)
            to->channel_peak[c] = fmaxf(to->channel_peak[c], from[v].channel_peak[c]);
        for (int i = 0; i < CALIBRATION_BINS; i++)
            to->bins[i] += from[v].bins[i];
    }
}

static enum status check_finite(const struct calibration *calibration, struct error *err)
{
    const struct lowered *lowered = calibration->lowered;
    for (int v = 0; v < lowered->value_count; v++)
        if (!isfinite(calibration->values[v].low) || !isfinite(calibration->values[v].high) ||
            calibration->values[v].low > calibration->values[v].high)
            return error_set(err, STATUS_BAD_DATA, NULL,
                             "the values of layer '%s' are not finite: this student cannot be quantised",
                             lowered->graph.nodes[lowered->values[v].node].name);
    return STATUS_OK;
}

enum status calibration_init(struct calibration *calibration, const struct lowered *lowered,
                             const struct pixel_set *pictures, float normalised[3][256], struct thread_pool *pool,
                             struct error *err)
{
    enum status status = STATUS_OK;
    const int workers = pool ? thread_pool_size(pool) : 1;
    struct gathering gathering = {.calibration = calibration, .pictures = pictures, .normalised = normalised};
    *calibration = (struct calibration){.lowered = lowered};
    gathering.workers = arena_alloc(&calibration->arena, (size_t)workers, sizeof *gathering.workers);
    if (!gathering.workers)
        FAIL(error_no_memory(err, 0, "a calibration"));
    TRY(make_statistics(calibration, &calibration->values, err));
    for (int k = 0; k < workers; k++)
        TRY(make_worker(calibration, &gathering.workers[k], err));
    thread_pool_run(pool, (int)pictures->count, run_picture, &gathering);
    for (int k = 0; k < workers; k++)
        merge(calibration, gathering.workers[k].values);
    TRY(check_finite(calibration, err));
    gathering.counting = true;
    thread_pool_run(pool, (int)pictures->count, run_picture, &gathering);
    for (int k = 0; k < workers; k++)
        merge(calibration, gathering.workers[k].values);
cleanup:
    if (status != STATUS_OK)
        calibration_release(calibration);
    return status;
}

void calibration_release(struct calibration *calibration)
{
    arena_release(&calibration->arena);
    *calibration = (struct calibration){0};
}

/* ---- ranges ---- */
static float bin_edge(const struct value_statistics *seen, double bin)
{
    return (float)((double)seen->low + ((double)seen->high - (double)seen->low) * bin / CALIBRATION_BINS);
}

static struct value_range percentile(const struct value_statistics *seen)
{
    uint64_t total = 0, below = 0, above = 0;
    int first = 0, last = CALIBRATION_BINS - 1;
    for (int i = 0; i < CALIBRATION_BINS; i++)
        total += seen->bins[i];
    const uint64_t spare = (uint64_t)((double)total * PERCENTILE);
    for (; first < last && (below += seen->bins[first]) <= spare; first++)
        ;
    for (; last > first && (above += seen->bins[last]) <= spare; last--)
        ;
    return (struct value_range){bin_edge(seen, first), bin_edge(seen, last + 1)};
}

/* Mean squared error of the values in a range's 255 steps: step^2 / 12 inside, the distance outside. */
static double squared_error(const struct value_statistics *seen, struct value_range range)
{
    const double low = fmin((double)range.low, 0), high = fmax((double)range.high, 0), step = (high - low) / 255;
    double sum = 0;
    for (int i = 0; i < CALIBRATION_BINS; i++) {
        const double value = (double)bin_edge(seen, i + 0.5);
        const double beyond = value < low ? low - value : value > high ? value - high : 0;
        /* exactly 0 has no error: what a ReLU has cut off would hide the rest */
        const bool zero = seen->low == 0 && i == 0;
        sum += zero ? 0 : (double)seen->bins[i] * (beyond > 0 ? beyond * beyond : step * step / 12);
    }
    return sum;
}

static struct value_range least_error(const struct value_statistics *seen)
{
    struct value_range best = {seen->low, seen->high};
    double least = squared_error(seen, best);
    for (int i = 20; i <= 50; i++) /* each end by itself: 100 % down to 40 % of what was seen */
        for (int k = 20; k <= 50; k++) {
            const struct value_range range = {seen->low * (float)i / 50, seen->high * (float)k / 50};
            const double error = squared_error(seen, range);
            if (error < least) {
                least = error;
                best = range;
            }
        }
    return best;
}

/* Outside of which inputs an activation is flat, to less than half a step of its output. */
static struct value_range bent_part(const struct lowered_step *step)
{
    switch (step->activation) {
    case ACTIVATION_HARD_SWISH:
        return (struct value_range){-3, FLT_MAX};
    case ACTIVATION_HARD_SIGMOID:
        return (struct value_range){-step->beta / step->alpha, (1 - step->beta) / step->alpha};
    case ACTIVATION_SIGMOID:
        return (struct value_range){-7, 7};
    case ACTIVATION_TANH:
        return (struct value_range){-4, 4};
    case ACTIVATION_RELU:
        return (struct value_range){0, FLT_MAX};
    case ACTIVATION_CLIP:
        return (struct value_range){step->alpha, step->beta};
    default:
        return (struct value_range){-FLT_MAX, FLT_MAX};
    }
}

struct value_range calibration_limits(const struct lowered *lowered, int value)
{
    const struct value_range all = {-FLT_MAX, FLT_MAX};
    struct value_range part = {FLT_MAX, -FLT_MAX};
    for (int s = 0; s < lowered->step_count && value != lowered->output; s++)
        for (int k = 0; k < lowered->steps[s].input_count; k++) {
            const struct lowered_step *step = &lowered->steps[s];
            if (step->inputs[k] != value)
                continue;
            const struct value_range read = step->kind == LOWERED_ACTIVATION ? bent_part(step) : all;
            part.low = fminf(part.low, read.low);
            part.high = fmaxf(part.high, read.high);
        }
    return part.low > part.high ? all : part;
}

void calibration_ranges(const struct calibration *calibration, enum range_method method, struct value_range *ranges)
{
    const struct lowered *lowered = calibration->lowered;
    for (int v = 0; v < lowered->value_count; v++) {
        const struct value_statistics *seen = &calibration->values[v];
        ranges[v] = (struct value_range){seen->low, seen->high};
        if (method == RANGE_PERCENTILE && v != lowered->output)
            ranges[v] = percentile(seen);
        else if (method == RANGE_MSE && v != lowered->output)
            ranges[v] = least_error(seen);
        const struct value_range limits = calibration_limits(lowered, v);
        ranges[v].low = fmaxf(ranges[v].low, limits.low);
        ranges[v].high = fminf(ranges[v].high, limits.high);
    }
}

const char *range_method_name(enum range_method method)
{
    static const char *const names[RANGE_METHOD_COUNT] = {"min-max", "percentile", "mse"};
    return names[method];
}
