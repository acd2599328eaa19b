/* Device memory: separate blocks of the heap, filled with 0xff, so that AddressSanitizer sees an access beyond a block,
 * and a NaN shows a read before the first write. Pinned memory is ordinary memory that is registered as pinned. */
#include "shim.h"

#include <cstdlib>
#include <cstring>
#include <map>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
static const size_t GUARD = 0; /* the red zones of AddressSanitizer are better */
#else
static const size_t GUARD = 256;
#define ASAN_POISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#endif
static const unsigned char GUARD_BYTE = 0xa5;

namespace
{
struct range {
    size_t bytes;
    bool registered; /* pinned by cudaHostRegister: not ours to free */
};
/* The keys are disguised addresses, so that LeakSanitizer reports device memory that only the shim still knows. */
typedef std::map<uint64_t, struct range> ranges;
} // namespace

static size_t used;

static uint64_t disguise(const void *address)
{
    return (uint64_t)(uintptr_t)address ^ (uint64_t)1 << 63;
}

static unsigned char *address_of(uint64_t disguised)
{
    return (unsigned char *)(uintptr_t)(disguised ^ (uint64_t)1 << 63);
}

/* Never destroyed: programs may free memory while they exit. */
static ranges &device_ranges()
{
    static ranges *const all = new ranges();
    return *all;
}

static ranges &pinned_ranges()
{
    static ranges *const all = new ranges();
    return *all;
}

/* True if p lies in one of the ranges; then *whole is true if all bytes lie in it. */
static bool lies_in(const ranges &all, const void *p, size_t bytes, bool *whole)
{
    auto range = all.upper_bound(disguise(p));
    if (range == all.begin())
        return false;
    --range;
    const size_t offset = (size_t)(disguise(p) - range->first);
    if (offset >= range->second.bytes)
        return false;
    *whole = bytes <= range->second.bytes - offset;
    return true;
}

void shim_memory_open(bool open)
{
    for (const auto &range : device_ranges()) {
        if (open)
            ASAN_UNPOISON_MEMORY_REGION(address_of(range.first), range.second.bytes);
        else
            ASAN_POISON_MEMORY_REGION(address_of(range.first), range.second.bytes);
    }
}

static void check_guard(const unsigned char *memory, size_t bytes)
{
    for (size_t i = 0; i < GUARD; i++)
        if (memory[bytes + i] != GUARD_BYTE)
            shim_fail("byte %zu beyond device memory of %zu bytes was written", i, bytes);
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = shim_ready();
    if (error == cudaSuccess)
        error = shim_uncaptured();
    *memory = NULL;
    if (error != cudaSuccess || bytes == 0)
        return shim_error(error);
    const size_t limit = shim_properties().totalGlobalMem;
    if (bytes > limit || used > limit - bytes || posix_memalign(memory, 256, bytes + GUARD) != 0)
        return shim_error(cudaErrorMemoryAllocation);
    memset(*memory, 0xff, bytes);
    memset((unsigned char *)*memory + bytes, GUARD_BYTE, GUARD);
    ASAN_POISON_MEMORY_REGION(*memory, bytes);
    used += bytes;
    device_ranges()[disguise(*memory)] = {bytes, false};
    return cudaSuccess;
}

/* Waits for all work, as the real function does. */
cudaError_t cudaFree(void *memory)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = shim_ready();
    if (error == cudaSuccess)
        error = shim_uncaptured();
    if (error != cudaSuccess)
        return shim_error(error);
    shim_run_all();
    if (!memory)
        return cudaSuccess;
    const auto found = device_ranges().find(disguise(memory));
    if (found == device_ranges().end())
        return shim_error(cudaErrorInvalidValue);
    ASAN_UNPOISON_MEMORY_REGION(memory, found->second.bytes);
    check_guard((unsigned char *)memory, found->second.bytes);
    used -= found->second.bytes;
    device_ranges().erase(found);
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    const cudaError_t error = shim_ready();
    *total_bytes = shim_properties().totalGlobalMem;
    *free_bytes = *total_bytes > used ? *total_bytes - used : 0;
    return shim_error(error);
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned int flags)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = shim_ready();
    if (error == cudaSuccess)
        error = shim_uncaptured();
    if (error == cudaSuccess &&
        flags & ~(unsigned int)(cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined))
        error = cudaErrorInvalidValue;
    *memory = NULL;
    if (error != cudaSuccess || bytes == 0)
        return shim_error(error);
    if (posix_memalign(memory, 256, bytes) != 0)
        return shim_error(cudaErrorMemoryAllocation);
    memset(*memory, 0xff, bytes);
    pinned_ranges()[disguise(*memory)] = {bytes, false};
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    return cudaHostAlloc(memory, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *memory)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = shim_ready();
    if (error == cudaSuccess)
        error = shim_uncaptured();
    if (error != cudaSuccess || !memory)
        return shim_error(error);
    shim_run_all();
    const auto found = pinned_ranges().find(disguise(memory));
    if (found == pinned_ranges().end() || found->second.registered)
        return shim_error(cudaErrorInvalidValue);
    pinned_ranges().erase(found);
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaHostRegister(void *memory, size_t bytes, unsigned int)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    bool whole;
    cudaError_t error = shim_ready();
    if (error == cudaSuccess)
        error = shim_uncaptured();
    if (error == cudaSuccess && (!memory || bytes == 0))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess && lies_in(pinned_ranges(), memory, bytes, &whole))
        error = cudaErrorHostMemoryAlreadyRegistered;
    if (error == cudaSuccess)
        pinned_ranges()[disguise(memory)] = {bytes, true};
    return shim_error(error);
}

cudaError_t cudaHostUnregister(void *memory)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = shim_ready();
    if (error == cudaSuccess)
        error = shim_uncaptured();
    if (error != cudaSuccess)
        return shim_error(error);
    shim_run_all();
    const auto found = pinned_ranges().find(disguise(memory));
    if (found == pinned_ranges().end() || !found->second.registered)
        return shim_error(cudaErrorHostMemoryNotRegistered);
    pinned_ranges().erase(found);
    return cudaSuccess;
}

cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned int)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    bool whole;
    cudaError_t error = shim_ready();
    if (error == cudaSuccess && !lies_in(pinned_ranges(), host, 1, &whole))
        error = cudaErrorInvalidValue;
    *device = error == cudaSuccess ? host : NULL;
    return shim_error(error);
}

/* ---- copies ---- */
/* Checks that the pointers of a copy are of its kind; replaces cudaMemcpyDefault by the kind that they are of. */
static cudaError_t check_copy(const void *to, const void *from, size_t bytes, enum cudaMemcpyKind *kind)
{
    bool to_whole = true, from_whole = true;
    const bool to_device = lies_in(device_ranges(), to, bytes, &to_whole);
    const bool from_device = lies_in(device_ranges(), from, bytes, &from_whole);
    if (!to || !from || !to_whole || !from_whole)
        return cudaErrorInvalidValue;
    const enum cudaMemcpyKind found = from_device ? (to_device ? cudaMemcpyDeviceToDevice : cudaMemcpyDeviceToHost)
                                                  : (to_device ? cudaMemcpyHostToDevice : cudaMemcpyHostToHost);
    if (*kind == cudaMemcpyDefault)
        *kind = found;
    /* Mapped host memory is accepted as device memory. */
    bool whole;
    const bool mapped = lies_in(pinned_ranges(), to, 1, &whole) || lies_in(pinned_ranges(), from, 1, &whole);
    return *kind == found || mapped ? cudaSuccess : cudaErrorInvalidValue;
}

static cudaError_t copy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    bool whole;
    cudaError_t error = shim_ready();
    if (error == cudaSuccess && bytes > 0)
        error = check_copy(to, from, bytes, &kind);
    if (error != cudaSuccess || bytes == 0)
        return error;
    const void *const host = kind == cudaMemcpyHostToDevice ? from : kind == cudaMemcpyDeviceToHost ? to : NULL;
    const bool pageable = host && !lies_in(pinned_ranges(), host, bytes, &whole);
    if (kind == cudaMemcpyHostToHost || pageable) {
        if (shim_stream_captures(stream))
            return shim_spoil_capture(stream);
    }
    if (pageable && kind == cudaMemcpyHostToDevice) { /* staged: the host may change its buffer immediately */
        const std::vector<unsigned char> staged((const unsigned char *)from, (const unsigned char *)from + bytes);
        return shim_enqueue(stream, cudaGraphNodeTypeMemcpy, [=] { memcpy(to, staged.data(), bytes); });
    }
    error = shim_enqueue(stream, cudaGraphNodeTypeMemcpy, [=] { memmove(to, from, bytes); });
    if (error == cudaSuccess && (pageable || kind == cudaMemcpyHostToHost))
        shim_run_stream(stream);
    return error;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    return shim_error(copy(to, from, bytes, kind, stream));
}

/* On the default stream; waits, except for copies within the device. */
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = shim_ready();
    if (error == cudaSuccess)
        error = shim_uncaptured();
    if (error == cudaSuccess)
        error = copy(to, from, bytes, kind, NULL);
    if (error == cudaSuccess && kind != cudaMemcpyDeviceToDevice)
        shim_run_stream(NULL);
    return shim_error(error);
}

cudaError_t cudaMemset2DAsync(void *memory, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    bool whole = false;
    const size_t bytes = width > 0 && height > 0 ? (height - 1) * pitch + width : 0;
    cudaError_t error = shim_ready();
    if (error == cudaSuccess && height > 1 && width > pitch)
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess && bytes > 0) {
        if ((!lies_in(device_ranges(), memory, bytes, &whole) && !lies_in(pinned_ranges(), memory, bytes, &whole)) ||
            !whole)
            error = cudaErrorInvalidValue;
        else
            error = shim_enqueue(stream, cudaGraphNodeTypeMemset, [=] {
                for (size_t row = 0; row < height; row++)
                    memset((unsigned char *)memory + row * pitch, value, width);
            });
    }
    return shim_error(error);
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    return cudaMemset2DAsync(memory, bytes, value, bytes, 1, stream);
}

cudaError_t cudaMemset(void *memory, int value, size_t bytes)
{
    return cudaMemsetAsync(memory, value, bytes, NULL);
}
