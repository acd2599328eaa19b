/* Compiled for this instruction set by a rule of the Makefile. */
#define LANES 16
#define KERNELS cpu_kernels_avx512
#include "shared/training/cpu/cpu_kernels.inc"
