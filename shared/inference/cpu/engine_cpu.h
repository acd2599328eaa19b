/* Stage one's engine on the CPU, by oneDNN (see shared/inference/engine.h).
 *
 * Every sample is rendered and computed alone, by one thread. So its values depend neither on the number of threads,
 * nor on the size of the batch, nor on the other samples, bit for bit. That is also the fastest way for convolutional
 * networks, because the values stay in the processor's cache (figures: onednn/onednn_engine.c). A batch is done when
 * submit returns. */
#ifndef SHARED_INFERENCE_CPU_ENGINE_CPU_H
#define SHARED_INFERENCE_CPU_ENGINE_CPU_H

#include "shared/inference/engine.h"

/* Opens oneDNN's shared object when the first teacher is opened; STATUS_CONFIG if it cannot be loaded. */
extern const struct engine_ops engine_cpu;

#endif
