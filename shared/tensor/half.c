#include "shared/tensor/half.h"

#include "shared/base/vectorise.h"

#include <string.h>

uint16_t half_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00); /* NaN */
    if (magnitude >= 0x477ff000)
        return (uint16_t)(sign | 0x7c00); /* rounds to 65536 or more: infinity */
    if (magnitude < 0x33000001)
        return (uint16_t)sign;    /* at most half of the smallest subnormal */
    if (magnitude < 0x38800000) { /* subnormal: value = mantissa * 2^-24 */
        uint32_t mantissa = (magnitude & 0x7fffff) | 0x800000, shift = 126 - (magnitude >> 23);
        uint32_t kept = mantissa >> shift, rest = mantissa & ((1u << shift) - 1), tie = 1u << (shift - 1);
        kept += rest > tie || (rest == tie && (kept & 1));
        return (uint16_t)(sign | kept);
    }
    uint32_t kept = (magnitude - 0x38000000) >> 13, rest = magnitude & 0x1fff;
    kept += rest > 0x1000 || (rest == 0x1000 && (kept & 1));
    return (uint16_t)(sign | kept);
}

float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 0x3ff, bits;
    float value;
    if (exponent == 0) {
        value = (float)mantissa * 0x1p-24f;
        return sign ? -value : value;
    }
    bits = exponent == 31 ? sign | 0x7f800000 | mantissa << 13 : sign | (exponent + 112) << 23 | mantissa << 13;
    memcpy(&value, &bits, 4);
    return value;
}

void half_from_floats(uint16_t *out, const float *in, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = half_from_float(in[i]);
}

/* half_to_float without branches, so that the loop is vectorised. It is exact, so the processor does not matter. */
VECTORISE void half_to_floats(float *out, const uint16_t *in, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t sign = (uint32_t)(in[i] & 0x8000) << 16, magnitude = (uint32_t)(in[i] & 0x7fff) << 13;
        uint32_t bits;
        float value;
        memcpy(&value, &magnitude, 4);
        value *= 0x1p112f; /* the difference of the exponents' biases */
        memcpy(&bits, &value, 4);
        bits = magnitude >= 31u << 23 ? magnitude | 0x7f800000 : bits; /* infinity, NaN */
        bits |= sign;
        memcpy(&out[i], &bits, 4);
    }
}
