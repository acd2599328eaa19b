/* The integer arithmetic of a quantised network. The text of these files is also what student.c is made of
 * (formats/export/student_c.h), so that both give the same bits. */
#ifndef SHARED_QUANTISE_KERNELS_INT8_H
#define SHARED_QUANTISE_KERNELS_INT8_H

#include "shared/quantise/window.h"
#include <stdint.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "shared/quantise/kernels/requantise.inc"

#include "shared/quantise/kernels/add_int8.inc"
#include "shared/quantise/kernels/average_pool_int8.inc"
#include "shared/quantise/kernels/concat_int8.inc"
#include "shared/quantise/kernels/conv_int8.inc"
#include "shared/quantise/kernels/depthwise_int8.inc"
#include "shared/quantise/kernels/max_pool_int8.inc"
#include "shared/quantise/kernels/mean_int8.inc"
#include "shared/quantise/kernels/multiply_int8.inc"
#include "shared/quantise/kernels/pad_int8.inc"
#include "shared/quantise/kernels/select_int8.inc"
#include "shared/quantise/kernels/table_int8.inc"
#pragma GCC diagnostic pop

#endif
