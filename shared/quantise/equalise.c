/* Cross-layer equalisation (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
 * Correction"), here with the values' peaks: a channel c between layers A and B is divided by s[c] in A and multiplied
 * by it in B. If B is depthwise, its weights have a scale per channel, so s = peak makes all channels equal at no cost.
 * Otherwise B's weights of all channels share a scale, and s = sqrt(peak / largest weight) is the balance between both
 * (Xiao et al. 2022, "SmoothQuant"). */
#include "shared/quantise/calibration.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static const float MOST = 64; /* between the largest and the smallest s of a layer */

static bool is_layer(const struct lowered_step *step)
{
    return step->kind == LOWERED_CONV || step->kind == LOWERED_DEPTHWISE;
}

/* The only reader of a step's output if it is a convolution that can take factors per channel; or NULL. */
static const struct lowered_step *next_layer(const struct lowered *lowered, const struct lowered_step *step)
{
    const struct lowered_step *next = NULL;
    if (!is_layer(step) || (step->low != 0 && step->low != -FLT_MAX) || step->high != FLT_MAX ||
        step->output == lowered->output)
        return NULL;
    for (int s = 0; s < lowered->step_count; s++)
        for (int k = 0; k < lowered->steps[s].input_count; k++)
            if (lowered->steps[s].inputs[k] == step->output) {
                if (next)
                    return NULL;
                next = &lowered->steps[s];
            }
    return next && (next->kind == LOWERED_DEPTHWISE || (next->kind == LOWERED_CONV && next->window.groups == 1)) ? next
                                                                                                                 : NULL;
}

/* The weights of a layer that belong to input channel c: rows of `inner` values, `step` apart. */
struct column {
    float *data;
    size_t rows, step, inner;
};

static struct column column_of(const struct graph *graph, const struct lowered_step *step, int channels, int c)
{
    const struct node *node = &graph->nodes[step->node];
    struct weight *weight = &graph->weights[node->weight];
    if (step->kind == LOWERED_DEPTHWISE) {
        const size_t taps = weight->count / (size_t)channels;
        float *first = weight->data + (size_t)c * taps;
        return (struct column){first, 1, 0, taps};
    }
    const size_t row = weight->count / (size_t)step->window.out_c, inner = row / (size_t)channels;
    float *first = weight->data + (size_t)c * inner;
    return (struct column){first, (size_t)step->window.out_c, row, inner};
}

static float largest(struct column column)
{
    float most = 0;
    for (size_t r = 0; r < column.rows; r++)
        for (size_t i = 0; i < column.inner; i++)
            most = fmaxf(most, fabsf(column.data[r * column.step + i]));
    return most;
}

static void multiply(struct column column, float factor)
{
    for (size_t r = 0; r < column.rows; r++)
        for (size_t i = 0; i < column.inner; i++)
            column.data[r * column.step + i] *= factor;
}

/* Divides output channel c of a layer. */
static void divide_output(const struct graph *graph, const struct lowered_step *step, int c, float divisor)
{
    const struct node *node = &graph->nodes[step->node];
    struct weight *weight = &graph->weights[node->weight];
    const size_t row = weight->count / (size_t)step->window.out_c;
    for (size_t i = 0; i < row; i++)
        weight->data[(size_t)c * row + i] /= divisor;
    graph->weights[node->bias].data[c] /= divisor;
}

static void equalise_pair(const struct calibration *calibration, const struct graph *graph,
                          const struct lowered_step *a, const struct lowered_step *b, float *scales)
{
    const int channels = a->window.out_c;
    const float *peaks = calibration->values[a->output].channel_peak;
    float most = 0;
    for (int c = 0; c < channels; c++) {
        const float weight = largest(column_of(graph, b, channels, c));
        scales[c] = b->kind == LOWERED_DEPTHWISE ? peaks[c] : weight > 0 ? sqrtf(peaks[c] / weight) : 0;
        most = fmaxf(most, scales[c]);
    }
    for (int c = 0; c < channels && most > 0; c++) {
        /* a channel that is never seen, or that nobody reads, stays as it is */
        const float scale = scales[c] > 0 ? fmaxf(scales[c] / most, 1 / MOST) : 1;
        divide_output(graph, a, c, scale);
        multiply(column_of(graph, b, channels, c), scale);
    }
}

enum status calibration_equalise(const struct calibration *calibration, struct graph *to, bool *changed,
                                 struct error *err)
{
    enum status status = STATUS_OK;
    const struct lowered *lowered = calibration->lowered;
    float *scales = calloc(UINT16_MAX + 1, sizeof *scales);
    *changed = false;
    if (!scales)
        return error_no_memory(err, UINT16_MAX * sizeof *scales, "an equalisation");
    TRY(graph_copy(&lowered->graph, to, err));
    for (int s = 0; s < lowered->step_count; s++) {
        const struct lowered_step *a = &lowered->steps[s], *b = next_layer(lowered, a);
        if (b) {
            equalise_pair(calibration, to, a, b, scales);
            *changed = true;
        }
    }
cleanup:
    free(scales);
    return status;
}
