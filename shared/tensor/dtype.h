/* Types that tensors are stored in, and precisions that networks are computed in. Sums are always float or wider. */
#ifndef SHARED_TENSOR_DTYPE_H
#define SHARED_TENSOR_DTYPE_H

#include <stddef.h>

enum dtype {
    DTYPE_FP32,
    DTYPE_BF16, /* bfloat16: the upper half of a float, rounded to nearest even */
    DTYPE_FP16, /* IEEE binary16 */
    DTYPE_INT8  /* with a scale stored beside it */
};

static inline size_t dtype_size(enum dtype dtype)
{
    return dtype == DTYPE_FP32 ? 4 : dtype == DTYPE_INT8 ? 1 : 2;
}

static inline const char *dtype_name(enum dtype dtype)
{
    return dtype == DTYPE_FP32 ? "fp32" : dtype == DTYPE_BF16 ? "bf16" : dtype == DTYPE_FP16 ? "fp16" : "int8";
}

/* The precision that is requested of a network. TF32 stores float and multiplies in tf32. */
enum precision { PRECISION_AUTO, PRECISION_FP32, PRECISION_TF32, PRECISION_FP16, PRECISION_BF16 };
extern const char *const precision_names[]; /* "auto" first, NULL last */
const char *precision_name(enum precision precision);

/* The type that values are stored in. precision is not PRECISION_AUTO. */
static inline enum dtype precision_dtype(enum precision precision)
{
    return precision == PRECISION_FP16 ? DTYPE_FP16 : precision == PRECISION_BF16 ? DTYPE_BF16 : DTYPE_FP32;
}

#endif
