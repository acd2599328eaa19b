/* Stage one's engine on the CPU, by oneDNN (see shared/inference/engine.h).
 *
 * Every sample is rendered and computed alone, by one thread: so its values do not depend on the number of threads, the
 * size of the batch or the other samples in it, bit for bit. That is also the fastest way for convolutional networks:
 * the values in flight stay in the processor's cache (figures: onednn/onednn_engine.c). A batch is done when submit
 * returns. */
#ifndef SHARED_INFERENCE_CPU_ENGINE_CPU_H
#define SHARED_INFERENCE_CPU_ENGINE_CPU_H

#include "shared/inference/engine.h"

/* Opens oneDNN's shared object when the first teacher is made: STATUS_CONFIG where that cannot be loaded. */
extern const struct engine_ops engine_cpu;

#endif
