/* The mean over rows of 1 - cos(f_s, f_t), rows flattened.
 *
 * Idea and bytes moved: as at.cu, one block per row. */
#include "shared/training/losses/feature_rows.cuh"

static __global__ void __launch_bounds__(FEATURE_THREADS) cosine(struct cuda_loss_args args)
{
    const struct feature_rows f = feature_rows_of(args);
    const double share = share_of(f.rows, 1), factor = loss_weight(args) * share;
    double value = 0; /* sum over the rows, in the first thread */
    for (int row = blockIdx.x; row < f.rows; row += gridDim.x) {
        const float *student = f.student + row * f.size, *teacher = f.teacher + row * f.size;
        number parts[3] = {0, 0, 0};
        for (size_t i = threadIdx.x; i < f.size; i += FEATURE_THREADS) {
            add_product(&parts[0], student[i], student[i]);
            add_product(&parts[1], teacher[i], teacher[i]);
            add_product(&parts[2], student[i], teacher[i]);
        }
        double sums[3] = {(double)parts[0], (double)parts[1], (double)parts[2]};
        sum_for_block<3>(sums);
        const double squares = sums[0] + COSINE_EPSILON, length = sqrt(squares * (sums[1] + COSINE_EPSILON));
        const double cosine_of_row = sums[2] / length;
        const number along = factor * cosine_of_row / squares, across = factor / length;
        value += threadIdx.x == 0 ? 1 - cosine_of_row : 0;
        for (size_t i = threadIdx.x; f.gradient && i < f.size; i += FEATURE_THREADS)
            f.gradient[row * f.size + i] += (float)(along * student[i] - across * teacher[i]);
    }
    loss_finish(args, value, share);
}

static void launch_cosine(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    (void)terms;
    LAUNCH(cosine, feature_row_grid(&args->batch), FEATURE_THREADS, 0, stream, *args);
}

extern "C" const struct cuda_loss cuda_cosine = {LOSS_COSINE, launch_cosine, NULL};
