/* Probabilistic knowledge transfer: the divergence between the rows' similarities (cos + 1) / 2, divided by their sums,
 * of teacher and student. One warp per row; similarities are computed from the Gram matrix wherever they are needed. */
#include "shared/training/losses/gram.cuh"

/* (cos + 1) / 2 */
static __device__ __forceinline__ number similarity_of(const number *gram, size_t stride, int i, int j)
{
    return cosine_similarity(gram[i * stride + j], inverse_norm(gram, stride, i), inverse_norm(gram, stride, j));
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) pkt(struct cuda_loss_args args)
{
    const struct gram_matrices r = gram_matrices_of(args);
    const int lane = threadIdx.x % WARP;
    const number share = (number)1 / ((number)r.n * r.n);
    number value = 0;
    for (int i = loss_first_row(); i < r.n; i += loss_row_step()) {
        number *derivative = r.derivative + i * r.stride, sum = 0, teacher_sum = 0, along = 0;
        for (int j = lane; j < r.n; j += WARP) {
            sum += similarity_of(r.student, r.stride, i, j);
            teacher_sum += similarity_of(r.teacher, r.stride, i, j);
        }
        sum = warp_sum(sum), teacher_sum = warp_sum(teacher_sum);
        for (int j = lane; j < r.n; j += WARP) {
            const number q = similarity_of(r.student, r.stride, i, j) / sum;
            const number p = similarity_of(r.teacher, r.stride, i, j) / teacher_sum;
            const struct loss_part part = pkt_part(share, p, q);
            value += part.value;
            derivative[j] = part.derivative;
            along += derivative[j] * q;
        }
        along = warp_sum(along);
        for (int j = lane; j < r.n; j += WARP)
            derivative[j] = (derivative[j] - along) / sum / 2 * inverse_norm(r.student, r.stride, i) *
                            inverse_norm(r.student, r.stride, j);
    }
    loss_finish(args, value, 1);
}

/* Adds to A what goes through the norms, which depend on G_ii. */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP) pkt_norms(struct cuda_loss_args args)
{
    const struct gram_matrices r = gram_matrices_of(args);
    for (int i = loss_first_row(); i < r.n; i += loss_row_step()) {
        number along = 0;
        for (int j = threadIdx.x % WARP; j < r.n; j += WARP)
            along += (r.derivative[i * r.stride + j] + r.derivative[j * r.stride + i]) * r.student[i * r.stride + j];
        along = warp_sum(along);
        __syncwarp();
        if (threadIdx.x % WARP == 0 && r.student[i * r.stride + i] > 0)
            r.derivative[i * r.stride + i] -=
                along * inverse_norm(r.student, r.stride, i) / (2 * sqrt(r.student[i * r.stride + i]));
    }
}

static size_t pkt_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return gram_scratch(shape, 0, 0);
}

static void launch_pkt(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    const dim3 grid = loss_grid(&args->batch);
    (void)terms;
    launch_gram(stream, args);
    LAUNCH(pkt, grid, LOSS_WARPS * WARP, 0, stream, *args);
    LAUNCH(pkt_norms, grid, LOSS_WARPS * WARP, 0, stream, *args);
    launch_gram_back(stream, args);
}

extern "C" const struct cuda_loss cuda_pkt = {LOSS_PKT, launch_pkt, pkt_scratch};
