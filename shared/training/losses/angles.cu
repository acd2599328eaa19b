/* RKD's angles: those between the lines from a row to two others, n^3 in a batch.
 *
 * A block a row j, which goes over all angles with j at an arm's end twice; so memory is of n^2. 2 n^3 cosines are
 * computed, out of the Gram matrices' rows, which stay in the first-level cache. Bytes moved beside those of
 * loss_relations.cu: four matrices of n^2 doubles (131 kB each at 128 rows) a few times. */
#include "shared/training/losses/relations.cuh"

enum { ARM_THREADS = 128, ANGLE_MATRICES = 4 };
static __constant__ const double ANGLE_EPSILON = 1e-8; /* as in cpu_loss_relations.c */

/* A student's scratch memory. */
struct angle_memory {
    int n;
    size_t stride;
    double *student, *teacher, *derivative;          /* as in struct relations */
    double *inverse, *teacher_inverse;               /* 1 / |x_i - x_j| */
    double *number_derivatives, *length_derivatives; /* of (i, j), sums over k */
    double *values;                                  /* [n] of each row j */
};

static __device__ __forceinline__ struct angle_memory memory_of(const struct loss_rows &rows)
{
    const struct relations r = relations_of(rows);
    const size_t size = r.stride * r.stride;
    return {r.n,    r.stride,      r.student,         r.teacher,         r.derivative,
            r.rest, r.rest + size, r.rest + 2 * size, r.rest + 3 * size, r.rest + ANGLE_MATRICES * size};
}

static __device__ __forceinline__ double inverse_length(const double *gram, size_t stride, int i, int j, double epsilon)
{
    const double squared = i == j ? 0 : squared_distance(gram, stride, i, j);
    return squared == 0 ? 0 : 1 / (sqrt(squared) + epsilon);
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    angle_lengths(struct loss_rows rows, struct relation_options options)
{
    const struct angle_memory m = memory_of(rows);
    const double epsilon = options.squares[blockIdx.y] ? ANGLE_EPSILON : 0;
    for (int i = loss_first_row(); i < m.n; i += loss_row_step())
        for (int j = threadIdx.x % WARP; j < m.n; j += WARP) {
            m.inverse[i * m.stride + j] = inverse_length(m.student, m.stride, i, j, epsilon);
            m.teacher_inverse[i * m.stride + j] = inverse_length(m.teacher, m.stride, i, j, epsilon);
        }
}

/* The cosine of angle (j, i, k): of the student, and how it differs from the teacher's. */
struct angle {
    double lengths, cosine; /* lengths: 1 / |x_j - x_i| / |x_k - x_i| */
    struct penalty penalty;
};

static __device__ __forceinline__ double angle_cosine(const double *gram, size_t stride, int i, int j, int k,
                                                      double lengths)
{
    return (gram[j * stride + k] - gram[i * stride + j] - gram[i * stride + k] + gram[i * stride + i]) * lengths;
}

static __device__ __forceinline__ struct angle angle_of(const struct angle_memory &m, bool squares, int i, int j, int k)
{
    const size_t ij = i * m.stride + j, ik = i * m.stride + k;
    struct angle a;
    a.lengths = m.inverse[ij] * m.inverse[ik];
    a.cosine = angle_cosine(m.student, m.stride, i, j, k, a.lengths);
    a.penalty = penalty_of(
        squares, a.cosine - angle_cosine(m.teacher, m.stride, i, j, k, m.teacher_inverse[ij] * m.teacher_inverse[ik]));
    return a;
}

/* All angles with row j = blockIdx.x at an arm's end, twice: once for sums over i, a thread a k, once for sums over k,
 * a thread an i. So there is nothing to add up between threads but the value. */
static __global__ void __launch_bounds__(ARM_THREADS) angle_arms(struct loss_rows rows, struct relation_options options)
{
    const struct angle_memory m = memory_of(rows);
    const bool squares = options.squares[blockIdx.y];
    const double share = 1.0 / ((double)m.n * m.n * m.n);
    const int j = blockIdx.x;
    double value = 0;
    if (j >= m.n)
        return;
    for (int k = threadIdx.x; k < m.n; k += ARM_THREADS) {
        double derivative = 0;
        for (int i = 0; i < m.n; i++) {
            const struct angle a = angle_of(m, squares, i, j, k);
            value += a.penalty.value;
            derivative += a.penalty.derivative * a.lengths;
        }
        m.derivative[j * m.stride + k] = share * derivative;
    }
    for (int i = threadIdx.x; i < m.n; i += ARM_THREADS) {
        double number_derivative = 0, length_derivative = 0;
        for (int k = 0; k < m.n; k++) {
            const struct angle a = angle_of(m, squares, i, j, k);
            number_derivative += a.penalty.derivative * a.lengths;
            length_derivative += a.penalty.derivative * a.cosine;
        }
        m.number_derivatives[i * m.stride + j] = share * number_derivative;
        m.length_derivatives[i * m.stride + j] = share * length_derivative;
    }
    sum_over_block<1>(&value);
    if (threadIdx.x == 0)
        m.values[j] = share * value;
}

/* Of |x_i - x_j|^2. */
static __device__ __forceinline__ double squared_derivative(const struct angle_memory &m, int i, int j)
{
    const double inverse = m.inverse[i * m.stride + j];
    return inverse == 0
               ? 0
               : -m.length_derivatives[i * m.stride + j] * inverse / sqrt(squared_distance(m.student, m.stride, i, j));
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) angle_derivatives(struct loss_rows rows)
{
    const struct angle_memory m = memory_of(rows);
    const int lane = threadIdx.x % WARP;
    double value = 0;
    for (int i = loss_first_row(); i < m.n; i += loss_row_step()) {
        double diagonal = 0;
        for (int j = lane; j < m.n; j += WARP) {
            const double derivative = m.number_derivatives[i * m.stride + j] + squared_derivative(m, i, j);
            m.derivative[i * m.stride + j] -= 2 * derivative;
            diagonal += derivative + squared_derivative(m, j, i);
        }
        diagonal = warp_sum(diagonal);
        __syncwarp();
        if (lane == 0) {
            m.derivative[i * m.stride + i] += diagonal;
            value += m.values[i];
        }
    }
    loss_finish(rows, value, 1);
}

size_t angle_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const size_t n = shape->batch;
    (void)term;
    return ((RELATION_MATRICES + ANGLE_MATRICES) * n * n + n) * sizeof(double);
}

void launch_angle(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    const struct relation_options options = relation_options_of(terms, rows);
    const dim3 grid = loss_grid(&rows->batch);
    launch_gram(stream, rows);
    LAUNCH(angle_lengths, grid, LOSS_WARPS * WARP, 0, stream, *rows, options);
    LAUNCH(angle_arms, dim3(rows->batch.count, rows->batch.students, 1), ARM_THREADS, 0, stream, *rows, options);
    LAUNCH(angle_derivatives, grid, LOSS_WARPS * WARP, 0, stream, *rows);
    launch_back(stream, rows);
}
