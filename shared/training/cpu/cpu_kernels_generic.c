/* Compiled for this instruction set by a rule of the Makefile. */
#define LANES 4
#define KERNELS cpu_kernels_generic
#include "shared/training/cpu/cpu_kernels.inc"
