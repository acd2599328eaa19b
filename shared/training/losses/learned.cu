/* Terms with embeddings that are trained beside the student: the teacher's embedding and its gradients, which are
 * products of rows (cuda_rows.cuh), and correlation congruence, a warp a row; cpu_loss_learned.c says what they
 * compute. */
#include "shared/training/losses/learned.cuh"

#include "shared/training/losses/row_products.cuh"

/* ---- the teacher's embedding ---- */
static __device__ __forceinline__ size_t teacher_length(const struct loss_rows &rows)
{
    return (size_t)rows.batch.shape.teacher_pixels * rows.batch.shape.teacher_channels;
}

static __global__ void __launch_bounds__(PRODUCT_THREADS) embed(struct loss_rows rows)
{
    const struct loss_batch &b = rows.batch;
    const struct embedding e = embedding_of(rows);
    const float *parameters = b.parameters + blockIdx.y * b.parameter_stride;
    const struct product_side teacher = {b.teacher, e.n}, weight = {parameters + b.learned[LEARNED_WEIGHT], SIZE};
    row_products(teacher, weight, teacher_length(rows), parameters + b.learned[LEARNED_BIAS], e.values, SIZE);
}

/* The gradients of W and b out of the embedding's derivatives; the first block has b. */
static __global__ void __launch_bounds__(COMBINE_THREADS) give_parameters(struct loss_rows rows)
{
    const struct loss_batch &b = rows.batch;
    const struct embedding e = embedding_of(rows);
    float *gradients = b.parameter_gradients + blockIdx.y * b.parameter_stride;
    struct combination c = {};
    c.m = e.derivatives;
    c.stride = SIZE;
    c.x = b.teacher;
    c.out_rows = SIZE;
    c.x_rows = e.n;
    c.length = teacher_length(rows);
    c.scale = loss_weight(rows);
    c.out = gradients + b.learned[LEARNED_WEIGHT];
    combine_rows(c);
    for (int d = threadIdx.x; blockIdx.x == 0 && d < SIZE; d += COMBINE_THREADS) {
        double sum = 0;
        for (int i = 0; i < e.n; i++)
            sum += e.derivatives[(size_t)i * SIZE + d];
        gradients[b.learned[LEARNED_BIAS] + d] = (float)(c.scale * sum);
    }
}

void launch_embedding(cudaStream_t stream, const struct loss_rows *rows)
{
    const struct loss_batch *b = &rows->batch;
    LAUNCH(embed, dim3(product_blocks(b->shape.batch, SIZE), b->students, 1), PRODUCT_THREADS, 0, stream, *rows);
}

void launch_embedding_gradients(cudaStream_t stream, const struct loss_rows *rows)
{
    const struct loss_batch *b = &rows->batch;
    const size_t length = (size_t)b->shape.teacher_pixels * b->shape.teacher_channels;
    if (b->parameter_gradients)
        LAUNCH(give_parameters, dim3(combine_blocks(SIZE, length), b->students, 1), COMBINE_THREADS, 0, stream, *rows);
}

/* ---- correlation congruence ---- */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP) correlation(struct loss_rows rows)
{
    const struct embedding e = embedding_of(rows);
    const float *student = rows.batch.student + blockIdx.y * rows.batch.student_stride;
    float *gradient = rows.batch.student_gradient;
    const double share = e.n > 1 ? 1.0 / (e.n - 1) : 0, weight = loss_weight(rows);
    double value = 0;
    for (int row = loss_first_row(); row < e.n; row += loss_row_step())
        for (int d = threadIdx.x % WARP; d < SIZE; d += WARP) {
            const size_t i = (size_t)row * SIZE + d;
            const double mine = student[i] - e.values[i];
            const double next = row + 1 < e.n ? fabs(student[i + SIZE] - e.values[i + SIZE]) : 0;
            const double before = row > 0 ? fabs(student[i - SIZE] - e.values[i - SIZE]) : 0;
            const double derivative = share * ((mine > 0) - (mine < 0)) * (next + before);
            value += share * fabs(mine) * next;
            e.derivatives[i] = -derivative;
            if (gradient)
                gradient[blockIdx.y * rows.batch.student_stride + i] += (float)(weight * derivative);
        }
    loss_finish(rows, value, 1);
}

static size_t correlation_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return (size_t)shape->batch * EMBEDDING_DOUBLES * sizeof(double);
}

static void launch_correlation(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    (void)terms;
    launch_embedding(stream, rows);
    LAUNCH(correlation, loss_grid(&rows->batch), LOSS_WARPS * WARP, 0, stream, *rows);
    launch_embedding_gradients(stream, rows);
}

extern "C" const struct cuda_term_kind cuda_learned_terms[LOSS_KIND_COUNT] = {
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {},                                        /* terms on logits, values and relations */
    {launch_correlation, correlation_scratch}, /* LOSS_CC */
    {launch_contrast, contrast_scratch},       /* LOSS_CRD */
};
