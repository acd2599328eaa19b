/* Correlation congruence: the mean over neighbouring rows of sum_d |D_i| |D_{i+1}|, where D is the student's embedding
 * less the teacher's. One warp per row; in double, because a row has only 128 numbers. */
#include "shared/training/losses/embedding.cuh"

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) cc(struct cuda_loss_args args)
{
    const struct embedding e = embedding_of(args);
    const float *student = args.batch.student + blockIdx.y * args.batch.student_stride;
    float *gradient = args.batch.student_gradient;
    const double share = e.n > 1 ? 1.0 / (e.n - 1) : 0, weight = loss_weight(args);
    number value = 0;
    for (int row = loss_first_row(); row < e.n; row += loss_row_step())
        for (int d = threadIdx.x % WARP; d < SIZE; d += WARP) {
            const size_t i = (size_t)row * SIZE + d;
            const double mine = student[i] - (double)e.values[i];
            const double next = row + 1 < e.n ? fabs(student[i + SIZE] - (double)e.values[i + SIZE]) : 0;
            const double before = row > 0 ? fabs(student[i - SIZE] - (double)e.values[i - SIZE]) : 0;
            const struct loss_part part = cc_part(share, mine, before, next);
            value += part.value;
            e.derivatives[i] = -part.derivative;
            if (gradient)
                gradient[blockIdx.y * args.batch.student_stride + i] += (float)(weight * part.derivative);
        }
    loss_finish(args, value, 1);
}

static size_t cc_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return (size_t)shape->batch * EMBEDDING_NUMBERS * sizeof(double);
}

static void launch_cc(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    (void)terms;
    launch_embedding(stream, args);
    LAUNCH(cc, loss_grid(&args->batch), LOSS_WARPS * WARP, 0, stream, *args);
    launch_embedding_gradients(stream, args);
}

extern "C" const struct cuda_loss cuda_cc = {LOSS_CC, launch_cc, cc_scratch};
