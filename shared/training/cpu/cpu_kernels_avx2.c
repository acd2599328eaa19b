/* Compiled for this instruction set by a rule of the Makefile. */
#define LANES 8
#define KERNELS cpu_kernels_avx2
#include "shared/training/cpu/cpu_kernels.inc"
