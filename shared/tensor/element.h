/* Types that tensors are stored in. Arithmetic is always float or wider. */
#ifndef SHARED_TENSOR_ELEMENT_H
#define SHARED_TENSOR_ELEMENT_H

#include <stddef.h>

enum element {
    ELEMENT_FP32,
    ELEMENT_BF16, /* bfloat16: the upper half of a float, rounded to nearest even */
    ELEMENT_FP16  /* IEEE binary16 */
};

static inline size_t element_size(enum element element)
{
    return element == ELEMENT_FP32 ? 4 : 2;
}

static inline const char *element_name(enum element element)
{
    return element == ELEMENT_FP32 ? "fp32" : element == ELEMENT_BF16 ? "bf16" : "fp16";
}

#endif
