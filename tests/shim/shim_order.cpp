#include "shim.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>

struct shim_order shim_order::from_environment()
{
    const char *const text = getenv("SHIM_ORDER");
    if (!text || strcmp(text, "forward") == 0)
        return {FORWARD, 0};
    if (strcmp(text, "reverse") == 0)
        return {REVERSE, 0};
    if (strcmp(text, "shuffle") == 0)
        return {SHUFFLE, 1};
    if (strncmp(text, "shuffle:", 8) == 0)
        return {SHUFFLE, strtoull(text + 8, NULL, 10) * 2 + 1};
    shim_fail("SHIM_ORDER=%s: use forward, reverse, shuffle or shuffle:SEED", text);
}

/* SplitMix64, reduced by multiplication. */
uint32_t shim_order::random(uint32_t below)
{
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(((z ^ z >> 31) >> 32) * below >> 32);
}

int shim_order::pick(uint32_t bits)
{
    if (kind == FORWARD)
        return __builtin_ctz(bits);
    if (kind == REVERSE)
        return 31 - __builtin_clz(bits);
    for (uint32_t skip = random((uint32_t)__builtin_popcount(bits)); skip > 0; skip--)
        bits &= bits - 1;
    return __builtin_ctz(bits);
}

std::vector<uint32_t> shim_order::permutation(uint32_t count)
{
    std::vector<uint32_t> numbers(count);
    std::iota(numbers.begin(), numbers.end(), 0u);
    if (kind == REVERSE)
        std::reverse(numbers.begin(), numbers.end());
    for (uint32_t i = count; kind == SHUFFLE && i > 1; i--)
        std::swap(numbers[i - 1], numbers[random(i)]);
    return numbers;
}
