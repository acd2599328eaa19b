/* Terms that compare how the rows of a batch lie to one another; what cpu_loss_relations.c says of them holds here.
 *
 * Launches: the Gram matrices of all students and, once, of the teacher; the relation, a warp a row of G or, for the
 * n^3 angles, a block a row; and the gradient (A + A^T) x. Bytes moved: the values once for every 16 rows in each of
 * the two products (at 128 rows of 512 floats 2 MB a student, from the second-level cache; floor 0.26 MB), the matrices
 * of n^2 doubles (131 kB at 128 rows) a few times. The angles compute 2 n^3 cosines and read them from the matrices'
 * rows, which stay in the first-level cache. */
#include "shared/backend/cuda/cuda_loss.cuh"
#include "shared/backend/cuda/cuda_rows.cuh"

static __constant__ const double EQUAL = 1e-13, NEAREST = 1e-12, NORM_SHORTEST = 1e-12, PKT_EPSILON = 1e-7,
                                 ANGLE_EPSILON = 1e-8; /* as in cpu_loss_relations.c */

enum { MATRICES = 7, ARM_THREADS = 128 };

/* The terms' own parameters, for each student. */
struct relation_options {
    bool squares[BACKEND_MAX_STUDENTS];  /* mse instead of huber */
    bool unscaled[BACKEND_MAX_STUDENTS]; /* distances as they are */
};

/* A student's scratch memory (the teacher's Gram matrix is in the first one's). Rows of matrices are `stride` long. */
struct relations {
    int n;
    size_t stride;
    double *student, *teacher, *slope;
    double *inverse, *teacher_inverse;     /* angles: 1 / |x_i - x_j| */
    double *number_slopes, *length_slopes; /* angles: of (i, j), sums over k */
    double *values; /* angles: [n] of each row; distances: scales of student and teacher, the slope through the mean */
};

static __device__ __forceinline__ struct relations relations_of(const struct loss_rows &rows)
{
    const size_t stride = rows.batch.shape.batch, size = stride * stride;
    double *first = (double *)rows.batch.scratch;
    double *own = loss_scratch(rows, blockIdx.y);
    struct relations r;
    r.n = loss_row_count(rows, blockIdx.y);
    r.stride = stride;
    r.student = own;
    r.teacher = first + size;
    r.slope = own + 2 * size;
    r.inverse = own + 3 * size;
    r.teacher_inverse = own + 4 * size;
    r.number_slopes = own + 5 * size;
    r.length_slopes = own + 6 * size;
    r.values = own + 7 * size;
    return r;
}

struct penalty {
    double value, slope;
};

static __device__ __forceinline__ struct penalty penalty_of(bool squares, double u)
{
    if (squares)
        return {u * u, 2 * u};
    if (fabs(u) < 1)
        return {u * u / 2, u};
    return {fabs(u) - 0.5, u < 0 ? -1.0 : 1.0};
}

static __device__ __forceinline__ double squared_distance(const double *gram, size_t stride, int i, int j)
{
    const double ends = gram[i * stride + i] + gram[j * stride + j], squared = ends - 2 * gram[i * stride + j];
    return squared < ends * EQUAL ? 0 : squared;
}

/* ---- Gram matrices and back ---- */
/* The last student (blockIdx.y) is the teacher. */
static __global__ void __launch_bounds__(PRODUCT_THREADS) gram(struct loss_rows rows)
{
    const struct loss_shape &s = rows.batch.shape;
    const bool teacher = (int)blockIdx.y == rows.batch.students;
    const size_t stride = s.batch;
    const struct product_side side = {teacher ? rows.batch.teacher
                                              : rows.batch.student + blockIdx.y * rows.batch.student_stride,
                                      loss_row_count(rows, teacher ? 0 : blockIdx.y)};
    double *out = teacher ? (double *)rows.batch.scratch + stride * stride : loss_scratch(rows, blockIdx.y);
    row_products(side, side, teacher ? (size_t)s.teacher_pixels * s.teacher_channels : (size_t)s.pixels * s.channels,
                 NULL, out, stride);
}

static __global__ void __launch_bounds__(COMBINE_THREADS) back(struct loss_rows rows)
{
    const struct relations r = relations_of(rows);
    struct combination c = {};
    c.m = r.slope;
    c.stride = r.stride;
    c.symmetric = true;
    c.x = rows.batch.student + blockIdx.y * rows.batch.student_stride;
    c.out_rows = c.x_rows = r.n;
    c.length = (size_t)rows.batch.shape.pixels * rows.batch.shape.channels;
    c.scale = loss_weight(rows);
    c.add = true;
    c.out = rows.batch.student_gradient + blockIdx.y * rows.batch.student_stride;
    combine_rows(c);
}

/* ---- RKD, distances ---- */
static __device__ __forceinline__ double distance(const double *gram, size_t stride, int i, int j)
{
    const double squared = squared_distance(gram, stride, i, j);
    return i == j ? 0 : sqrt(squared < NEAREST ? NEAREST : squared);
}

/* values[0..2) = 1 / mean of the distances between different rows, of student and teacher */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    distance_scales(struct loss_rows rows, struct relation_options options)
{
    const struct relations r = relations_of(rows);
    const bool plain = options.unscaled[blockIdx.y] || r.n < 2;
    double sums[2] = {};
    for (int i = loss_first_row(); !plain && i < r.n; i += loss_row_step())
        for (int j = threadIdx.x % WARP; j < r.n; j += WARP) {
            sums[0] += distance(r.student, r.stride, i, j);
            sums[1] += distance(r.teacher, r.stride, i, j);
        }
    if (sum_over_blocks<2>(rows.sums, blockIdx.y, sums))
        for (int side = 0; side < 2; side++)
            r.values[side] = plain ? 1 : (double)r.n * (r.n - 1) / sums[side];
}

/* The value; slope = slopes of the distances as they stand beside one another; values[2] = what is to be added to each
 * because it is in the mean. */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    distance_values(struct loss_rows rows, struct relation_options options)
{
    const struct relations r = relations_of(rows);
    const bool squares = options.squares[blockIdx.y], plain = options.unscaled[blockIdx.y];
    const double scale = r.values[0], teacher_scale = r.values[1], share = 1.0 / ((double)r.n * r.n);
    double sums[2] = {};
    for (int i = loss_first_row(); i < r.n; i += loss_row_step())
        for (int j = threadIdx.x % WARP; j < r.n; j += WARP) {
            const double d = distance(r.student, r.stride, i, j);
            const struct penalty p =
                penalty_of(squares, d * scale - distance(r.teacher, r.stride, i, j) * teacher_scale);
            sums[0] += share * p.value;
            sums[1] += share * p.slope * d;
            r.slope[i * r.stride + j] = share * p.slope * scale;
        }
    if (sum_over_blocks<2>(rows.sums, blockIdx.y, sums)) {
        loss_metrics(rows, sums[0]);
        r.values[2] = plain || r.n < 2 ? 0 : -sums[1] * scale * scale / ((double)r.n * (r.n - 1));
    }
}

/* slope: of the distances -> of the Gram matrix */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP) distance_slopes(struct loss_rows rows)
{
    const struct relations r = relations_of(rows);
    const double mean_slope = r.values[2];
    for (int i = loss_first_row(); i < r.n; i += loss_row_step()) {
        double sum = 0;
        for (int j = threadIdx.x % WARP; j < r.n; j += WARP) {
            const double squared = squared_distance(r.student, r.stride, i, j);
            double slope = 0; /* of the squared distance, twice */
            if (i != j && squared >= NEAREST)
                slope = (r.slope[i * r.stride + j] + mean_slope) / sqrt(squared);
            r.slope[i * r.stride + j] = -slope;
            sum += slope;
        }
        sum = warp_sum(sum);
        __syncwarp();
        if (threadIdx.x % WARP == 0)
            r.slope[i * r.stride + i] = sum;
    }
}

/* ---- RKD, angles ---- */
static __device__ __forceinline__ double inverse_length(const double *gram, size_t stride, int i, int j, double epsilon)
{
    const double squared = i == j ? 0 : squared_distance(gram, stride, i, j);
    return squared == 0 ? 0 : 1 / (sqrt(squared) + epsilon);
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    angle_lengths(struct loss_rows rows, struct relation_options options)
{
    const struct relations r = relations_of(rows);
    const double epsilon = options.squares[blockIdx.y] ? ANGLE_EPSILON : 0;
    for (int i = loss_first_row(); i < r.n; i += loss_row_step())
        for (int j = threadIdx.x % WARP; j < r.n; j += WARP) {
            r.inverse[i * r.stride + j] = inverse_length(r.student, r.stride, i, j, epsilon);
            r.teacher_inverse[i * r.stride + j] = inverse_length(r.teacher, r.stride, i, j, epsilon);
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

static __device__ __forceinline__ struct angle angle_of(const struct relations &r, bool squares, int i, int j, int k)
{
    const size_t ij = i * r.stride + j, ik = i * r.stride + k;
    struct angle a;
    a.lengths = r.inverse[ij] * r.inverse[ik];
    a.cosine = angle_cosine(r.student, r.stride, i, j, k, a.lengths);
    a.penalty = penalty_of(
        squares, a.cosine - angle_cosine(r.teacher, r.stride, i, j, k, r.teacher_inverse[ij] * r.teacher_inverse[ik]));
    return a;
}

/* All angles with row j = blockIdx.x at an arm's end, twice: once for sums over i, a thread a k, once for sums over k,
 * a thread an i. So there is nothing to add up between threads but the value. */
static __global__ void __launch_bounds__(ARM_THREADS) angle_arms(struct loss_rows rows, struct relation_options options)
{
    const struct relations r = relations_of(rows);
    const bool squares = options.squares[blockIdx.y];
    const double share = 1.0 / ((double)r.n * r.n * r.n);
    const int j = blockIdx.x;
    double value = 0;
    if (j >= r.n)
        return;
    for (int k = threadIdx.x; k < r.n; k += ARM_THREADS) {
        double slope = 0;
        for (int i = 0; i < r.n; i++) {
            const struct angle a = angle_of(r, squares, i, j, k);
            value += a.penalty.value;
            slope += a.penalty.slope * a.lengths;
        }
        r.slope[j * r.stride + k] = share * slope;
    }
    for (int i = threadIdx.x; i < r.n; i += ARM_THREADS) {
        double number_slope = 0, length_slope = 0;
        for (int k = 0; k < r.n; k++) {
            const struct angle a = angle_of(r, squares, i, j, k);
            number_slope += a.penalty.slope * a.lengths;
            length_slope += a.penalty.slope * a.cosine;
        }
        r.number_slopes[i * r.stride + j] = share * number_slope;
        r.length_slopes[i * r.stride + j] = share * length_slope;
    }
    sum_over_block<1>(&value);
    if (threadIdx.x == 0)
        r.values[j] = share * value;
}

/* Of |x_i - x_j|^2. */
static __device__ __forceinline__ double squared_slope(const struct relations &r, int i, int j)
{
    const double inverse = r.inverse[i * r.stride + j];
    return inverse == 0
               ? 0
               : -r.length_slopes[i * r.stride + j] * inverse / sqrt(squared_distance(r.student, r.stride, i, j));
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) angle_slopes(struct loss_rows rows)
{
    const struct relations r = relations_of(rows);
    const int lane = threadIdx.x % WARP;
    double value = 0;
    for (int i = loss_first_row(); i < r.n; i += loss_row_step()) {
        double diagonal = 0;
        for (int j = lane; j < r.n; j += WARP) {
            const double slope = r.number_slopes[i * r.stride + j] + squared_slope(r, i, j);
            r.slope[i * r.stride + j] -= 2 * slope;
            diagonal += slope + squared_slope(r, j, i);
        }
        diagonal = warp_sum(diagonal);
        __syncwarp();
        if (lane == 0) {
            r.slope[i * r.stride + i] += diagonal;
            value += r.values[i];
        }
    }
    loss_finish(rows, value, 1);
}

/* ---- similarities ---- */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP) similarity(struct loss_rows rows)
{
    const struct relations r = relations_of(rows);
    const int lane = threadIdx.x % WARP;
    const double share = 1.0 / ((double)r.n * r.n);
    double value = 0;
    for (int i = loss_first_row(); i < r.n; i += loss_row_step()) {
        const double *g = r.student + i * r.stride, *teacher = r.teacher + i * r.stride;
        double *slope = r.slope + i * r.stride, squares = 0, teacher_squares = 0, along = 0;
        for (int j = lane; j < r.n; j += WARP) {
            squares += g[j] * g[j];
            teacher_squares += teacher[j] * teacher[j];
        }
        const double norm = sqrt(warp_sum(squares)), inverse = 1 / fmax(norm, NORM_SHORTEST);
        const double teacher_inverse = 1 / fmax(sqrt(warp_sum(teacher_squares)), NORM_SHORTEST);
        for (int j = lane; j < r.n; j += WARP) {
            const double difference = g[j] * inverse - teacher[j] * teacher_inverse;
            value += share * difference * difference;
            slope[j] = 2 * share * difference;
            along += slope[j] * g[j] * inverse;
        }
        along = warp_sum(along);
        for (int j = lane; j < r.n; j += WARP)
            slope[j] = norm > NORM_SHORTEST ? (slope[j] - along * g[j] * inverse) * inverse : 0;
    }
    loss_finish(rows, value, 1);
}

/* 1 / (|x_i| + epsilon), 0 for a row of zeros, which has no direction. */
static __device__ __forceinline__ double inverse_norm(const double *gram, size_t stride, int i)
{
    const double square = gram[i * stride + i];
    return square == 0 ? 0 : 1 / (sqrt(square) + PKT_EPSILON);
}
/* (cos + 1) / 2 */
static __device__ __forceinline__ double closeness(const double *gram, size_t stride, int i, int j)
{
    return (gram[i * stride + j] * inverse_norm(gram, stride, i) * inverse_norm(gram, stride, j) + 1) / 2;
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) pkt(struct loss_rows rows)
{
    const struct relations r = relations_of(rows);
    const int lane = threadIdx.x % WARP;
    const double share = 1.0 / ((double)r.n * r.n);
    double value = 0;
    for (int i = loss_first_row(); i < r.n; i += loss_row_step()) {
        double *slope = r.slope + i * r.stride, sum = 0, teacher_sum = 0, along = 0;
        for (int j = lane; j < r.n; j += WARP) {
            sum += closeness(r.student, r.stride, i, j);
            teacher_sum += closeness(r.teacher, r.stride, i, j);
        }
        sum = warp_sum(sum), teacher_sum = warp_sum(teacher_sum);
        for (int j = lane; j < r.n; j += WARP) {
            const double q = closeness(r.student, r.stride, i, j) / sum;
            const double p = closeness(r.teacher, r.stride, i, j) / teacher_sum;
            value += share * p * log((p + PKT_EPSILON) / (q + PKT_EPSILON));
            slope[j] = -share * p / (q + PKT_EPSILON); /* of q */
            along += slope[j] * q;
        }
        along = warp_sum(along);
        for (int j = lane; j < r.n; j += WARP)
            slope[j] = (slope[j] - along) / sum / 2 * inverse_norm(r.student, r.stride, i) *
                       inverse_norm(r.student, r.stride, j);
    }
    loss_finish(rows, value, 1);
}

/* Through the norms, which depend on G_ii. */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP) pkt_norms(struct loss_rows rows)
{
    const struct relations r = relations_of(rows);
    for (int i = loss_first_row(); i < r.n; i += loss_row_step()) {
        double along = 0;
        for (int j = threadIdx.x % WARP; j < r.n; j += WARP)
            along += (r.slope[i * r.stride + j] + r.slope[j * r.stride + i]) * r.student[i * r.stride + j];
        along = warp_sum(along);
        __syncwarp();
        if (threadIdx.x % WARP == 0 && r.student[i * r.stride + i] != 0)
            r.slope[i * r.stride + i] -=
                along * inverse_norm(r.student, r.stride, i) / (2 * sqrt(r.student[i * r.stride + i]));
    }
}

/* ---- host ---- */
static size_t scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const size_t n = shape->batch, values = n < 3 ? 3 : n;
    (void)term;
    return (MATRICES * n * n + values) * sizeof(double);
}

static struct relation_options options_of(const struct loss_term *terms, const struct loss_rows *rows)
{
    struct relation_options options = {};
    for (int student = 0; student < rows->batch.students; student++) {
        options.squares[student] = terms[student].distance == DISTANCE_MSE;
        options.unscaled[student] = terms[student].scale == SCALE_NONE;
    }
    return options;
}

static void launch_gram(cudaStream_t stream, const struct loss_rows *rows)
{
    const int n = rows->batch.shape.batch;
    LAUNCH(gram, dim3(product_blocks(n, n), rows->batch.students + 1, 1), PRODUCT_THREADS, 0, stream, *rows);
}

static void launch_back(cudaStream_t stream, const struct loss_rows *rows)
{
    const struct loss_shape *s = &rows->batch.shape;
    if (rows->batch.student_gradient)
        LAUNCH(back, dim3(combine_blocks(s->batch, (size_t)s->pixels * s->channels), rows->batch.students, 1),
               COMBINE_THREADS, 0, stream, *rows);
}

static void launch_distance(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    const struct relation_options options = options_of(terms, rows);
    const dim3 grid = loss_grid(&rows->batch);
    launch_gram(stream, rows);
    LAUNCH(distance_scales, grid, LOSS_WARPS * WARP, 0, stream, *rows, options);
    LAUNCH(distance_values, grid, LOSS_WARPS * WARP, 0, stream, *rows, options);
    LAUNCH(distance_slopes, grid, LOSS_WARPS * WARP, 0, stream, *rows);
    launch_back(stream, rows);
}

static void launch_angle(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    const struct relation_options options = options_of(terms, rows);
    const dim3 grid = loss_grid(&rows->batch);
    launch_gram(stream, rows);
    LAUNCH(angle_lengths, grid, LOSS_WARPS * WARP, 0, stream, *rows, options);
    LAUNCH(angle_arms, dim3(rows->batch.count, rows->batch.students, 1), ARM_THREADS, 0, stream, *rows, options);
    LAUNCH(angle_slopes, grid, LOSS_WARPS * WARP, 0, stream, *rows);
    launch_back(stream, rows);
}

static void launch_similarity(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    (void)terms;
    launch_gram(stream, rows);
    LAUNCH(similarity, loss_grid(&rows->batch), LOSS_WARPS * WARP, 0, stream, *rows);
    launch_back(stream, rows);
}

static void launch_pkt(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    const dim3 grid = loss_grid(&rows->batch);
    (void)terms;
    launch_gram(stream, rows);
    LAUNCH(pkt, grid, LOSS_WARPS * WARP, 0, stream, *rows);
    LAUNCH(pkt_norms, grid, LOSS_WARPS * WARP, 0, stream, *rows);
    launch_back(stream, rows);
}

extern "C" const struct cuda_term_kind cuda_relation_terms[LOSS_KIND_COUNT] = {
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {},                           /* terms on logits and values */
    {launch_distance, scratch},   /* LOSS_RKD_DISTANCE */
    {launch_angle, scratch},      /* LOSS_RKD_ANGLE */
    {launch_similarity, scratch}, /* LOSS_SP */
    {launch_pkt, scratch},        /* LOSS_PKT */
};
