/* The same layers in float: calibration runs them, and the float form of student.c is made of them. */
#ifndef SHARED_QUANTISE_KERNELS_FLOAT_H
#define SHARED_QUANTISE_KERNELS_FLOAT_H

#include "shared/quantise/window.h"
#include <float.h>
#include <stdint.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "shared/quantise/kernels/clamp_float.inc"

#include "shared/quantise/kernels/add_float.inc"
#include "shared/quantise/kernels/average_pool_float.inc"
#include "shared/quantise/kernels/concat_float.inc"
#include "shared/quantise/kernels/conv_float.inc"
#include "shared/quantise/kernels/depthwise_float.inc"
#include "shared/quantise/kernels/max_pool_float.inc"
#include "shared/quantise/kernels/mean_float.inc"
#include "shared/quantise/kernels/multiply_float.inc"
#include "shared/quantise/kernels/pad_float.inc"
#include "shared/quantise/kernels/select_float.inc"
#pragma GCC diagnostic pop

#endif
