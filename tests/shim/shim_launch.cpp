/* Grids: refuses what a GPU refuses, and runs the blocks in turn. */
#include "shim.h"

#include <cstdlib>
#include <cstring>

static void *dynamic_shared;

void *shim_dynamic_shared()
{
    return dynamic_shared;
}

cudaError_t shim_launch_check(const struct shim_launch &launch)
{
    const struct cudaDeviceProp device = shim_properties();
    const dim3 grid = launch.grid, block = launch.block;
    const struct shim_kernel *const kernel = shim_kernel_find(launch.kernel);
    if (!grid.x || !grid.y || !grid.z || !block.x || !block.y || !block.z)
        return cudaErrorInvalidConfiguration;
    if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
        return cudaErrorInvalidConfiguration;
    if (block.x > 1024 || block.y > 1024 || block.z > 64 || (uint64_t)block.x * block.y * block.z > 1024)
        return cudaErrorInvalidConfiguration;
    if (kernel->shared_bytes > device.sharedMemPerBlock) /* nvcc refuses this one */
        shim_fail("kernel %s has %zu bytes of static shared memory: 48 KB is the most", kernel->name.c_str(),
                  kernel->shared_bytes);
    if (launch.shared_bytes > kernel->dynamic_limit)
        return cudaErrorInvalidValue;
    if (launch.shared_bytes + kernel->shared_bytes > device.sharedMemPerBlock && kernel->dynamic_limit <= 48 << 10)
        return cudaErrorInvalidValue;
    return cudaSuccess;
}

/* One thread runs at a time, whichever host thread waits for it. Only shim_block.cpp knows fibers. */
void shim_launch_run(const struct shim_launch &launch)
{
    struct shim_order order = shim_order::from_environment();
    const struct shim_kernel *const kernel = shim_kernel_find(launch.kernel);
    const dim3 grid = launch.grid;
    gridDim = grid;
    blockDim = launch.block;
    /* Exactly the requested size: AddressSanitizer sees an access to the first byte beyond. */
    dynamic_shared = launch.shared_bytes ? malloc(launch.shared_bytes) : NULL;
    const size_t blocks = (size_t)grid.x * grid.y * grid.z;
    if (blocks > 0xffffffffu)
        shim_fail("kernel %s: %zu blocks are too many for the shim", kernel->name.c_str(), blocks);
    const std::vector<uint32_t> places =
        order.kind == order.SHUFFLE ? order.permutation((uint32_t)blocks) : std::vector<uint32_t>();
    for (size_t i = 0; i < blocks; i++) {
        const size_t place = order.kind == order.SHUFFLE ? places[i] : order.kind == order.REVERSE ? blocks - 1 - i : i;
        blockIdx = make_uint3((unsigned int)(place % grid.x), (unsigned int)(place / grid.x % grid.y),
                              (unsigned int)(place / grid.x / grid.y));
        shim_kernel_fill_shared(kernel);
        if (dynamic_shared)
            memset(dynamic_shared, 0xff, launch.shared_bytes);
        shim_block_run(launch, &order);
    }
    free(dynamic_shared);
    dynamic_shared = NULL;
}

static size_t launched;

size_t shim_launches()
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    return launched;
}

void shim_enqueue_launch(const struct shim_launch &launch, cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = shim_ready();
    if (error == cudaSuccess)
        error = shim_launch_check(launch);
    if (error == cudaSuccess)
        error = shim_enqueue(stream, cudaGraphNodeTypeKernel, [launch] { shim_launch_run(launch); });
    launched += error == cudaSuccess;
    shim_error(error);
}

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    const cudaError_t error = shim_ready();
    if (error != cudaSuccess)
        return shim_error(error);
    struct shim_kernel *const kernel = shim_kernel_find(function);
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout)
        return shim_error(value >= -1 && value <= 100 ? cudaSuccess : cudaErrorInvalidValue);
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        (size_t)value + kernel->shared_bytes > shim_properties().sharedMemPerBlockOptin)
        return shim_error(cudaErrorInvalidValue);
    kernel->dynamic_limit = (size_t)value;
    return shim_error(cudaSuccess);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function, int block_size,
                                                          size_t shared_bytes)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = shim_ready();
    if (error == cudaSuccess && (block_size < 1 || block_size > 1024))
        error = cudaErrorInvalidValue;
    if (error != cudaSuccess)
        return shim_error(error);
    const struct cudaDeviceProp device = shim_properties();
    const size_t shared = shared_bytes + shim_kernel_find(function)->shared_bytes;
    const int by_threads = device.maxThreadsPerMultiProcessor / ((block_size + 31) / 32 * 32);
    const int by_memory = shared ? (int)(device.sharedMemPerMultiprocessor / shared) : by_threads;
    *blocks = by_threads < by_memory ? by_threads : by_memory;
    return shim_error(cudaSuccess);
}
