/* The product of two tiles in shared memory, by a block of 256 threads, in float with FMAs or in bfloat16 with tensor
 * cores:
 *     sums[ROWS, COLUMNS] += A[ROWS, depth] B[depth, COLUMNS]
 *
 * The 8 warps of the block form a grid that is DOWN warps high. Each warp owns a rectangle of the result, whose
 * elements are spread over the registers of its lanes in an order that only this file knows. Loads from shared memory
 * are 16 bytes per lane; the pitches of tile_pitch keep them free of bank conflicts. */
#ifndef SHARED_TRAINING_CUDA_CUDA_TILE_CUH
#define SHARED_TRAINING_CUDA_CUDA_TILE_CUH

#include "shared/training/cuda/cuda_matrix.cuh"

enum { TILE_THREADS = 256 };

/* How A lies in shared memory: element (row, k) is at a[row * pitch + k] or at a[k * pitch + row]. B is always by
 * depth. */
enum tile_order { TILE_BY_ROW, TILE_BY_DEPTH };

template <int ROWS, int COLUMNS, int DOWN> struct tile {
    enum {
        WARP_ROWS = ROWS / DOWN,
        WARP_COLUMNS = COLUMNS / (MATRIX_WARPS / DOWN),
        SUMS = ROWS * COLUMNS / TILE_THREADS, /* of a thread */
        LANE_ROWS = WARP_ROWS / 4,            /* of the 4 x 8 lanes that multiply floats */
        LANE_COLUMNS = WARP_COLUMNS / 8
    };
};

/* Elements from one row of a tile in shared memory to the next: 16 bytes more than the row, so that rows begin in
 * different banks. */
template <typename T> static __host__ __device__ constexpr int tile_pitch(int columns)
{
    return columns + 16 / (int)sizeof(T);
}

/* Depths are padded with zeros to a multiple of this. */
template <typename T> static __host__ __device__ constexpr int tile_depth_step(void)
{
    return sizeof(T) == 4 ? 4 : 16;
}
template <typename T> static __host__ __device__ __forceinline__ int tile_depth(int depth)
{
    return (depth + tile_depth_step<T>() - 1) / tile_depth_step<T>() * tile_depth_step<T>();
}

/* Reads COUNT floats, in runs of up to 4 neighbours that are `apart` floats apart. */
template <int COUNT> static __device__ __forceinline__ void tile_runs(float *to, const float *from, int apart)
{
#pragma unroll
    for (int i = 0; i < COUNT; i += 4) {
        const float *run = from + i / 4 * apart;
        if (COUNT >= 4) {
            const float4 v = *(const float4 *)run;
            to[i] = v.x, to[i + 1] = v.y, to[i + 2] = v.z, to[i + 3] = v.w;
        } else {
            for (int j = 0; j < COUNT; j++)
                to[j] = run[j];
        }
    }
}

/* The place of a lane's i-th row or column among those of its warp, with `lanes` lanes side by side, in runs of up to
 * 4. */
template <int COUNT> static __device__ __forceinline__ int tile_place(int lane, int lanes, int i)
{
    const int run = COUNT < 4 ? COUNT : 4;
    return (i / run * lanes + lane) * run + i % run;
}

template <int ROWS, int COLUMNS, int DOWN, enum tile_order ORDER>
static __device__ __forceinline__ void tile_multiply(float *sums, const float *a, int a_pitch, const float *b,
                                                     int b_pitch, int depth)
{
    typedef tile<ROWS, COLUMNS, DOWN> part;
    enum { M = part::LANE_ROWS, N = part::LANE_COLUMNS };
    const int warp = threadIdx.x / 32, down = threadIdx.x % 32 / 8, across = threadIdx.x % 8;
    const int row = warp % DOWN * part::WARP_ROWS, column = warp / DOWN * part::WARP_COLUMNS;
    const float *const b_run = b + column + tile_place<N>(across, 8, 0);
    for (int k = 0; k < depth; k += 4) {
        float x[4][M], y[N];
        if (ORDER == TILE_BY_ROW) {
#pragma unroll
            for (int i = 0; i < M; i++) {
                const float4 v = *(const float4 *)(a + (row + i * 4 + down) * a_pitch + k);
                x[0][i] = v.x, x[1][i] = v.y, x[2][i] = v.z, x[3][i] = v.w;
            }
        }
#pragma unroll
        for (int step = 0; step < 4; step++) {
            if (ORDER == TILE_BY_DEPTH)
                tile_runs<M>(x[step], a + (k + step) * a_pitch + row + tile_place<M>(down, 4, 0), 4 * 4);
            tile_runs<N>(y, b_run + (k + step) * b_pitch, 8 * 4);
#pragma unroll
            for (int i = 0; i < M; i++)
#pragma unroll
                for (int j = 0; j < N; j++)
                    sums[i * N + j] = fmaf(x[step][i], y[j], sums[i * N + j]);
        }
    }
}

template <int ROWS, int COLUMNS, int DOWN, enum tile_order ORDER>
static __device__ __forceinline__ void tile_multiply(float *sums, const bf16 *a, int a_pitch, const bf16 *b,
                                                     int b_pitch, int depth)
{
    typedef tile<ROWS, COLUMNS, DOWN> part;
    enum { M = part::WARP_ROWS / 16, N = part::WARP_COLUMNS / 8 };
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int row = warp % DOWN * part::WARP_ROWS, column = warp / DOWN * part::WARP_COLUMNS;
    /* of A, lanes 0 to 7 name the rows of the upper left 8 x 8, the next ones those of the lower left, upper right and
     * lower right; of B, 16 rows of depth, then the next 8 columns */
    const bf16 *a_row = ORDER == TILE_BY_ROW ? a + (row + lane % 16) * a_pitch + lane / 16 * 8
                                             : a + (lane % 8 + lane / 16 * 8) * a_pitch + row + lane / 8 % 2 * 8;
    const bf16 *b_row = b + lane % 16 * b_pitch + column + lane / 16 * 8;
    for (int k = 0; k < depth; k += 16) {
        uint32_t x[M][4];
#pragma unroll
        for (int i = 0; i < M; i++)
            if (ORDER == TILE_BY_ROW)
                matrix_load(x[i], a_row + i * 16 * a_pitch + k);
            else
                matrix_load_transposed(x[i], a_row + k * a_pitch + i * 16);
#pragma unroll
        for (int j = 0; j < N; j += 2) {
            uint32_t y[4];
            matrix_load_transposed(y, b_row + k * b_pitch + j * 8); /* of a single column of matrices the second half is
                                                                  * padding */
#pragma unroll
            for (int i = 0; i < M; i++) {
                matrix_multiply(sums + (i * N + j) * 4, x[i], y);
                if (j + 1 < N)
                    matrix_multiply(sums + (i * N + j + 1) * 4, x[i], y + 2);
            }
        }
    }
}

/* out[row * pitch + column] = sums, which are products of type T in that ORDER. */
template <typename T, int ROWS, int COLUMNS, int DOWN, enum tile_order ORDER>
static __device__ __forceinline__ void tile_store(const float *sums, float *out, int pitch)
{
    typedef tile<ROWS, COLUMNS, DOWN> part;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float *const corner = out + warp % DOWN * part::WARP_ROWS * pitch + warp / DOWN * part::WARP_COLUMNS;
    if (sizeof(T) == 4) {
        enum { M = part::LANE_ROWS, N = part::LANE_COLUMNS };
#pragma unroll
        for (int i = 0; i < M; i++) {
            const int row = ORDER == TILE_BY_ROW ? i * 4 + lane / 8 : tile_place<M>(lane / 8, 4, i);
#pragma unroll
            for (int j = 0; j < N; j++)
                corner[row * pitch + tile_place<N>(lane % 8, 8, j)] = sums[i * N + j];
        }
    } else {
        enum { M = part::WARP_ROWS / 16, N = part::WARP_COLUMNS / 8 };
#pragma unroll
        for (int i = 0; i < M; i++)
#pragma unroll
            for (int j = 0; j < N; j++) {
                float *at = corner + (i * 16 + lane / 4) * pitch + j * 8 + lane % 4 * 2;
                const float *d = sums + (i * N + j) * 4;
                *(float2 *)at = make_float2(d[0], d[1]);
                *(float2 *)(at + 8 * pitch) = make_float2(d[2], d[3]);
            }
    }
}

template <int COUNT> static __device__ __forceinline__ void tile_clear(float *sums)
{
#pragma unroll
    for (int i = 0; i < COUNT; i++)
        sums[i] = 0;
}

#endif
