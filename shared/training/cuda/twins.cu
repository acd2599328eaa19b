/* Gradients of weights that several layers share: to[i] += from[i], from[i] = 0. One thread per number; four bytes are
 * read twice and written twice, once a step. */
#include "shared/device/cuda/cuda_launch.cuh"
#include "shared/training/cuda/cuda_step.h"

enum { THREADS = 256 };

static __global__ void __launch_bounds__(THREADS) add_twin(float *from, float *to, size_t count, size_t stride)
{
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x, student = blockIdx.z * stride;
    if (i >= count)
        return;
    to[student + i] += from[student + i];
    from[student + i] = 0;
}

extern "C" enum status cuda_add_twins(cudaStream_t stream, const struct plan *plan, const struct network_memory *memory,
                                      struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < plan->twin_count; i++) {
        const struct plan_twin *twin = &plan->twins[i];
        const dim3 grid((unsigned)((twin->count + THREADS - 1) / THREADS), 1, (unsigned)memory->students);
        LAUNCH(add_twin, grid, dim3(THREADS), 0, stream, memory->parameter_gradients + twin->from,
               memory->parameter_gradients + twin->to, twin->count, plan->parameter_count);
        TRY(cuda_launched("a sum of gradients of shared weights", err));
    }
cleanup:
    return status;
}
