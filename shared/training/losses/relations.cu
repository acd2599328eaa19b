/* Terms that compare how the rows of a batch lie to one another; what cpu_loss_relations.c says of them holds here.
 *
 * Launches: the Gram matrices of all students and, once, of the teacher; the relation, a warp a row of G (the n^3
 * angles: loss_angles.cu); and the gradient (A + A^T) x. Bytes moved: the values once for every 16 rows in each of the
 * two products (at 128 rows of 512 floats 2 MB a student, from the second-level cache; floor 0.26 MB), the matrices of
 * n^2 doubles (131 kB at 128 rows) a few times. */
#include "shared/training/losses/relations.cuh"

#include "shared/training/losses/row_products.cuh"

/* as in cpu_loss_relations.c */
static __constant__ const double NEAREST = 1e-12, NORM_SHORTEST = 1e-12, PKT_EPSILON = 1e-7;

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
    double *out = teacher ? loss_scratch(rows, 0) + stride * stride : loss_scratch(rows, blockIdx.y);
    row_products(side, side, teacher ? (size_t)s.teacher_pixels * s.teacher_channels : (size_t)s.pixels * s.channels,
                 NULL, out, stride);
}

static __global__ void __launch_bounds__(COMBINE_THREADS) back(struct loss_rows rows)
{
    const struct relations r = relations_of(rows);
    struct combination c = {};
    c.m = r.derivative;
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

void launch_gram(cudaStream_t stream, const struct loss_rows *rows)
{
    const int n = rows->batch.shape.batch;
    LAUNCH(gram, dim3(product_blocks(n, n), rows->batch.students + 1, 1), PRODUCT_THREADS, 0, stream, *rows);
}

void launch_back(cudaStream_t stream, const struct loss_rows *rows)
{
    const struct loss_shape *s = &rows->batch.shape;
    if (rows->batch.student_gradient)
        LAUNCH(back, dim3(combine_blocks(s->batch, (size_t)s->pixels * s->channels), rows->batch.students, 1),
               COMBINE_THREADS, 0, stream, *rows);
}

struct relation_options relation_options_of(const struct loss_term *terms, const struct loss_rows *rows)
{
    struct relation_options options = {};
    for (int student = 0; student < rows->batch.students; student++) {
        options.squares[student] = terms[student].distance == DISTANCE_MSE;
        options.unscaled[student] = terms[student].scale == SCALE_NONE;
    }
    return options;
}

/* ---- RKD, distances ---- */
static __device__ __forceinline__ double distance(const double *gram, size_t stride, int i, int j)
{
    const double squared = squared_distance(gram, stride, i, j);
    return i == j ? 0 : sqrt(squared < NEAREST ? NEAREST : squared);
}

/* rest[0..2) = 1 / mean of the distances between different rows, of student and teacher */
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
            r.rest[side] = plain ? 1 : (double)r.n * (r.n - 1) / sums[side];
}

/* The value; derivative = derivatives of the distances as they stand beside one another; rest[2] = what is to be added
 * to each because it is in the mean. */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    distance_values(struct loss_rows rows, struct relation_options options)
{
    const struct relations r = relations_of(rows);
    const bool squares = options.squares[blockIdx.y], plain = options.unscaled[blockIdx.y];
    const double scale = r.rest[0], teacher_scale = r.rest[1], share = 1.0 / ((double)r.n * r.n);
    double sums[2] = {};
    for (int i = loss_first_row(); i < r.n; i += loss_row_step())
        for (int j = threadIdx.x % WARP; j < r.n; j += WARP) {
            const double d = distance(r.student, r.stride, i, j);
            const struct penalty p =
                penalty_of(squares, d * scale - distance(r.teacher, r.stride, i, j) * teacher_scale);
            sums[0] += share * p.value;
            sums[1] += share * p.derivative * d;
            r.derivative[i * r.stride + j] = share * p.derivative * scale;
        }
    if (sum_over_blocks<2>(rows.sums, blockIdx.y, sums)) {
        loss_metrics(rows, sums[0]);
        r.rest[2] = plain || r.n < 2 ? 0 : -sums[1] * scale * scale / ((double)r.n * (r.n - 1));
    }
}

/* derivative: of the distances -> of the Gram matrix */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP) distance_derivatives(struct loss_rows rows)
{
    const struct relations r = relations_of(rows);
    const double mean_derivative = r.rest[2];
    for (int i = loss_first_row(); i < r.n; i += loss_row_step()) {
        double sum = 0;
        for (int j = threadIdx.x % WARP; j < r.n; j += WARP) {
            const double squared = squared_distance(r.student, r.stride, i, j);
            double derivative = 0; /* of the squared distance, twice */
            if (i != j && squared >= NEAREST)
                derivative = (r.derivative[i * r.stride + j] + mean_derivative) / sqrt(squared);
            r.derivative[i * r.stride + j] = -derivative;
            sum += derivative;
        }
        sum = warp_sum(sum);
        __syncwarp();
        if (threadIdx.x % WARP == 0)
            r.derivative[i * r.stride + i] = sum;
    }
}

static size_t distance_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const size_t n = shape->batch;
    (void)term;
    return (RELATION_MATRICES * n * n + 3) * sizeof(double);
}

static void launch_distance(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    const struct relation_options options = relation_options_of(terms, rows);
    const dim3 grid = loss_grid(&rows->batch);
    launch_gram(stream, rows);
    LAUNCH(distance_scales, grid, LOSS_WARPS * WARP, 0, stream, *rows, options);
    LAUNCH(distance_values, grid, LOSS_WARPS * WARP, 0, stream, *rows, options);
    LAUNCH(distance_derivatives, grid, LOSS_WARPS * WARP, 0, stream, *rows);
    launch_back(stream, rows);
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
        double *derivative = r.derivative + i * r.stride, squares = 0, teacher_squares = 0, along = 0;
        for (int j = lane; j < r.n; j += WARP) {
            squares += g[j] * g[j];
            teacher_squares += teacher[j] * teacher[j];
        }
        const double norm = sqrt(warp_sum(squares)), inverse = 1 / fmax(norm, NORM_SHORTEST);
        const double teacher_inverse = 1 / fmax(sqrt(warp_sum(teacher_squares)), NORM_SHORTEST);
        for (int j = lane; j < r.n; j += WARP) {
            const double difference = g[j] * inverse - teacher[j] * teacher_inverse;
            value += share * difference * difference;
            derivative[j] = 2 * share * difference;
            along += derivative[j] * g[j] * inverse;
        }
        along = warp_sum(along);
        for (int j = lane; j < r.n; j += WARP)
            derivative[j] = norm > NORM_SHORTEST ? (derivative[j] - along * g[j] * inverse) * inverse : 0;
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
        double *derivative = r.derivative + i * r.stride, sum = 0, teacher_sum = 0, along = 0;
        for (int j = lane; j < r.n; j += WARP) {
            sum += closeness(r.student, r.stride, i, j);
            teacher_sum += closeness(r.teacher, r.stride, i, j);
        }
        sum = warp_sum(sum), teacher_sum = warp_sum(teacher_sum);
        for (int j = lane; j < r.n; j += WARP) {
            const double q = closeness(r.student, r.stride, i, j) / sum;
            const double p = closeness(r.teacher, r.stride, i, j) / teacher_sum;
            value += share * p * log((p + PKT_EPSILON) / (q + PKT_EPSILON));
            derivative[j] = -share * p / (q + PKT_EPSILON); /* of q */
            along += derivative[j] * q;
        }
        along = warp_sum(along);
        for (int j = lane; j < r.n; j += WARP)
            derivative[j] = (derivative[j] - along) / sum / 2 * inverse_norm(r.student, r.stride, i) *
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
            along += (r.derivative[i * r.stride + j] + r.derivative[j * r.stride + i]) * r.student[i * r.stride + j];
        along = warp_sum(along);
        __syncwarp();
        if (threadIdx.x % WARP == 0 && r.student[i * r.stride + i] != 0)
            r.derivative[i * r.stride + i] -=
                along * inverse_norm(r.student, r.stride, i) / (2 * sqrt(r.student[i * r.stride + i]));
    }
}

static size_t similarity_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const size_t n = shape->batch;
    (void)term;
    return RELATION_MATRICES * n * n * sizeof(double);
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
    {},                                      /* terms on logits and values */
    {launch_distance, distance_scratch},     /* LOSS_RKD_DISTANCE */
    {launch_angle, angle_scratch},           /* LOSS_RKD_ANGLE */
    {launch_similarity, similarity_scratch}, /* LOSS_SP */
    {launch_pkt, similarity_scratch},        /* LOSS_PKT */
};
