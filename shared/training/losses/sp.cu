/* Similarity-preserving distillation: |G_s - G_t|^2 / n^2 of the Gram matrices with normalised rows. One warp per
 * row; in double, because squares of elements of G may be beyond the range of floats, and there are only n^2. */
#include "shared/training/losses/gram.cuh"

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) sp(struct cuda_loss_args args)
{
    const struct gram_matrices r = gram_matrices_of(args);
    const int lane = threadIdx.x % WARP;
    const double share = 1.0 / ((double)r.n * r.n);
    double value = 0;
    for (int i = loss_first_row(); i < r.n; i += loss_row_step()) {
        const number *g = r.student + i * r.stride, *teacher = r.teacher + i * r.stride;
        number *derivative = r.derivative + i * r.stride;
        double squares = 0, teacher_squares = 0, along = 0;
        for (int j = lane; j < r.n; j += WARP) {
            squares += (double)g[j] * (double)g[j];
            teacher_squares += (double)teacher[j] * (double)teacher[j];
        }
        const double norm = sqrt(warp_sum(squares)), inverse = inverse_clamped(norm);
        const double teacher_inverse = inverse_clamped(sqrt(warp_sum(teacher_squares)));
        for (int j = lane; j < r.n; j += WARP) {
            const double cosine = (double)g[j] * inverse, difference = cosine - (double)teacher[j] * teacher_inverse;
            value += share * difference * difference;
            derivative[j] = 2 * share * difference;
            along += 2 * share * difference * cosine;
        }
        along = warp_sum(along);
        for (int j = lane; j < r.n; j += WARP)
            derivative[j] =
                norm > NORM_SHORTEST ? ((double)derivative[j] - along * (double)g[j] * inverse) * inverse : 0.0;
    }
    loss_finish(args, value, 1);
}

static size_t sp_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return gram_scratch(shape, 0, 0);
}

static void launch_sp(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    (void)terms;
    launch_gram(stream, args);
    LAUNCH(sp, loss_grid(&args->batch), LOSS_WARPS * WARP, 0, stream, *args);
    launch_gram_back(stream, args);
}

extern "C" const struct cuda_loss cuda_sp = {LOSS_SP, launch_sp, sp_scratch};
