/* The CPU as a device. Its device memory is host memory, 64-byte aligned, and every call has finished when it returns.
 */
#ifndef SHARED_DEVICE_CPU_CPU_DEVICE_H
#define SHARED_DEVICE_CPU_CPU_DEVICE_H

#include "shared/base/threads.h"
#include "shared/device/device.h"

/* Instruction sets that kernels are compiled for, the best first. The first one is AVX-512 with products of bf16. */
enum cpu_isa { CPU_ISA_AVX512_BF16, CPU_ISA_AVX512, CPU_ISA_AVX2, CPU_ISA_GENERIC, CPU_ISA_COUNT };
extern const char *const cpu_isa_names[CPU_ISA_COUNT];
/* The best one that this processor has and that is not better than `limit` (a name; NULL: no limit). */
enum cpu_isa cpu_isa_choose(const char *limit);

/* What the last bits of values of that type depend on: in fp32 both kinds of AVX-512 compute the same. */
const char *cpu_arithmetic(enum cpu_isa isa, enum dtype dtype);

struct device {
    struct thread_pool *pool;
    enum cpu_isa isa;
    bool deterministic; /* of device_options */
    char description[96];
};

extern const struct device_ops cpu_device_ops; /* cpu_device.c */
extern const struct image_ops cpu_image_ops;   /* cpu_images.c */

#endif
