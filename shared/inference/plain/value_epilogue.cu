/* Applies the epilogue to a plan's raw values (batch norm's scale and shift, then the activation), for readers that do
 * not do it themselves. Neighbouring threads take neighbouring channels. One read and one write per value: the minimum.
 * */
#include "shared/device/cuda/cuda_device.h"
#include "shared/device/cuda/cuda_number.cuh"
#include "shared/inference/cuda/value_layout.h"

enum { THREADS = 256 };

static __global__ void __launch_bounds__(THREADS)
    apply_epilogue(struct value_epilogue epilogue, const float *from, size_t elements, int channels, float *to)
{
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= elements)
        return;
    const size_t channel = i % (size_t)channels;
    const float x = epilogue.scale ? fmaf(epilogue.scale[channel], from[i], epilogue.shift[channel]) : from[i];
    to[i] = activate(epilogue.activation, epilogue.alpha, epilogue.beta, x);
}

extern "C" enum status values_apply_epilogue(void *stream, const struct value_epilogue *epilogue, const float *from,
                                             size_t rows, int channels, float *to, struct error *err)
{
    const size_t elements = rows * (size_t)channels;
    if (elements == 0)
        return STATUS_OK;
    LAUNCH(apply_epilogue, (unsigned)((elements + THREADS - 1) / THREADS), THREADS, 0, (cudaStream_t)stream, *epilogue,
           from, elements, channels, to);
    return cuda_launched("the epilogue of a teacher's values", err);
}
