/* Puts weights into the order in which kernels read them, and gradients back into PyTorch's order. */
#include "shared/training/cpu/cpu_run.h"

#include <string.h>

enum {
    REDUCE_FLOATS = 8192,
    UNPACK_ROWS = 64,
    FEW_FLOATS = 16384 /* waking other threads takes longer than moving so few floats */
};

static struct thread_pool *pool_for(const struct cpu_run *run, size_t floats)
{
    return floats > FEW_FLOATS ? run->device->pool : NULL;
}

struct pack_job {
    const struct weight_matrix *matrix;
    const float *from;
    float *to;
    int lanes;
};

size_t packed_floats(int rows, int columns)
{
    return (size_t)rows * (((size_t)columns + 15) / 16 * 16);
}

static void pack_panel(void *context, int panel, int worker)
{
    const struct pack_job *job = context;
    const struct weight_matrix *m = job->matrix;
    const int first = panel * job->lanes, left = m->columns - first, lanes = left < job->lanes ? left : job->lanes;
    float *to = job->to + (size_t)panel * (size_t)job->lanes * (size_t)m->taps * (size_t)m->inner;
    (void)worker;
    for (int tap = 0; tap < m->taps; tap++)
        for (int i = 0; i < m->inner; i++, to += job->lanes) {
            const float *from =
                job->from + m->tap_offset[tap] + (size_t)i * m->inner_stride + (size_t)first * m->column_stride;
            for (int lane = 0; lane < lanes; lane++)
                to[lane] = from[(size_t)lane * m->column_stride];
            for (int lane = lanes; lane < job->lanes; lane++)
                to[lane] = 0;
        }
}

void pack_weights(struct cpu_run *run, const struct weight_matrix *matrix, const float *from, float *to)
{
    struct pack_job job = {matrix, from, to, run->kernels->lanes};
    struct thread_pool *pool = pool_for(run, packed_floats(matrix->taps * matrix->inner, matrix->columns));
    thread_pool_run(pool, (matrix->columns + job.lanes - 1) / job.lanes, pack_panel, &job);
}

struct unpack_job {
    const struct weight_matrix *matrix;
    const float *from;
    float *to;
};

static void unpack_rows(void *context, int index, int worker)
{
    const struct unpack_job *job = context;
    const struct weight_matrix *m = job->matrix;
    const int rows = m->taps * m->inner, first = index * UNPACK_ROWS;
    (void)worker;
    for (int row = first; row < rows && row < first + UNPACK_ROWS; row++) {
        const float *from = job->from + (size_t)row * (size_t)m->columns;
        float *to = job->to + m->tap_offset[row / m->inner] + (size_t)(row % m->inner) * m->inner_stride;
        for (int column = 0; column < m->columns; column++)
            to[(size_t)column * m->column_stride] = from[column];
    }
}

void unpack_weights(struct cpu_run *run, const struct weight_matrix *matrix, const float *from, float *to)
{
    struct unpack_job job = {matrix, from, to};
    const int rows = matrix->taps * matrix->inner;
    struct thread_pool *pool = pool_for(run, packed_floats(rows, matrix->columns));
    thread_pool_run(pool, (rows + UNPACK_ROWS - 1) / UNPACK_ROWS, unpack_rows, &job);
}

float *slice_partial(const struct cpu_run *run, int slice, size_t count)
{
    float *partial = run->workspace->partial + (size_t)slice * count;
    memset(partial, 0, count * sizeof *partial);
    return partial;
}

struct reduce_job {
    struct cpu_run *run;
    size_t count;
};

static void reduce_part(void *context, int index, int worker)
{
    const struct reduce_job *job = context;
    const size_t first = (size_t)index * REDUCE_FLOATS, left = job->count - first;
    const size_t floats = left < REDUCE_FLOATS ? left : REDUCE_FLOATS;
    float *sum = job->run->workspace->partial + first;
    (void)worker;
    for (int slice = 1; slice < job->run->slices; slice++)
        job->run->kernels->add_scaled(sum, sum + (size_t)slice * job->count, 1, floats);
}

const float *reduce_partial(struct cpu_run *run, size_t count)
{
    struct reduce_job job = {run, count};
    thread_pool_run(pool_for(run, count * (size_t)run->slices), (int)((count + REDUCE_FLOATS - 1) / REDUCE_FLOATS),
                    reduce_part, &job);
    return run->workspace->partial;
}
