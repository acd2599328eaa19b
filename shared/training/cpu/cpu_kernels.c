#include "shared/training/cpu/cpu_kernels.h"

const struct cpu_kernels *cpu_kernels_of(enum cpu_isa isa)
{
    static const struct cpu_kernels *const kernels[CPU_ISA_COUNT] = {[CPU_ISA_AVX512_BF16] = &cpu_kernels_avx512_bf16,
                                                                     [CPU_ISA_AVX512] = &cpu_kernels_avx512,
                                                                     [CPU_ISA_AVX2] = &cpu_kernels_avx2,
                                                                     [CPU_ISA_GENERIC] = &cpu_kernels_generic};
    return kernels[isa];
}
