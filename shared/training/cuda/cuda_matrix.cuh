/* The instructions of tensor cores, with the lanes of a warp as they see them: 8x8 matrices of bfloat16 from shared
 * memory, and D[16, 8] += A[16, 16] B[16, 8] in float. Lane l of a warp, with g = l / 4 and t = l % 4, holds
 *   A: rows g and g + 8, columns 2t, 2t + 1 and 2t + 8, 2t + 9:  a[0] (g, 2t), a[1] (g + 8, 2t), a[2] (g, 2t + 8), a[3]
 *   B: rows 2t, 2t + 1 and 2t + 8, 2t + 9, column g:             b[0], b[1]
 *   D: rows g and g + 8, columns 2t, 2t + 1:                     d[0], d[1] and d[2], d[3]
 *
 * Before compute capability 8.0, and without a GPU, the lanes exchange their registers through shared memory and
 * multiply the same numbers themselves. */
#ifndef SHARED_TRAINING_CUDA_CUDA_MATRIX_CUH
#define SHARED_TRAINING_CUDA_CUDA_MATRIX_CUH

#include "shared/device/cuda/cuda_number.cuh"

enum { MATRIX_WARPS = 8 }; /* warps of the blocks that use these functions */

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800

/* Loads four 8x8 matrices. Lane l names row l % 8 of matrix l / 8 (16-byte aligned) and gets, in r, columns 2t and 2t +
 * 1 of row g of each. */
static __device__ __forceinline__ void matrix_load(uint32_t r[4], const bf16 *row)
{
    const uint32_t address = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

/* The same of the transposed matrices: rows 2t and 2t + 1 of column g. */
static __device__ __forceinline__ void matrix_load_transposed(uint32_t r[4], const bf16 *row)
{
    const uint32_t address = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

static __device__ __forceinline__ void matrix_multiply(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#else

static __device__ __forceinline__ void matrix_load(uint32_t r[4], const bf16 *row)
{
    __shared__ const bf16 *rows[MATRIX_WARPS][32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    rows[warp][lane] = row;
    __syncwarp();
    for (int i = 0; i < 4; i++)
        r[i] = *(const uint32_t *)(rows[warp][i * 8 + lane / 4] + lane % 4 * 2);
    __syncwarp();
}

static __device__ __forceinline__ void matrix_load_transposed(uint32_t r[4], const bf16 *row)
{
    __shared__ const bf16 *rows[MATRIX_WARPS][32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    rows[warp][lane] = row;
    __syncwarp();
    for (int i = 0; i < 4; i++) {
        const bf16 *const *pair = &rows[warp][i * 8 + lane % 4 * 2];
        const uint32_t low = __bfloat16_as_ushort(pair[0][lane / 4]), high = __bfloat16_as_ushort(pair[1][lane / 4]);
        r[i] = low | high << 16;
    }
    __syncwarp();
}

/* Half k % 2 of a register, as float. */
static __device__ __forceinline__ float matrix_element(uint32_t pair, int k)
{
    return __uint_as_float(k % 2 ? pair & 0xffff0000u : pair << 16);
}

static __device__ __forceinline__ void matrix_multiply(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    __shared__ uint32_t words[MATRIX_WARPS][32][6];
    uint32_t(*const lanes)[6] = words[threadIdx.x / 32];
    const int lane = threadIdx.x % 32;
    for (int i = 0; i < 4; i++)
        lanes[lane][i] = a[i];
    lanes[lane][4] = b[0];
    lanes[lane][5] = b[1];
    __syncwarp();
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 16; k++) {
            const int from_a = lane / 4 * 4 + k % 8 / 2, from_b = (lane % 4 * 2 + i % 2) * 4 + k % 8 / 2;
            d[i] += matrix_element(lanes[from_a][k / 8 * 2 + i / 2], k) * matrix_element(lanes[from_b][4 + k / 8], k);
        }
    __syncwarp();
}

#endif
#endif
