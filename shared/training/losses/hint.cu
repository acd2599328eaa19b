/* FitNets' hints: the mean of (f_s - f_t)^2, relative to the teacher's or not, or of smooth L1, over all elements.
 *
 * Idea: threads walk over all elements, four at a time if rows allow it. Bytes moved: student and teacher once, the
 * gradient in and out: the floor. At 128 rows of 14 x 14 x 96 that is 39 MB per student. */
#include "shared/training/cuda/cuda_channels.cuh"
#include "shared/training/losses/feature_rows.cuh"

/* For each student. */
struct hint_options {
    enum loss_distance distance[TRAINING_MAX_STUDENTS];
    double unit[TRAINING_MAX_STUDENTS]; /* hint_unit */
};

template <int V>
static __global__ void __launch_bounds__(FEATURE_THREADS) hint(struct cuda_loss_args args, struct hint_options options)
{
    const struct feature_rows f = feature_rows_of(args);
    const enum loss_distance distance = options.distance[blockIdx.y];
    const number share = share_of(f.rows, f.size) * options.unit[blockIdx.y], factor = loss_weight(args) * share;
    number sum = 0;
    for (size_t i = ((size_t)blockIdx.x * FEATURE_THREADS + threadIdx.x) * V; i < f.total;
         i += (size_t)gridDim.x * FEATURE_THREADS * V) {
        float student[V], teacher[V], gradient[V];
        clear<V>(gradient);
        load_vector<V>(f.student + i, student);
        load_vector<V>(f.teacher + i, teacher);
        if (f.gradient)
            load_vector<V>(f.gradient + i, gradient);
#pragma unroll
        for (int v = 0; v < V; v++) {
            const struct loss_part part = penalty_of(distance, (number)student[v] - teacher[v]);
            sum += part.value;
            gradient[v] += (float)(factor * part.derivative);
        }
        if (f.gradient)
            store_vector<V>(f.gradient + i, gradient);
    }
    loss_finish(args, sum, share);
}

/* Rows, and so all of a student's features, can be read four floats at a time. */
static bool in_fours(const struct loss_batch *batch)
{
    const uintptr_t places = (uintptr_t)batch->student | (uintptr_t)batch->student_gradient | (uintptr_t)batch->teacher;
    return batch->shape.pixels * batch->shape.channels % 4 == 0 && batch->student_stride % 4 == 0 && places % 16 == 0;
}

static void launch_hint(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    const struct loss_batch *batch = &args->batch;
    const size_t floats = (size_t)batch->count * batch->shape.pixels * batch->shape.channels;
    const int width = in_fours(batch) ? 4 : 1;
    const dim3 grid(feature_blocks((floats + FEATURE_THREADS * width - 1) / (FEATURE_THREADS * width)), batch->students,
                    1);
    struct hint_options options = {};
    for (int student = 0; student < batch->students; student++) {
        options.distance[student] = terms[student].distance;
        options.unit[student] = hint_unit(&terms[student]);
    }
    DISPATCH_WIDTH(width, LAUNCH(hint<V>, grid, FEATURE_THREADS, 0, stream, *args, options));
}

extern "C" const struct cuda_loss cuda_hint = {LOSS_HINT, launch_hint, NULL};
