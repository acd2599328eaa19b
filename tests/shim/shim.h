/* What the parts of the execution shim share: fibers, the running block, grids, the work of streams. */
#ifndef TESTS_SHIM_SHIM_H
#define TESTS_SHIM_SHIM_H

#include "cuda_runtime.h"

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

/* ---- fibers (shim_fiber.cpp) ---- */
struct shim_fiber;
/* Runs entry() on a fiber of its own, made or taken from the idle ones, when it is first switched to. entry never
 * returns; a fiber that waits for new work is resumed where it switched away. */
struct shim_fiber *shim_fiber_new(void (*entry)());
/* Continues `to` and returns when another fiber switches back to the caller. NULL: the thread that entered the fibers.
 */
void shim_fiber_switch(struct shim_fiber *from, struct shim_fiber *to);

/* ---- the order that CUDA leaves undefined: SHIM_ORDER=forward|reverse|shuffle[:SEED] (shim_order.cpp) ---- */
struct shim_order {
    enum { FORWARD, REVERSE, SHUFFLE } kind;
    uint64_t state;

    static struct shim_order from_environment();
    uint32_t random(uint32_t below);
    /* One of the bits that are set. */
    int pick(uint32_t bits);
    /* The numbers 0 to count - 1 in this order. */
    std::vector<uint32_t> permutation(uint32_t count);
};

/* ---- the running block (shim_block.cpp) ---- */
/* Runs one block to its end; blockIdx, blockDim and gridDim are set. */
void shim_block_run(const struct shim_launch &launch, struct shim_order *order);
/* Prints the message, with kernel, block and thread if a kernel runs, and aborts. */
[[noreturn]] void shim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- a kernel's name and its static shared variables (shim_symbols.cpp) ---- */
struct shim_kernel {
    std::string name;      /* demangled */
    struct object *object; /* that contains it */
    size_t shared_bytes;   /* of its static __shared__ variables */
    size_t dynamic_limit;  /* of dynamic shared memory, set by cudaFuncSetAttribute */
    /* its static __shared__ variables and those of __device__ functions, which it may call: address and bytes */
    std::vector<std::pair<unsigned char *, size_t>> shared;
};
struct shim_kernel *shim_kernel_find(const void *function);
/* Fills the static __shared__ variables that a block of the kernel can use with 0xff. */
void shim_kernel_fill_shared(const struct shim_kernel *kernel);

/* ---- grids (shim_launch.cpp) ---- */
/* The error that a GPU returns for a launch of this shape. */
cudaError_t shim_launch_check(const struct shim_launch &launch);
void shim_launch_run(const struct shim_launch &launch);
/* Launches so far, those that were only recorded by a capture included. Tests find it by its name. */
extern "C" size_t shim_launches();

/* ---- memory (shim_memory.cpp) ---- */
/* Opens device memory for the device's work, and closes it again for the host. AddressSanitizer checks it. */
void shim_memory_open(bool open);

/* ---- device (shim_device.cpp) ---- */
/* Every call of the API holds it, also while queued work runs: there is one device. */
std::recursive_mutex &shim_mutex();
/* Stores the error for cudaGetLastError() and returns it. */
cudaError_t shim_error(cudaError_t error);
/* cudaErrorNoDevice, or cudaErrorNotPermitted inside a host function of a stream. */
cudaError_t shim_ready();
struct cudaDeviceProp shim_properties();
size_t shim_environment(const char *name, size_t otherwise);

/* ---- streams (shim_queue.cpp) ---- */
/* Queues work on the stream, or records it if the stream is captured. */
cudaError_t shim_enqueue(cudaStream_t stream, enum cudaGraphNodeType type, std::function<void()> work);
/* cudaErrorStreamCaptureUnsupported if a capture forbids calls that are not queued; the capture becomes invalid. */
cudaError_t shim_uncaptured();
bool shim_stream_captures(cudaStream_t stream);
/* Marks the capture of the stream as invalid: cudaErrorStreamCaptureUnsupported. */
cudaError_t shim_spoil_capture(cudaStream_t stream);
void shim_run_stream(cudaStream_t stream);
void shim_run_all();

#endif
