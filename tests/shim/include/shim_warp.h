/* Operations of a warp: every lane of the mask must arrive, and a shuffle may only read a lane of the mask. */
#ifndef SHIM_WARP_H
#define SHIM_WARP_H

#include <cstdint>
#include <cstring>
#include <type_traits>

enum shim_warp_kind {
    SHIM_SHFL,
    SHIM_SHFL_UP,
    SHIM_SHFL_DOWN,
    SHIM_SHFL_XOR,
    SHIM_BALLOT,
    SHIM_ANY,
    SHIM_ALL,
    SHIM_MATCH_ANY,
    SHIM_SYNCWARP
};
uint64_t shim_warp(enum shim_warp_kind kind, unsigned int mask, uint64_t value, int operand, int width);

/* The types that CUDA shuffles: arithmetic ones of 4 and 8 bytes; cuda_bf16.h and cuda_fp16.h add theirs. */
template <typename T> struct shim_can_shuffle {
    static constexpr bool value = std::is_arithmetic<T>::value && (sizeof(T) == 4 || sizeof(T) == 8);
};

template <typename T> T shim_shuffle(enum shim_warp_kind kind, unsigned int mask, T value, int operand, int width)
{
    static_assert(shim_can_shuffle<T>::value, "shuffles take arithmetic types of 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = shim_warp(kind, mask, bits, operand, width);
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <typename T> T __shfl_sync(unsigned int mask, T value, int lane, int width = 32)
{
    return shim_shuffle(SHIM_SHFL, mask, value, lane, width);
}
template <typename T> T __shfl_up_sync(unsigned int mask, T value, unsigned int delta, int width = 32)
{
    return shim_shuffle(SHIM_SHFL_UP, mask, value, (int)delta, width);
}
template <typename T> T __shfl_down_sync(unsigned int mask, T value, unsigned int delta, int width = 32)
{
    return shim_shuffle(SHIM_SHFL_DOWN, mask, value, (int)delta, width);
}
template <typename T> T __shfl_xor_sync(unsigned int mask, T value, int lane_mask, int width = 32)
{
    return shim_shuffle(SHIM_SHFL_XOR, mask, value, lane_mask, width);
}
static inline unsigned int __ballot_sync(unsigned int mask, int predicate)
{
    return (unsigned int)shim_warp(SHIM_BALLOT, mask, predicate != 0, 0, 32);
}
static inline int __any_sync(unsigned int mask, int predicate)
{
    return (int)shim_warp(SHIM_ANY, mask, predicate != 0, 0, 32);
}
static inline int __all_sync(unsigned int mask, int predicate)
{
    return (int)shim_warp(SHIM_ALL, mask, predicate != 0, 0, 32);
}
template <typename T> unsigned int __match_any_sync(unsigned int mask, T value)
{
    static_assert(shim_can_shuffle<T>::value, "matches take arithmetic types of 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return (unsigned int)shim_warp(SHIM_MATCH_ANY, mask, bits, 0, 32);
}
static inline void __syncwarp(unsigned int mask = 0xffffffffu)
{
    shim_warp(SHIM_SYNCWARP, mask, 0, 0, 32);
}

#endif
