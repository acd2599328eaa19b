/* What makes a C++ function a kernel: qualifiers, the built-in variables, barriers, atomics, shared memory, launching.
 */
#ifndef SHIM_KERNEL_H
#define SHIM_KERNEL_H

#include "cuda_runtime_api.h"

#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

/* The compiler lists the addresses of functions with this attribute: shim_symbols.cpp tells kernels by it. */
#define __global__ __attribute__((patchable_function_entry(1)))
#define __device__
#define __host__
#define __constant__
#define __managed__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline)) /* gcc's word, too: <memory> and <string>, which say it, are above */
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __builtin_align__(bytes) __attribute__((aligned(bytes)))
#define __grid_constant__
#define __restrict__ __restrict

/* Blocks run in turn, so one static variable serves them all. The tag marks its symbol: before each block the shim
 * fills the shared variables of the kernel and of __device__ functions with 0xff, and finds them by it
 * (shim_symbols.cpp). */
#define __shared__ static __attribute__((abi_tag("shared"), used))

/* The place of the running thread. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

/* Barriers of the block. File and line of the call identify a barrier. */
enum shim_barrier_kind { SHIM_SYNCTHREADS, SHIM_SYNCTHREADS_COUNT, SHIM_SYNCTHREADS_AND, SHIM_SYNCTHREADS_OR };
int shim_barrier(enum shim_barrier_kind kind, int predicate, const char *file, int line);

static inline void __syncthreads(const char *file = __builtin_FILE(), int line = __builtin_LINE())
{
    shim_barrier(SHIM_SYNCTHREADS, 0, file, line);
}

static inline int __syncthreads_count(int predicate, const char *file = __builtin_FILE(), int line = __builtin_LINE())
{
    return shim_barrier(SHIM_SYNCTHREADS_COUNT, predicate, file, line);
}

static inline int __syncthreads_and(int predicate, const char *file = __builtin_FILE(), int line = __builtin_LINE())
{
    return shim_barrier(SHIM_SYNCTHREADS_AND, predicate, file, line);
}

static inline int __syncthreads_or(int predicate, const char *file = __builtin_FILE(), int line = __builtin_LINE())
{
    return shim_barrier(SHIM_SYNCTHREADS_OR, predicate, file, line);
}

/* One thread runs at a time: memory is always in order. */
static inline void __threadfence()
{
}
static inline void __threadfence_block()
{
}
static inline void __threadfence_system()
{
}

/* Loads and stores with a caching hint. */
template <typename T> T __ldg(const T *p)
{
    return *p;
}
template <typename T> T __ldcs(const T *p)
{
    return *p;
}
template <typename T> T __ldcg(const T *p)
{
    return *p;
}
template <typename T> T __ldca(const T *p)
{
    return *p;
}
template <typename T> T __ldlu(const T *p)
{
    return *p;
}
template <typename T> void __stcs(T *p, T value)
{
    *p = value;
}
template <typename T> void __stcg(T *p, T value)
{
    *p = value;
}
template <typename T> void __stwb(T *p, T value)
{
    *p = value;
}
template <typename T> void __stwt(T *p, T value)
{
    *p = value;
}

/* Atomics on integers only: sums of floats in the order of arrival would not be deterministic. */
#define SHIM_ATOMIC(name, update)                                                                                 \
    template <typename T, typename U> T name(T *p, U operand)                                                     \
    {                                                                                                             \
        static_assert(std::is_integral<T>::value && (sizeof(T) == 4 || sizeof(T) == 8), #name ": integers only"); \
        const T old = *p, value = (T)operand;                                                                     \
        *p = (T)(update);                                                                                         \
        return old;                                                                                               \
    }
SHIM_ATOMIC(atomicAdd, (typename std::make_unsigned<T>::type)old + (typename std::make_unsigned<T>::type)value)
SHIM_ATOMIC(atomicSub, (typename std::make_unsigned<T>::type)old - (typename std::make_unsigned<T>::type)value)
SHIM_ATOMIC(atomicExch, value)
SHIM_ATOMIC(atomicMin, old < value ? old : value)
SHIM_ATOMIC(atomicMax, old > value ? old : value)
SHIM_ATOMIC(atomicAnd, old &value)
SHIM_ATOMIC(atomicOr, old | value)
SHIM_ATOMIC(atomicXor, old ^ value)
SHIM_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
SHIM_ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)
#undef SHIM_ATOMIC

template <typename T, typename U, typename V> T atomicCAS(T *p, U expected, V desired)
{
    static_assert(std::is_integral<T>::value, "atomicCAS: integers only");
    const T old = *p;
    if (old == (T)expected)
        *p = (T)desired;
    return old;
}

/* ---- launching: what shared/device/cuda/cuda_launch.cuh needs ---- */
/* A launch with its own copy of the arguments, ready to be called once per thread. */
struct shim_launch {
    const void *kernel;
    void (*call)(const void *kernel, const void *arguments);
    std::shared_ptr<const void> arguments;
    dim3 grid, block;
    size_t shared_bytes;
};

/* Queues the launch, or sets the error that cudaGetLastError() returns. */
void shim_enqueue_launch(const struct shim_launch &launch, cudaStream_t stream);
void *shim_dynamic_shared();

template <typename... P, typename... A>
void shim_launch_kernel(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                        A &&...arguments)
{
    using pack = std::tuple<P...>;
    static_assert(sizeof(pack) <= 32764, "kernel arguments: 32,764 bytes at most");
    static_assert(!std::disjunction<std::is_reference<P>...>::value, "kernel arguments are passed by value");
    shim_enqueue_launch(
        {(const void *)kernel,
         [](const void *function, const void *packed) { std::apply((void (*)(P...))function, *(const pack *)packed); },
         std::make_shared<pack>(std::forward<A>(arguments)...), grid, block, shared_bytes},
        stream);
}

#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    shim_launch_kernel(kernel, grid, block, shared_bytes, stream, ##__VA_ARGS__)
#define DYNAMIC_SHARED(type, name) type *const name = (type *)shim_dynamic_shared()

#endif
