#include "shared/tensor/dtype.h"

const char *const precision_names[] = {"auto", "fp32", "tf32", "fp16", "bf16", 0};

const char *precision_name(enum precision precision)
{
    return precision_names[precision];
}
