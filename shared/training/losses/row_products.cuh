/* Products and combinations of rows of floats, in `number` (float_pair.cuh), by whole blocks.
 *
 * Products of floats are exact, only sums round; so differences of products keep the digits of floats. Sums are in a
 * fixed order, the same for every element: equal rows give equal bits. */
#ifndef SHARED_TRAINING_LOSSES_ROW_PRODUCTS_CUH
#define SHARED_TRAINING_LOSSES_ROW_PRODUCTS_CUH

#include "shared/training/losses/float_pair.cuh"

/* ---- products of rows: out[i][j] = <a_i, b_j> ---- */
enum { PRODUCT_THREADS = 256, PRODUCT_TILE = 16, PRODUCT_DEPTH = 32, PRODUCT_GROUPS = 4 };

struct product_side {
    const float *rows; /* [count, length] */
    int count;
};

/* Blocks per student for products of up to a_rows and b_rows rows, counted by blockIdx.x. */
static inline int product_blocks(int a_rows, int b_rows)
{
    return ((a_rows + PRODUCT_TILE - 1) / PRODUCT_TILE) * ((b_rows + PRODUCT_TILE - 1) / PRODUCT_TILE);
}

/* Columns [from, from + PRODUCT_DEPTH) of the rows from `first` on; 0 where there are none. */
static __device__ __forceinline__ void product_load(float tile[PRODUCT_TILE][PRODUCT_DEPTH + 1],
                                                    const struct product_side &side, int first, size_t from,
                                                    size_t length)
{
    const int column = threadIdx.x % PRODUCT_DEPTH;
    const float *at = side.rows + from + column;
#pragma unroll
    for (int row = 0; row < PRODUCT_TILE; row += PRODUCT_THREADS / PRODUCT_DEPTH) {
        const int mine = row + threadIdx.x / PRODUCT_DEPTH;
        tile[mine][column] =
            first + mine < side.count && from + column < length ? at[(size_t)(first + mine) * length] : 0;
    }
}

/* Tile number blockIdx.x of out[a.count][b.count], `stride` numbers from row to row, plus bias[b.count] (NULL: none).
 * A tile is 16 x 16. A group of 64 threads sums a quarter of the length, a thread of it 4 elements of the tile. */
static __device__ __forceinline__ void row_products(const struct product_side &a, const struct product_side &b,
                                                    size_t length, const float *bias, number *out, size_t stride)
{
    __shared__ float left[PRODUCT_TILE][PRODUCT_DEPTH + 1], right[PRODUCT_TILE][PRODUCT_DEPTH + 1];
    __shared__ number parts[PRODUCT_GROUPS][PRODUCT_TILE][PRODUCT_TILE];
    const int tiles = (b.count + PRODUCT_TILE - 1) / PRODUCT_TILE;
    const int first_a = tiles ? blockIdx.x / tiles * PRODUCT_TILE : 0;
    const int first_b = tiles ? blockIdx.x % tiles * PRODUCT_TILE : 0;
    const int group = threadIdx.x / 64, y = threadIdx.x % 64 / 8, x = threadIdx.x % 8;
    number sums[2][2] = {};
    if (first_a >= a.count || first_b >= b.count)
        return;
    for (size_t from = 0; from < length; from += PRODUCT_DEPTH) {
        product_load(left, a, first_a, from, length);
        product_load(right, b, first_b, from, length);
        __syncthreads();
        for (int k = group * 8; k < group * 8 + 8; k++) {
            add_product(&sums[0][0], left[y][k], right[x][k]);
            add_product(&sums[0][1], left[y][k], right[x + 8][k]);
            add_product(&sums[1][0], left[y + 8][k], right[x][k]);
            add_product(&sums[1][1], left[y + 8][k], right[x + 8][k]);
        }
        for (int i = 0; i < 4; i++)
            sums[i / 2][i % 2] = rounded(sums[i / 2][i % 2]);
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        parts[group][y + i / 2 * 8][x + i % 2 * 8] = sums[i / 2][i % 2];
    __syncthreads();
    const int i = threadIdx.x / PRODUCT_TILE, j = threadIdx.x % PRODUCT_TILE;
    if (first_a + i < a.count && first_b + j < b.count)
        out[(size_t)(first_a + i) * stride + first_b + j] =
            parts[0][i][j] + parts[1][i][j] + parts[2][i][j] + parts[3][i][j] + (bias ? bias[first_b + j] : 0);
}

/* ---- combinations of rows: out_i = scale * sum_j m_ji x_j ---- */
enum { COMBINE_THREADS = 256, COMBINE_ROWS = 16, COMBINE_COLUMNS = 64, COMBINE_DEPTH = 32 };

struct combination {
    const number *m; /* [x_rows][stride] */
    size_t stride;
    bool symmetric; /* m_ji + m_ij instead of m_ji */
    const float *x; /* [x_rows, length] */
    int out_rows, x_rows;
    size_t length;
    number scale;
    bool add;   /* to out */
    float *out; /* [out_rows, length] */
};

/* Blocks per student, counted by blockIdx.x. */
static inline unsigned combine_blocks(int out_rows, size_t length)
{
    return (unsigned)((length + COMBINE_COLUMNS - 1) / COMBINE_COLUMNS) *
           ((out_rows + COMBINE_ROWS - 1) / COMBINE_ROWS);
}

/* A block makes 16 rows and 64 columns of out, a thread 4 rows of a column: it reads an element of x once for them. */
static __device__ __forceinline__ void combine_rows(const struct combination &c)
{
    __shared__ number tile[COMBINE_DEPTH][COMBINE_ROWS];
    const unsigned across = (unsigned)((c.length + COMBINE_COLUMNS - 1) / COMBINE_COLUMNS);
    const int first = blockIdx.x / across * COMBINE_ROWS, mine = threadIdx.x / COMBINE_COLUMNS * 4;
    const size_t k = (size_t)(blockIdx.x % across) * COMBINE_COLUMNS + threadIdx.x % COMBINE_COLUMNS;
    number sums[4] = {};
    if (first >= c.out_rows)
        return;
    for (int from = 0; from < c.x_rows; from += COMBINE_DEPTH) {
        for (int at = threadIdx.x; at < COMBINE_DEPTH * COMBINE_ROWS; at += COMBINE_THREADS) {
            const int j = from + at / COMBINE_ROWS, i = first + at % COMBINE_ROWS;
            number m = 0;
            if (j < c.x_rows && i < c.out_rows)
                m = c.m[j * c.stride + i] + (c.symmetric ? c.m[i * c.stride + j] : 0);
            tile[at / COMBINE_ROWS][at % COMBINE_ROWS] = m;
        }
        __syncthreads();
        for (int j = from; k < c.length && j < from + COMBINE_DEPTH && j < c.x_rows; j++) {
            const float x = c.x[j * c.length + k];
            for (int i = 0; i < 4; i++)
                add_product(&sums[i], tile[j - from][mine + i], x);
        }
        for (int i = 0; i < 4; i++)
            sums[i] = rounded(sums[i]);
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        if (k < c.length && first + mine + i < c.out_rows) {
            float *out = c.out + (size_t)(first + mine + i) * c.length + k;
            *out = (c.add ? *out : 0) + (float)(c.scale * sums[i]);
        }
}

#endif
