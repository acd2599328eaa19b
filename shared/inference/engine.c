#include "shared/inference/engine.h"

const char *const engine_precisions[] = {"auto", "fp32", "tf32", "fp16", "bf16", 0};

const char *engine_precision_name(enum engine_precision precision)
{
    return engine_precisions[precision];
}
