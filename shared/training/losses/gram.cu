#include "shared/training/losses/gram.cuh"

#include "shared/training/losses/row_products.cuh"

size_t gram_scratch(const struct loss_shape *shape, size_t matrices, size_t numbers)
{
    const size_t n = shape->batch;
    return ((GRAM_MATRICES + matrices) * n * n + numbers) * sizeof(number);
}

/* The last student (blockIdx.y) is the teacher. */
static __global__ void __launch_bounds__(PRODUCT_THREADS) gram(struct cuda_loss_args args)
{
    const struct loss_shape &s = args.batch.shape;
    const bool teacher = (int)blockIdx.y == args.batch.students;
    const size_t stride = s.batch;
    const struct product_side side = {teacher ? args.batch.teacher
                                              : args.batch.student + blockIdx.y * args.batch.student_stride,
                                      loss_row_count(args, teacher ? 0 : blockIdx.y)};
    number *out = teacher ? loss_scratch(args, 0) + stride * stride : loss_scratch(args, blockIdx.y);
    row_products(side, side, teacher ? (size_t)s.teacher_pixels * s.teacher_channels : (size_t)s.pixels * s.channels,
                 NULL, out, stride);
}

static __global__ void __launch_bounds__(COMBINE_THREADS) gram_back(struct cuda_loss_args args)
{
    const struct gram_matrices r = gram_matrices_of(args);
    struct combination c = {};
    c.m = r.derivative;
    c.stride = r.stride;
    c.symmetric = true;
    c.x = args.batch.student + blockIdx.y * args.batch.student_stride;
    c.out_rows = c.x_rows = r.n;
    c.length = (size_t)args.batch.shape.pixels * args.batch.shape.channels;
    c.scale = loss_weight(args);
    c.add = true;
    c.out = args.batch.student_gradient + blockIdx.y * args.batch.student_stride;
    combine_rows(c);
}

void launch_gram(cudaStream_t stream, const struct cuda_loss_args *args)
{
    const int n = args->batch.shape.batch;
    LAUNCH(gram, dim3(product_blocks(n, n), args->batch.students + 1, 1), PRODUCT_THREADS, 0, stream, *args);
}

void launch_gram_back(cudaStream_t stream, const struct cuda_loss_args *args)
{
    const struct loss_shape *s = &args->batch.shape;
    if (args->batch.student_gradient)
        LAUNCH(gram_back, dim3(combine_blocks(s->batch, (size_t)s->pixels * s->channels), args->batch.students, 1),
               COMBINE_THREADS, 0, stream, *args);
}
