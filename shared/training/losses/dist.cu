/* DIST: how the student's probabilities correlate with the teacher's, by rows (a sample's classes) and by columns (a
 * class's samples).
 *
 * Idea: three launches, for all students each: a warp a row makes both sides' probabilities, a warp a column correlates
 * them, a warp a row correlates its own and writes the gradient, which wants all columns. Columns are read with a
 * stride of the classes: at the sizes of a batch all of it stays in the second-level cache. Bytes moved: logits once,
 * the gradient once in and once out, and the probabilities (double) once out, twice in: at 128 rows of 11 classes 22 kB
 * and 23 kB, and the launches are all that is felt. */
#include "shared/training/losses/logits.h"
#include "shared/training/losses/logit_row.cuh"

struct dist {
    struct {
        double temperature, beta, gamma;
    } of[TRAINING_MAX_STUDENTS];
};

/* Pearson's correlation of a row or column x of the student's probabilities with y of the teacher's, both less their
 * means: r = dot / (|x| |y| + 1e-8), dr/dx = along_y * y - along_x * x. */
struct correlation {
    double mean_x, mean_y, r, along_x, along_y;
};

static __device__ __forceinline__ struct correlation correlation_of(const double *x, const double *y, int count,
                                                                    size_t stride)
{
    struct correlation c = {0, 0, 0, 0, 0};
    double dot = 0, xx = 0, yy = 0;
    for (int i = threadIdx.x % WARP; i < count; i += WARP) {
        c.mean_x += x[i * stride];
        c.mean_y += y[i * stride];
    }
    c.mean_x = warp_sum(c.mean_x) / count;
    c.mean_y = warp_sum(c.mean_y) / count;
    for (int i = threadIdx.x % WARP; i < count; i += WARP) {
        const double a = x[i * stride] - c.mean_x, b = y[i * stride] - c.mean_y;
        dot += a * b;
        xx += a * a;
        yy += b * b;
    }
    dot = warp_sum(dot);
    const double norm_x = sqrt(warp_sum(xx)), norm_y = sqrt(warp_sum(yy)), norms = norm_x * norm_y + 1e-8;
    c.r = dot / norms;
    c.along_y = 1 / norms;
    c.along_x = norm_x > 0 ? dot / norms / norms * norm_y / norm_x : 0;
    return c;
}

static __device__ __forceinline__ double correlation_derivative(const struct correlation &c, double x, double y)
{
    return c.along_y * (y - c.mean_y) - c.along_x * (x - c.mean_x);
}

/* A student's scratch memory: probabilities of the student and the teacher [count, classes] each, columns [classes]. */
struct dist_memory {
    double *q, *p;
    struct correlation *columns;
};
static __device__ __forceinline__ struct dist_memory memory_of(const struct loss_rows &rows)
{
    const size_t values = (size_t)rows.batch.count * rows.inputs.classes;
    double *q = loss_scratch(rows, blockIdx.y);
    return {q, q + values, (struct correlation *)(q + 2 * values)};
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) dist_probabilities(struct loss_rows rows, struct dist dist)
{
    const struct dist_memory memory = memory_of(rows);
    const int classes = rows.inputs.classes;
    const double inverse = 1 / dist.of[blockIdx.y].temperature;
    for (int i = loss_first_row(); i < rows.batch.count; i += loss_row_step()) {
        const struct row_scores student = loss_student_scores(rows, i), teacher = loss_teacher_scores(rows, i);
        const struct log_softmax q = log_softmax_of(student, -1, inverse), p = log_softmax_of(teacher, -1, inverse);
        for (int k = threadIdx.x % WARP; k < classes; k += WARP) {
            memory.q[(size_t)i * classes + k] = exp(log_probability(q, student.z[k]));
            memory.p[(size_t)i * classes + k] = exp(log_probability(p, teacher.z[k]));
        }
    }
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) dist_columns(struct loss_rows rows)
{
    const struct dist_memory memory = memory_of(rows);
    const int classes = rows.inputs.classes;
    for (int k = loss_first_row(); k < classes; k += loss_row_step()) {
        const struct correlation column = correlation_of(memory.q + k, memory.p + k, rows.batch.count, classes);
        if (threadIdx.x % WARP == 0)
            memory.columns[k] = column;
    }
}

/* T^2 * (beta * (1 - mean r of the rows) + gamma * (1 - mean r of the columns)) */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP) dist_rows(struct loss_rows rows, struct dist dist)
{
    const struct dist_memory memory = memory_of(rows);
    const int classes = rows.inputs.classes, lane = threadIdx.x % WARP, count = rows.batch.count;
    const double t = dist.of[blockIdx.y].temperature, weight = loss_weight(rows) * t;
    const double by_row = dist.of[blockIdx.y].beta / count, by_column = dist.of[blockIdx.y].gamma / classes;
    double value = 0;
    for (int k = loss_first_row() * WARP + lane; k < classes; k += loss_row_step() * WARP)
        value += by_column * (1 - memory.columns[k].r);
    for (int i = loss_first_row(); i < count; i += loss_row_step()) {
        const double *q = memory.q + (size_t)i * classes, *p = memory.p + (size_t)i * classes;
        const struct correlation row = correlation_of(q, p, classes, 1);
        float *gradient = loss_gradient(rows, i);
        double mean = 0; /* of the derivatives, by q: softmax's derivative takes it off */
        if (lane == 0)
            value += by_row * (1 - row.r);
        for (int pass = 0; gradient && pass < 2; pass++) {
            for (int k = lane; k < classes; k += WARP) {
                const double derivative = -by_row * correlation_derivative(row, q[k], p[k]) -
                                          by_column * correlation_derivative(memory.columns[k], q[k], p[k]);
                if (pass == 0)
                    mean += q[k] * derivative;
                else
                    gradient[k] += (float)(weight * q[k] * (derivative - mean));
            }
            mean = pass == 0 ? warp_sum(mean) : mean;
        }
    }
    loss_finish(rows, value, t * t);
}

size_t dist_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const size_t batch = (size_t)shape->batch, classes = (size_t)shape->classes;
    (void)term;
    return 2 * batch * classes * sizeof(double) + classes * sizeof(struct correlation);
}

void launch_dist(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    const dim3 by_row = loss_grid(&rows->batch);
    const dim3 by_column((rows->inputs.classes + LOSS_WARPS - 1) / LOSS_WARPS, rows->batch.students, 1);
    struct dist dist = {};
    for (int student = 0; student < rows->batch.students; student++) {
        dist.of[student].temperature = terms[student].temperature;
        dist.of[student].beta = terms[student].beta;
        dist.of[student].gamma = terms[student].gamma;
    }
    LAUNCH(dist_probabilities, by_row, LOSS_WARPS * WARP, 0, stream, *rows, dist);
    LAUNCH(dist_columns, by_column, LOSS_WARPS * WARP, 0, stream, *rows);
    LAUNCH(dist_rows, by_row, LOSS_WARPS * WARP, 0, stream, *rows, dist);
}
