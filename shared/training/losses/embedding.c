#include "shared/training/losses/embedding.h"

#include "shared/training/losses/row_products.h"

enum { SIZE = LOSS_EMBEDDING };

static size_t teacher_length(const struct cpu_loss_args *args)
{
    return (size_t)args->shape->teacher_pixels * (size_t)args->shape->teacher_channels;
}

void teacher_embedding(const struct cpu_loss_args *args, double *out)
{
    const float *bias = args->parameters[LEARNED_BIAS];
    cpu_row_products(args->device->pool, args->teacher, args->rows, args->parameters[LEARNED_WEIGHT], SIZE,
                     teacher_length(args), out);
    for (size_t i = 0; i < (size_t)args->rows * SIZE; i++)
        out[i] += (double)bias[i % SIZE];
}

void teacher_embedding_gradients(const struct cpu_loss_args *args, const double *derivatives)
{
    if (!args->parameter_gradients[LEARNED_WEIGHT])
        return;
    cpu_combine_rows(args->device->pool, &(struct cpu_combination){
                                             .m = derivatives,
                                             .row_step = 1,
                                             .column_step = SIZE,
                                             .x = args->teacher,
                                             .out_rows = SIZE,
                                             .x_rows = args->rows,
                                             .length = teacher_length(args),
                                             .scale = args->weight,
                                             .out = args->parameter_gradients[LEARNED_WEIGHT],
                                         });
    for (size_t d = 0; d < SIZE; d++) {
        double sum = 0;
        for (size_t i = 0; i < (size_t)args->rows; i++)
            sum += derivatives[i * SIZE + d];
        args->parameter_gradients[LEARNED_BIAS][d] = (float)(args->weight * sum);
    }
}
