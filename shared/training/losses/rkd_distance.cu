/* RKD's distances: how far the rows of a batch are from one another, for the student as for the teacher.
 *
 * Three passes over the matrix of distances, one warp per row: the means, the value with the derivatives by the
 * distances, and those by the Gram matrix. */
#include "shared/training/losses/gram.cuh"

/* For each student. */
struct distance_options {
    enum loss_distance distance[TRAINING_MAX_STUDENTS];
    bool unscaled[TRAINING_MAX_STUDENTS]; /* distances are not divided by their mean */
};

/* rest[0], rest[1] = 1 / mean of the distances between different rows, of student and teacher */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    distance_scales(struct cuda_loss_args args, struct distance_options options)
{
    const struct gram_matrices r = gram_matrices_of(args);
    const bool plain = options.unscaled[blockIdx.y] || r.n < 2;
    number parts[2] = {};
    for (int i = loss_first_row(); !plain && i < r.n; i += loss_row_step())
        for (int j = threadIdx.x % WARP; j < r.n; j += WARP) {
            parts[0] += row_distance(r.student, r.stride, i, j);
            parts[1] += row_distance(r.teacher, r.stride, i, j);
        }
    double sums[2] = {(double)parts[0], (double)parts[1]};
    if (sum_over_blocks<2>(args.sums, blockIdx.y, sums))
        for (int side = 0; side < 2; side++)
            r.rest[side] = plain ? 1 : (number)r.n * (r.n - 1) / sums[side];
}

/* The value; derivative = its derivatives by the distances with a constant mean; rest[2] = what every distance gets in
 * addition through the mean. */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    distance_values(struct cuda_loss_args args, struct distance_options options)
{
    const struct gram_matrices r = gram_matrices_of(args);
    const enum loss_distance distance = options.distance[blockIdx.y];
    const bool plain = options.unscaled[blockIdx.y];
    const number scale = r.rest[0], teacher_scale = r.rest[1], share = (number)1 / ((number)r.n * r.n);
    number parts[2] = {};
    for (int i = loss_first_row(); i < r.n; i += loss_row_step())
        for (int j = threadIdx.x % WARP; j < r.n; j += WARP) {
            const number d = row_distance(r.student, r.stride, i, j);
            const struct loss_part p =
                penalty_of(distance, d * scale - row_distance(r.teacher, r.stride, i, j) * teacher_scale);
            parts[0] += share * p.value;
            parts[1] += share * p.derivative * d;
            r.derivative[i * r.stride + j] = share * p.derivative * scale;
        }
    double sums[2] = {(double)parts[0], (double)parts[1]};
    if (sum_over_blocks<2>(args.sums, blockIdx.y, sums)) {
        loss_metrics(args, sums[0]);
        r.rest[2] = plain || r.n < 2 ? 0 : -sums[1] * scale * scale / ((number)r.n * (r.n - 1));
    }
}

/* derivative: by the distances -> by the Gram matrix */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP) distance_derivatives(struct cuda_loss_args args)
{
    const struct gram_matrices r = gram_matrices_of(args);
    const number mean_derivative = r.rest[2];
    for (int i = loss_first_row(); i < r.n; i += loss_row_step()) {
        number sum = 0;
        for (int j = threadIdx.x % WARP; j < r.n; j += WARP) {
            const number squared = squared_distance(r.student, r.stride, i, j);
            const number derivative =
                through_distance(r.derivative[i * r.stride + j] + mean_derivative, squared, i == j);
            r.derivative[i * r.stride + j] = -derivative;
            sum += derivative;
        }
        sum = warp_sum(sum);
        __syncwarp();
        if (threadIdx.x % WARP == 0)
            r.derivative[i * r.stride + i] = sum;
    }
}

static size_t rkd_distance_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return gram_scratch(shape, 0, 3);
}

static void launch_rkd_distance(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    const dim3 grid = loss_grid(&args->batch);
    struct distance_options options = {};
    for (int student = 0; student < args->batch.students; student++) {
        options.distance[student] = terms[student].distance;
        options.unscaled[student] = terms[student].scale == SCALE_NONE;
    }
    launch_gram(stream, args);
    LAUNCH(distance_scales, grid, LOSS_WARPS * WARP, 0, stream, *args, options);
    LAUNCH(distance_values, grid, LOSS_WARPS * WARP, 0, stream, *args, options);
    LAUNCH(distance_derivatives, grid, LOSS_WARPS * WARP, 0, stream, *args);
    launch_gram_back(stream, args);
}

extern "C" const struct cuda_loss cuda_rkd_distance = {LOSS_RKD_DISTANCE, launch_rkd_distance, rkd_distance_scratch};
