/* RKD's angles: those between the lines from a row to two others, n^3 in a batch.
 *
 * One block per row j, which goes twice over all angles with j at the end of an arm; so memory is O(n^2). 1.5 n^3
 * cosines are computed, from the rows of the Gram matrices, which stay in the first-level cache. Bytes moved beside
 * those of gram.cuh: four matrices of n^2 numbers (131 kB each at 128 rows) a few times. */
#include "shared/training/losses/gram.cuh"

enum { ARM_THREADS = 128, ANGLE_MATRICES = 4 };

/* For each student. */
struct angle_options {
    enum loss_distance distance[TRAINING_MAX_STUDENTS];
};

/* A student's scratch memory. */
struct angle_memory {
    int n;
    size_t stride;
    number *student, *teacher, *derivative;          /* as in struct gram_matrices */
    number *inverse, *teacher_inverse;               /* 1 / |x_i - x_j| */
    number *number_derivatives, *length_derivatives; /* of (i, j), see rkd_angle.c */
    number *values;                                  /* [n] parts of the value, of each row j */
};

static __device__ __forceinline__ struct angle_memory memory_of(const struct cuda_loss_args &args)
{
    const struct gram_matrices r = gram_matrices_of(args);
    const size_t size = r.stride * r.stride;
    return {r.n,    r.stride,      r.student,         r.teacher,         r.derivative,
            r.rest, r.rest + size, r.rest + 2 * size, r.rest + 3 * size, r.rest + ANGLE_MATRICES * size};
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    angle_lengths(struct cuda_loss_args args, struct angle_options options)
{
    const struct angle_memory m = memory_of(args);
    const number epsilon = options.distance[blockIdx.y] == DISTANCE_MSE ? ANGLE_EPSILON : 0;
    for (int i = loss_first_row(); i < m.n; i += loss_row_step())
        for (int j = threadIdx.x % WARP; j < m.n; j += WARP) {
            m.inverse[i * m.stride + j] = inverse_length(m.student, m.stride, i, j, epsilon);
            m.teacher_inverse[i * m.stride + j] = inverse_length(m.teacher, m.stride, i, j, epsilon);
        }
}

/* The cosine of angle (j, i, k): of the student, and how it differs from the teacher's. */
struct angle {
    number lengths, cosine; /* lengths: 1 / |x_j - x_i| / |x_k - x_i| */
    struct loss_part penalty;
};

static __device__ __forceinline__ struct angle angle_of(const struct angle_memory &m, enum loss_distance distance,
                                                        int i, int j, int k)
{
    const size_t ij = i * m.stride + j, ik = i * m.stride + k;
    const number teacher = arm_product(m.teacher, m.stride, i, j, k) * (m.teacher_inverse[ij] * m.teacher_inverse[ik]);
    struct angle a;
    a.lengths = m.inverse[ij] * m.inverse[ik];
    a.cosine = arm_product(m.student, m.stride, i, j, k) * a.lengths;
    a.penalty = penalty_of(distance, a.cosine - teacher);
    return a;
}

/* All angles with row j = blockIdx.x at the end of an arm: one thread per k makes the sums over i, which are the same
 * for (j, k) and (k, j), then one thread per i the sums over k. So only the value is added up between threads. */
static __global__ void __launch_bounds__(ARM_THREADS)
    angle_arms(struct cuda_loss_args args, struct angle_options options)
{
    const struct angle_memory m = memory_of(args);
    const enum loss_distance distance = options.distance[blockIdx.y];
    const number share = (number)1 / ((number)m.n * m.n * m.n);
    const int j = blockIdx.x;
    number value = 0;
    if (j >= m.n)
        return;
    for (int k = j + threadIdx.x; k < m.n; k += ARM_THREADS) {
        number derivative = 0;
        for (int i = 0; i < m.n; i++) {
            const struct angle a = angle_of(m, distance, i, j, k);
            add_product(&derivative, a.penalty.derivative, a.lengths);
        }
        m.derivative[j * m.stride + k] = m.derivative[k * m.stride + j] = share * rounded(derivative);
    }
    for (int i = threadIdx.x; i < m.n; i += ARM_THREADS) {
        number number_derivative = 0, length_derivative = 0;
        for (int k = 0; k < m.n; k++) {
            const struct angle a = angle_of(m, distance, i, j, k);
            value += a.penalty.value;
            add_product(&number_derivative, a.penalty.derivative, a.lengths);
            add_product(&length_derivative, a.penalty.derivative, a.cosine);
        }
        m.number_derivatives[i * m.stride + j] = share * rounded(number_derivative);
        m.length_derivatives[i * m.stride + j] = share * rounded(length_derivative);
    }
    double sum = (double)value;
    sum_over_block<1>(&sum);
    if (threadIdx.x == 0)
        m.values[j] = share * sum;
}

/* The derivative by |x_i - x_j|^2. */
static __device__ __forceinline__ number squared_derivative(const struct angle_memory &m, int i, int j)
{
    const size_t ij = i * m.stride + j;
    return through_length(m.length_derivatives[ij], m.inverse[ij], squared_distance(m.student, m.stride, i, j));
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) angle_derivatives(struct cuda_loss_args args)
{
    const struct angle_memory m = memory_of(args);
    const int lane = threadIdx.x % WARP;
    number value = 0;
    for (int i = loss_first_row(); i < m.n; i += loss_row_step()) {
        number diagonal = 0;
        for (int j = lane; j < m.n; j += WARP) {
            const number derivative = m.number_derivatives[i * m.stride + j] + squared_derivative(m, i, j);
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
    loss_finish(args, value, 1);
}

static size_t rkd_angle_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return gram_scratch(shape, ANGLE_MATRICES, shape->batch);
}

static void launch_rkd_angle(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    const struct loss_batch *batch = &args->batch;
    const dim3 grid = loss_grid(batch);
    struct angle_options options = {};
    for (int student = 0; student < batch->students; student++)
        options.distance[student] = terms[student].distance;
    launch_gram(stream, args);
    LAUNCH(angle_lengths, grid, LOSS_WARPS * WARP, 0, stream, *args, options);
    LAUNCH(angle_arms, dim3(batch->count, batch->students, 1), ARM_THREADS, 0, stream, *args, options);
    LAUNCH(angle_derivatives, grid, LOSS_WARPS * WARP, 0, stream, *args);
    launch_gram_back(stream, args);
}

extern "C" const struct cuda_loss cuda_rkd_angle = {LOSS_RKD_ANGLE, launch_rkd_angle, rkd_angle_scratch};
