#include "shared/inference/engine.h"

const char *const inference_precisions[] = {"auto", "fp32", "tf32", "fp16", "bf16", 0};

const char *inference_precision_name(enum inference_precision precision)
{
    return inference_precisions[precision];
}
