#include "shared/training/cpu/cpu_kernels.h"

#include <string.h>

const struct cpu_kernels *cpu_kernels_choose(const char *limit)
{
    const struct cpu_kernels *best_first[] = {&cpu_kernels_avx512, &cpu_kernels_avx2, &cpu_kernels_generic};
    const bool runs[] = {__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"),
                         __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), true};
    bool reached = limit == NULL;
    for (int i = 0; i < 3; i++) {
        reached = reached || strcmp(limit, best_first[i]->name) == 0;
        if (reached && runs[i])
            return best_first[i];
    }
    return &cpu_kernels_generic;
}
