/* Multi-level distillation: kd at five temperatures, and how the probabilities of the batch's rows and of its classes
 * relate to one another.
 *
 * Idea: three launches, each for all students and all temperatures. One warp per row makes both sides' probabilities;
 * one warp per pair of classes makes its entry of the class relations, which also give the batch's (losses.h); one warp
 * per row writes the gradient. Work is n * classes^2 for the second and the third; at 128 rows of 11 classes only the
 * launches are felt. Bytes moved: the probabilities once out and twice in, the entries once out and once in
 * per row, from the second-level cache. */
#include "shared/training/losses/logit_row.cuh"

/* For each student. */
struct mlkd_options {
    double temperature[TRAINING_MAX_STUDENTS], beta[TRAINING_MAX_STUDENTS], gamma[TRAINING_MAX_STUDENTS];
};

/* A student's scratch memory at one temperature. */
struct mlkd_memory {
    number *q, *p, *derivatives; /* [count, classes] probabilities of the student, of the teacher; derivatives by q */
    struct mlkd_entry *entries;  /* [classes, classes] */
};
static __device__ __forceinline__ struct mlkd_memory memory_of(const struct cuda_loss_args &args, int j)
{
    const size_t classes = args.inputs.classes, values = (size_t)args.batch.shape.batch * classes;
    number *q = loss_scratch(args, blockIdx.y) + j * 3 * (values + classes * classes);
    return {q, q + values, q + 2 * values, (struct mlkd_entry *)(q + 3 * values)};
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    mlkd_probabilities(struct cuda_loss_args args, struct mlkd_options options)
{
    const int classes = args.inputs.classes;
    for (int i = loss_first_row(); i < args.batch.count; i += loss_row_step()) {
        const struct row_scores student = loss_student_scores(args, i), teacher = loss_teacher_scores(args, i);
        const bool left_out = row_left_out(args, i); /* zeros relate to no other row */
        for (int j = 0; j < MLKD_TEMPERATURES; j++) {
            const struct mlkd_memory memory = memory_of(args, j);
            const number inverse = 1 / mlkd_temperature(options.temperature[blockIdx.y], j);
            const struct log_softmax q = log_softmax_of(student, -1, inverse), p = log_softmax_of(teacher, -1, inverse);
            for (int k = threadIdx.x % WARP; k < classes; k += WARP) {
                memory.q[(size_t)i * classes + k] = left_out ? 0 : exp(log_probability(&q, student.z[k]));
                memory.p[(size_t)i * classes + k] = left_out ? 0 : exp(log_probability(&p, teacher.z[k]));
            }
        }
    }
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) mlkd_entries(struct cuda_loss_args args)
{
    const size_t classes = args.inputs.classes, pairs = classes * classes;
    for (size_t at = loss_first_row(); at < MLKD_TEMPERATURES * pairs; at += loss_row_step()) {
        const struct mlkd_memory memory = memory_of(args, (int)(at / pairs));
        const size_t l = at % pairs / classes, k = at % classes;
        number a = 0, b = 0, c = 0;
        for (size_t i = threadIdx.x % WARP; i < (size_t)args.batch.count; i += WARP) {
            const number *q = memory.q + i * classes, *p = memory.p + i * classes;
            add_product(&a, q[l], q[k]);
            add_product(&b, p[l], q[k]);
            add_product(&c, p[l], p[k]);
        }
        a = warp_sum(rounded(a));
        b = warp_sum(rounded(b));
        c = warp_sum(rounded(c));
        if (threadIdx.x % WARP == 0)
            memory.entries[l * classes + k] = {a, b, c};
    }
}

/* The divergence of a row at one temperature, and its gradient. Returns this lane's part of the value. */
static __device__ number mlkd_row(const struct cuda_loss_args &args, const struct mlkd_memory &memory, int row,
                                  number temperature, number by_batch, number by_class)
{
    const int classes = args.inputs.classes, lane = threadIdx.x % WARP;
    const struct row_scores student = loss_student_scores(args, row), teacher = loss_teacher_scores(args, row);
    const struct log_softmax log_q = log_softmax_of(student, -1, 1 / temperature);
    const struct log_softmax log_p = log_softmax_of(teacher, -1, 1 / temperature);
    const number *q = memory.q + (size_t)row * classes, *p = memory.p + (size_t)row * classes;
    number *derivatives = memory.derivatives + (size_t)row * classes;
    float *gradient = loss_gradient(args, row);
    number value = 0, mean = 0; /* of the derivatives, weighted by q: the derivative of softmax subtracts it */
    for (int k = lane; k < classes; k += WARP) {
        number sum = 0;
        value += kl_part(log_probability(&log_p, teacher.z[k]), log_probability(&log_q, student.z[k]));
        for (int l = 0; gradient && l < classes; l++)
            sum += mlkd_entry_derivative(&memory.entries[(size_t)l * classes + k], by_batch, by_class, q[l], p[l]);
        derivatives[k] = sum; /* only this lane reads it again */
        mean += q[k] * sum;
    }
    mean = warp_sum(mean);
    for (int k = lane; gradient && k < classes; k += WARP)
        gradient[k] += (float)(loss_weight(args) * (q[k] * (derivatives[k] - mean) / temperature +
                                                    temperature * (q[k] - p[k]) / args.batch.count));
    return temperature * temperature * value / args.batch.count;
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    mlkd_rows(struct cuda_loss_args args, struct mlkd_options options)
{
    const size_t classes = args.inputs.classes;
    const number by_batch = options.beta[blockIdx.y] / args.batch.count, by_class = options.gamma[blockIdx.y] / classes;
    number value = 0;
    for (int j = 0; j < MLKD_TEMPERATURES; j++) {
        const struct mlkd_memory memory = memory_of(args, j);
        const number temperature = mlkd_temperature(options.temperature[blockIdx.y], j);
        for (size_t at = (size_t)loss_first_row() * WARP + threadIdx.x % WARP; at < classes * classes;
             at += (size_t)loss_row_step() * WARP)
            value += mlkd_entry_value(&memory.entries[at], by_batch, by_class);
        for (int row = loss_first_row(); row < args.batch.count; row += loss_row_step())
            if (!row_left_out(args, row))
                value += mlkd_row(args, memory, row, temperature, by_batch, by_class);
    }
    loss_finish(args, value, 1);
}

static void launch_mlkd(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    struct mlkd_options options = {};
    for (int student = 0; student < args->batch.students; student++) {
        options.temperature[student] = terms[student].temperature;
        options.beta[student] = terms[student].beta;
        options.gamma[student] = terms[student].gamma;
    }
    LAUNCH(mlkd_probabilities, loss_grid(&args->batch), LOSS_WARPS * WARP, 0, stream, *args, options);
    LAUNCH(mlkd_entries, loss_grid(&args->batch), LOSS_WARPS * WARP, 0, stream, *args);
    LAUNCH(mlkd_rows, loss_grid(&args->batch), LOSS_WARPS * WARP, 0, stream, *args, options);
}

static size_t mlkd_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const size_t batch = shape->batch, classes = shape->classes;
    (void)term;
    return MLKD_TEMPERATURES * 3 * (batch * classes + classes * classes) * sizeof(double);
}

extern "C" const struct cuda_loss cuda_mlkd = {LOSS_MLKD, launch_mlkd, mlkd_scratch};
