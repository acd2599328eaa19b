/* Batch norm: turns the sums of the slices into the statistics and gradient coefficients that the steps apply when they
 * read a tensor or its gradient. */
#include "shared/training/cpu/cpu_run.h"

#include <math.h>

/* Copies the channels' values along the rows that the kernels read, and to the statistics vector. */
static void publish(const struct cpu_run *run, const struct cpu_tensor *t, int row, int channel, float value)
{
    const struct plan_batch_norm *norm = &run->plan->batch_norms[t->batch_norm];
    run->memory->statistics[norm->statistics + (size_t)row * (size_t)norm->channels + (size_t)channel] = value;
    for (int i = channel; i < t->width; i += norm->channels)
        t->rows[row][i] = value;
}

/* Mean and sum of squared deviations of a channel over the batch. Slices are merged in order (Chan, Golub, LeVeque
 * 1979). */
static void merge_slices(const struct cpu_run *run, int channel, double *mean, double *squares)
{
    double count = 0;
    *mean = *squares = 0;
    for (int i = 0; i < run->slices; i++) {
        const struct cpu_slice *slice = &run->workspace->slices[i];
        if (!slice->started || slice->count == 0)
            continue;
        double shift = slice->first[channel] / slice->count, here = (double)slice->pivot[channel] + shift;
        double delta = here - *mean, total = count + slice->count;
        *squares +=
            slice->second[channel] - shift * slice->first[channel] + delta * delta * count * slice->count / total;
        *mean += delta * slice->count / total;
        count = total;
    }
}

void finish_statistics(struct cpu_run *run)
{
    const struct cpu_tensor *t = run->out;
    const struct plan_batch_norm *norm = &run->plan->batch_norms[t->batch_norm];
    const float *gamma = weight_values(run->memory, norm->weight), *beta = weight_values(run->memory, norm->bias),
                *layer_bias = weight_values(run->memory, norm->layer_bias);
    float *running_mean = weight_values(run->memory, norm->running_mean),
          *running_var = weight_values(run->memory, norm->running_var);
    const double count = (double)run->pass->count * t->shape.h * t->shape.w;
    for (int c = 0; c < norm->channels; c++) {
        double bias = layer_bias ? (double)layer_bias[c] : 0;
        double mean = (double)running_mean[c] - bias, variance = (double)running_var[c];
        if (pass_observes(run->pass)) {
            double squares, unbiased;
            merge_slices(run, c, &mean, &squares);
            variance = squares > 0 ? squares / count : 0 * squares; /* a NaN stays a NaN */
            unbiased = count > 1 ? variance * count / (count - 1) : variance;
            running_mean[c] += norm->momentum * ((float)(mean + bias) - running_mean[c]);
            running_var[c] += norm->momentum * ((float)unbiased - running_var[c]);
        }
        double inverse = 1 / sqrt(variance + (double)norm->epsilon);
        double scale = (double)gamma[c] * inverse;
        publish(run, t, PLAN_MEAN, c, (float)mean);
        publish(run, t, PLAN_INVERSE_STD, c, (float)inverse);
        publish(run, t, PLAN_SCALE, c, (float)scale);
        publish(run, t, PLAN_SHIFT, c, (float)((double)beta[c] - mean * scale));
    }
}

void finish_gradient(struct cpu_run *run)
{
    const struct cpu_tensor *t = run_tensor(run, run->input->tensor);
    if (!run->input->finish || t->batch_norm < 0)
        return;
    const struct plan_batch_norm *norm = &run->plan->batch_norms[t->batch_norm];
    float *gamma = weight_gradient(run->memory, norm->weight), *beta = weight_gradient(run->memory, norm->bias),
          *layer_bias = weight_gradient(run->memory, norm->layer_bias);
    const double count = (double)run->pass->count * t->shape.h * t->shape.w;
    const bool observed = pass_observes(run->pass);
    for (int c = 0; c < norm->channels; c++) {
        double sum = 0, product = 0;
        for (int i = 0; i < run->slices; i++) {
            const struct cpu_slice *slice = &run->workspace->slices[i];
            sum += slice->started ? slice->first[c] : 0;
            product += slice->started ? slice->second[c] : 0;
        }
        double inverse = (double)t->rows[PLAN_INVERSE_STD][c], mean = (double)t->rows[PLAN_MEAN][c];
        double a = (double)t->rows[PLAN_SCALE][c];
        /* running statistics are constants: only the scale is left */
        double b = observed ? -a * inverse * inverse * product / count : 0;
        double d = observed ? -a * sum / count - b * mean : 0;
        gamma[c] = (float)(product * inverse);
        beta[c] = (float)sum;
        if (layer_bias)
            layer_bias[c] = observed ? 0 : (float)(a * sum);
        publish(run, t, PLAN_GRADIENT_A, c, (float)a);
        publish(run, t, PLAN_GRADIENT_B, c, (float)b);
        publish(run, t, PLAN_GRADIENT_D, c, (float)d);
    }
}
