/* DIST: how the student's probabilities correlate with the teacher's, by rows (a sample's classes) and by columns (a
 * class's samples).
 *
 * Idea: three launches, each for all students. One warp per row makes both sides' probabilities; one warp per column
 * correlates them; one warp per row correlates its row and writes the gradient, which needs all columns. Columns are
 * read with a stride of the classes: at the sizes of a batch everything stays in the second-level cache.
 * Bytes moved: logits once, the gradient once in and once out, and the probabilities once out and twice in: at
 * 128 rows of 11 classes 22 kB and 23 kB, so that only the launches are felt. */
#include "shared/training/losses/logit_row.cuh"

/* For each student. */
struct dist_options {
    double temperature[TRAINING_MAX_STUDENTS], beta[TRAINING_MAX_STUDENTS], gamma[TRAINING_MAX_STUDENTS];
};

/* x, y: `count` numbers, `stride` apart, of which those of left_out (NULL: none) do not count. By a whole warp; every
 * lane gets the result. */
static __device__ __forceinline__ struct pearson pearson_of(const number *x, const number *y, int count, size_t stride,
                                                            const unsigned char *left_out)
{
    number mean_x = 0, mean_y = 0, ab = 0, aa = 0, bb = 0, kept = count;
    if (left_out) {
        kept = 0;
        for (int i = threadIdx.x % WARP; i < count; i += WARP)
            kept += !left_out[i];
        kept = fmax(warp_sum(kept), 1.0);
    }
    for (int i = threadIdx.x % WARP; i < count; i += WARP) {
        if (left_out && left_out[i])
            continue;
        mean_x += x[i * stride];
        mean_y += y[i * stride];
    }
    mean_x = warp_sum(mean_x) / kept;
    mean_y = warp_sum(mean_y) / kept;
    for (int i = threadIdx.x % WARP; i < count; i += WARP) {
        if (left_out && left_out[i])
            continue;
        const number a = x[i * stride] - mean_x, b = y[i * stride] - mean_y;
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    return pearson_from(mean_x, mean_y, warp_sum(ab), warp_sum(aa), warp_sum(bb));
}

/* A student's scratch memory. */
struct dist_memory {
    number *q, *p;           /* [count, classes] probabilities of the student, of the teacher */
    struct pearson *columns; /* [classes] */
};
static __device__ __forceinline__ struct dist_memory memory_of(const struct cuda_loss_args &args)
{
    const size_t values = (size_t)args.batch.count * args.inputs.classes;
    number *q = loss_scratch(args, blockIdx.y);
    return {q, q + values, (struct pearson *)(q + 2 * values)};
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    dist_probabilities(struct cuda_loss_args args, struct dist_options options)
{
    const struct dist_memory memory = memory_of(args);
    const int classes = args.inputs.classes;
    const number inverse = 1 / options.temperature[blockIdx.y];
    for (int i = loss_first_row(); i < args.batch.count; i += loss_row_step()) {
        const struct row_scores student = loss_student_scores(args, i), teacher = loss_teacher_scores(args, i);
        const struct log_softmax q = log_softmax_of(student, -1, inverse), p = log_softmax_of(teacher, -1, inverse);
        for (int k = threadIdx.x % WARP; k < classes; k += WARP) {
            memory.q[(size_t)i * classes + k] = exp(log_probability(&q, student.z[k]));
            memory.p[(size_t)i * classes + k] = exp(log_probability(&p, teacher.z[k]));
        }
    }
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) dist_columns(struct cuda_loss_args args)
{
    const struct dist_memory memory = memory_of(args);
    const int classes = args.inputs.classes;
    for (int k = loss_first_row(); k < classes; k += loss_row_step()) {
        const struct pearson column = pearson_of(memory.q + k, memory.p + k, args.batch.count, classes,
                                                 args.gate_bytes ? loss_left_out(args, blockIdx.y) : NULL);
        if (threadIdx.x % WARP == 0)
            memory.columns[k] = column;
    }
}

/* T^2 * (beta * (1 - mean r of the rows) + gamma * (1 - mean r of the columns)) */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    dist_rows(struct cuda_loss_args args, struct dist_options options)
{
    const struct dist_memory memory = memory_of(args);
    const int classes = args.inputs.classes, lane = threadIdx.x % WARP, count = args.batch.count;
    const number t = options.temperature[blockIdx.y], factor = loss_weight(args) * t;
    const number by_row = options.beta[blockIdx.y] / count, by_column = options.gamma[blockIdx.y] / classes;
    number value = 0;
    for (int k = loss_first_row() * WARP + lane; k < classes; k += loss_row_step() * WARP)
        value += by_column * (1 - memory.columns[k].r);
    for (int i = loss_first_row(); i < count; i += loss_row_step()) {
        const number *q = memory.q + (size_t)i * classes, *p = memory.p + (size_t)i * classes;
        if (row_left_out(args, i))
            continue;
        const struct pearson row = pearson_of(q, p, classes, 1, NULL);
        float *gradient = loss_gradient(args, i);
        number mean = 0; /* of the derivatives, weighted by q: the derivative of softmax subtracts it */
        if (lane == 0)
            value += by_row * (1 - row.r);
        for (int pass = 0; gradient && pass < 2; pass++) {
            for (int k = lane; k < classes; k += WARP) {
                const number derivative = -by_row * pearson_derivative(&row, q[k], p[k]) -
                                          by_column * pearson_derivative(&memory.columns[k], q[k], p[k]);
                if (pass == 0)
                    mean += q[k] * derivative;
                else
                    gradient[k] += (float)(factor * q[k] * (derivative - mean));
            }
            mean = pass == 0 ? warp_sum(mean) : mean;
        }
    }
    loss_finish(args, value, t * t);
}

static size_t dist_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const size_t batch = (size_t)shape->batch, classes = (size_t)shape->classes;
    (void)term;
    return 2 * batch * classes * sizeof(double) + classes * sizeof(struct pearson);
}

static void launch_dist(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    const dim3 by_row = loss_grid(&args->batch);
    const dim3 by_column((args->inputs.classes + LOSS_WARPS - 1) / LOSS_WARPS, args->batch.students, 1);
    struct dist_options options = {};
    for (int student = 0; student < args->batch.students; student++) {
        options.temperature[student] = terms[student].temperature;
        options.beta[student] = terms[student].beta;
        options.gamma[student] = terms[student].gamma;
    }
    LAUNCH(dist_probabilities, by_row, LOSS_WARPS * WARP, 0, stream, *args, options);
    LAUNCH(dist_columns, by_column, LOSS_WARPS * WARP, 0, stream, *args);
    LAUNCH(dist_rows, by_row, LOSS_WARPS * WARP, 0, stream, *args, options);
}

extern "C" const struct cuda_loss cuda_dist = {LOSS_DIST, launch_dist, dist_scratch};
