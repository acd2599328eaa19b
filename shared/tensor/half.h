/* IEEE 754 binary16, round to nearest even. */
#ifndef SHARED_TENSOR_HALF_H
#define SHARED_TENSOR_HALF_H

#include <stddef.h>
#include <stdint.h>

uint16_t half_from_float(float value); /* overflow gives infinity, NaN stays NaN */
float half_to_float(uint16_t bits);
void half_from_floats(uint16_t *out, const float *in, size_t count);
void half_to_floats(float *out, const uint16_t *in, size_t count);

#endif
