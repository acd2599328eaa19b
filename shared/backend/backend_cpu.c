/* The CPU backend, complete and part of the programs. */
#include "shared/backend/backend.h"
#include "shared/inference/cpu/engine_cpu.h"
#include "shared/training/cpu/cpu_training.h"

const struct backend backend_cpu = {
    .name = "cpu", .device = &cpu_device_ops, .training = &cpu_training_ops, .engine = &engine_cpu};
