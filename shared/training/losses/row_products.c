/* VECTORISE only chooses the width of the instructions: every sum has LANES partial sums in a fixed order, and products
 * and sums are rounded one after the other. So results do not depend on the processor. */
#include "shared/training/losses/row_products.h"

#include "shared/base/vectorise.h"

#include <string.h>

enum { LANES = 8, ROWS = 4 /* of b at once */, BLOCK = 256 /* columns of one task of a combination */ };

typedef double doubles __attribute__((vector_size(LANES * 8)));
typedef float floats __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

/* ---- products ---- */
struct products {
    const float *a, *b;
    int b_rows;
    size_t length;
    double *out;
};

/* out[0..ROWS) = <a, b[r]> */
VECTORISE static void dot_rows(const float *a, const float *const b[ROWS], size_t length, double out[ROWS])
{
    doubles sums[ROWS] = {{0}};
    size_t k = 0;
    for (; k + LANES <= length; k += LANES) {
        const doubles x = __builtin_convertvector(*(const floats *)(a + k), doubles);
        for (int r = 0; r < ROWS; r++)
            sums[r] += x * __builtin_convertvector(*(const floats *)(b[r] + k), doubles);
    }
    for (int r = 0; r < ROWS; r++) {
        double sum = 0;
        for (int lane = 0; lane < LANES; lane++)
            sum += sums[r][lane];
        for (size_t rest = k; rest < length; rest++)
            sum += (double)a[rest] * (double)b[r][rest];
        out[r] = sum;
    }
}

static void products_row(void *context, int i, int worker)
{
    const struct products *p = context;
    const int end = p->a == p->b ? i + 1 : p->b_rows; /* symmetric: the other half is the same */
    double *out = p->out + (size_t)i * (size_t)p->b_rows;
    (void)worker;
    for (int first = 0; first < end; first += ROWS) {
        const float *rows[ROWS];
        double dots[ROWS];
        const int count = end - first < ROWS ? end - first : ROWS;
        for (int r = 0; r < ROWS; r++)
            rows[r] = p->b + (size_t)(first + (r < count ? r : 0)) * p->length;
        dot_rows(p->a + (size_t)i * p->length, rows, p->length, dots);
        memcpy(out + first, dots, (size_t)count * sizeof *dots);
    }
    for (int j = 0; p->a == p->b && j < i; j++)
        p->out[(size_t)j * (size_t)p->b_rows + (size_t)i] = out[j];
}

void cpu_row_products(struct thread_pool *pool, const float *a, int a_rows, const float *b, int b_rows, size_t length,
                      double *out)
{
    struct products p = {a, b, b_rows, length, out};
    thread_pool_run(pool, a_rows, products_row, &p);
}

/* ---- combinations ---- */
/* sums[0..count) += m * x */
VECTORISE static void add_row(double m, const float *x, size_t count, double *sums)
{
    for (size_t k = 0; k < count; k++)
        sums[k] += m * (double)x[k];
}

static void combine_block(void *context, int index, int worker)
{
    const struct cpu_combination *c = context;
    const size_t i = (size_t)(index % c->out_rows), first = (size_t)(index / c->out_rows) * BLOCK;
    const size_t count = c->length - first < BLOCK ? c->length - first : BLOCK;
    float *out = c->out + i * c->length + first;
    double sums[BLOCK] = {0};
    (void)worker;
    for (size_t j = 0; j < (size_t)c->x_rows; j++)
        add_row(c->m[i * c->row_step + j * c->column_step], c->x + j * c->length + first, count, sums);
    for (size_t k = 0; k < count; k++)
        out[k] = (c->add ? out[k] : 0) + (float)(c->scale * sums[k]);
}

void cpu_combine_rows(struct thread_pool *pool, const struct cpu_combination *c)
{
    struct cpu_combination copy = *c;
    const size_t blocks = (c->length + BLOCK - 1) / BLOCK;
    thread_pool_run(pool, (int)blocks * c->out_rows, combine_block, &copy);
}
