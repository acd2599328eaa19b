/* Compiled for this instruction set by a rule of the Makefile. */
#define LANES 16
#define BF16_PRODUCTS
#define KERNELS cpu_kernels_avx512_bf16
#include "shared/training/cpu/cpu_kernels.inc"
