/* The moving average of parameters and running statistics: average = decay * average + (1 - decay) * values, in the
 * CPU's float operations. Neighbouring threads take neighbouring elements. Memory traffic is the minimum: 12 bytes per
 * element (8 if decay is 0, which copies). */
#include "shared/training/cuda/cuda_training.h"
#include "shared/training/optimizer/update.h"
#include "shared/device/cuda/cuda_launch.cuh"

enum { THREADS = 256 };

static __global__ void __launch_bounds__(THREADS)
    average_all(float *average, const float *values, size_t count, float decay, float rest)
{
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < count)
        average[i] = update_average(average[i], values[i], decay, rest);
}

extern "C" enum status cuda_ema_update(struct device *device, float *average, const float *values, size_t count,
                                       double decay, struct error *err)
{
    if (count == 0)
        return STATUS_OK;
    LAUNCH(average_all, (unsigned)((count + THREADS - 1) / THREADS), THREADS, 0, device->stream, average, values, count,
           (float)decay, (float)(1 - decay));
    return cuda_launched("ema_update", err);
}
