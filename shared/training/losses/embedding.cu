#include "shared/training/losses/embedding.cuh"

#include "shared/training/losses/row_products.cuh"

static __device__ __forceinline__ size_t teacher_length(const struct cuda_loss_args &args)
{
    return (size_t)args.batch.shape.teacher_pixels * args.batch.shape.teacher_channels;
}

static __global__ void __launch_bounds__(PRODUCT_THREADS) embed(struct cuda_loss_args args)
{
    const struct loss_batch &b = args.batch;
    const struct embedding e = embedding_of(args);
    const float *parameters = b.parameters + blockIdx.y * b.parameter_stride;
    const struct product_side teacher = {b.teacher, e.n}, weight = {parameters + b.learned[LEARNED_WEIGHT], SIZE};
    row_products(teacher, weight, teacher_length(args), parameters + b.learned[LEARNED_BIAS], e.values, SIZE);
}

/* The gradients of W and b from the derivatives by the embedding; the first block makes b's. */
static __global__ void __launch_bounds__(COMBINE_THREADS) embedding_gradients(struct cuda_loss_args args)
{
    const struct loss_batch &b = args.batch;
    const struct embedding e = embedding_of(args);
    float *gradients = b.parameter_gradients + blockIdx.y * b.parameter_stride;
    struct combination c = {};
    c.m = e.derivatives;
    c.stride = SIZE;
    c.x = b.teacher;
    c.out_rows = SIZE;
    c.x_rows = e.n;
    c.length = teacher_length(args);
    c.scale = loss_weight(args);
    c.out = gradients + b.learned[LEARNED_WEIGHT];
    combine_rows(c);
    for (int d = threadIdx.x; blockIdx.x == 0 && d < SIZE; d += COMBINE_THREADS) {
        number sum = 0;
        for (int i = 0; i < e.n; i++)
            sum += e.derivatives[(size_t)i * SIZE + d];
        gradients[b.learned[LEARNED_BIAS] + d] = (float)(c.scale * sum);
    }
}

void launch_embedding(cudaStream_t stream, const struct cuda_loss_args *args)
{
    const struct loss_batch *b = &args->batch;
    LAUNCH(embed, dim3(product_blocks(b->shape.batch, SIZE), b->students, 1), PRODUCT_THREADS, 0, stream, *args);
}

void launch_embedding_gradients(cudaStream_t stream, const struct cuda_loss_args *args)
{
    const struct loss_batch *b = &args->batch;
    const size_t length = (size_t)b->shape.teacher_pixels * b->shape.teacher_channels;
    if (b->parameter_gradients)
        LAUNCH(embedding_gradients, dim3(combine_blocks(SIZE, length), b->students, 1), COMBINE_THREADS, 0, stream,
               *args);
}
