/* The moving average of parameters and running statistics: average = decay * average + (1 - decay) * values, in the
 * CPU's float operations. Neighbouring threads take neighbouring elements. Memory traffic is the minimum: 12 bytes per
 * element (8 if decay is 0, which copies). */
#include "shared/training/cuda/cuda_training.h"
#include "shared/training/optimizer/update.h"
#include "shared/device/cuda/cuda_launch.cuh"

enum { THREADS = 256 };

static __global__ void __launch_bounds__(THREADS)
    average_all(float *average, const float *values, size_t count, struct update_shares shares,
                const struct step_scalars *scalars, const uint32_t *cursor, int students)
{
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (scalars)
        shares = update_shares_at(shares, scalars[(size_t)*cursor * students].step);
    if (i < count)
        average[i] = update_average(average[i], values[i], shares);
}

extern "C" enum status cuda_ema_update(struct device *device, float *average, const float *values, size_t count,
                                       double decay, const struct epoch_inputs *inputs, struct error *err)
{
    if (count == 0)
        return STATUS_OK;
    LAUNCH(average_all, (unsigned)((count + THREADS - 1) / THREADS), THREADS, 0, device->stream, average, values, count,
           update_shares_of(decay), inputs ? inputs->scalars : nullptr, inputs ? inputs->cursor : nullptr,
           inputs ? inputs->students : 1);
    return cuda_launched("ema_update", err);
}
