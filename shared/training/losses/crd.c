/* Contrastive representation distillation: noise contrastive estimation against memories of all samples' embeddings.
 * losses.h has the equations. */
#include "shared/training/losses/embedding.h"

#include "shared/base/vectorise.h"

enum { SIZE = LOSS_EMBEDDING, CHUNK = 64 /* draws */ };

/* Student or teacher: its embeddings x are compared with the memory of the other side. */
struct crd_side {
    const float *memory; /* [samples, SIZE] of the other side */
    float *own_memory;   /* [samples, SIZE] */
    float *units;        /* [n, SIZE] v = x / |x| */
    double *norms;       /* [n] |x| */
    double *derivatives; /* [n, SIZE] by v, then by x */
    double *values;      /* [n] the rows' parts of the value; before, for the normalisers, sums of exp */
    double log_normaliser;
};

struct crd {
    const struct cpu_loss_args *args;
    size_t n; /* rows */
    uint32_t negatives;
    struct crd_side sides[2]; /* student, teacher */
};

/* samples[count] = draws [first, first + count) of a row. Draw 0 is its own sample, the others are negatives. */
static void draw(const struct crd *c, size_t row, uint32_t first, uint32_t count, uint32_t *samples)
{
    const struct step_scalars *s = c->args->scalars;
    const uint32_t own = c->args->samples[row], others = c->args->shape->samples - 1;
    uint32_t words[4];
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t n = first + i - 1; /* number of the negative */
        if (first + i == 0 || others == 0) {
            samples[i] = own;
            continue;
        }
        if (n % 4 == 0 || i == 0)
            crd_words(s->seed, s->step, (uint32_t)row, n / 4, words);
        samples[i] = crd_negative(words[n % 4], others, own);
    }
}

typedef float floats __attribute__((vector_size(64), aligned(4), may_alias));
enum { LANES = 16 };

/* dots[count] = <v, memory[samples[i]]>, in float, summed in a fixed order */
VECTORISE static void dot_samples(const float *v, const float *memory, const uint32_t *samples, uint32_t count,
                                  double *dots)
{
    for (uint32_t i = 0; i < count; i++) {
        const float *row = memory + (size_t)samples[i] * SIZE;
        floats even = {0}, odd = {0};
        for (int d = 0; d < SIZE; d += 2 * LANES) {
            even += *(const floats *)(v + d) * *(const floats *)(row + d);
            odd += *(const floats *)(v + d + LANES) * *(const floats *)(row + d + LANES);
        }
        even += odd;
        for (int width = LANES / 2; width > 0; width /= 2)
            for (int lane = 0; lane < width; lane++)
                even[lane] += even[lane + width];
        dots[i] = (double)even[0];
    }
}

/* derivatives[SIZE] += sum over i of factors[i] * memory[samples[i]] */
VECTORISE static void add_samples(const float *factors, const float *memory, const uint32_t *samples, uint32_t count,
                                  double *derivatives)
{
    floats sums[SIZE / LANES] = {{0}};
    for (uint32_t i = 0; i < count; i++) {
        const float *row = memory + (size_t)samples[i] * SIZE;
        for (int d = 0; d < SIZE / LANES; d++)
            sums[d] += factors[i] * *(const floats *)(row + d * LANES);
    }
    for (int d = 0; d < SIZE; d++)
        derivatives[d] += (double)sums[d / LANES][d % LANES];
}

/* values[row] = the sum of exp(<v, memory> / T) over the row's draws */
static void normaliser_row(void *context, int row, int worker)
{
    const struct crd *c = context;
    const double temperature = c->args->term->temperature;
    double sums[2] = {0};
    (void)worker;
    for (uint32_t first = 0, count; first <= c->negatives; first += count) {
        uint32_t samples[CHUNK];
        double dots[CHUNK];
        count = c->negatives + 1 - first < CHUNK ? c->negatives + 1 - first : CHUNK;
        draw(c, (size_t)row, first, count, samples);
        for (int k = 0; k < 2; k++) {
            dot_samples(c->sides[k].units + (size_t)row * SIZE, c->sides[k].memory, samples, count, dots);
            for (uint32_t i = 0; i < count; i++)
                sums[k] += bounded_exp(dots[i] / temperature);
        }
    }
    for (int k = 0; k < 2; k++)
        c->sides[k].values[row] = sums[k];
}

/* Draws [first, first + count) of a row, from dots[count]. Returns their part of the value; factors[count] = its
 * derivatives by the dots. */
static double crd_chunk(const struct crd *c, const struct crd_side *side, uint32_t first, uint32_t count,
                        const double *dots, float *factors)
{
    const double noise = (double)c->negatives / c->args->shape->samples, temperature = c->args->term->temperature;
    const double log_bound = crd_log_bound(noise, side->log_normaliser), share = 1 / (double)c->n;
    const double noise_value = crd_noise_value(noise);
    double value = 0;
    for (uint32_t i = 0; i < count; i++) {
        const bool own = first + i == 0;
        const double exponent = crd_exponent(own, dots[i] / temperature, log_bound);
        value += crd_value(own, exponent, noise_value);
        factors[i] = (float)crd_derivative((own ? -1 : 1) * share / temperature, exponent);
    }
    return share * value;
}

static void crd_row(void *context, int index, int worker)
{
    const struct crd *c = context;
    const size_t row = (size_t)index;
    (void)worker;
    for (int k = 0; k < 2; k++) {
        c->sides[k].values[row] = 0;
        for (size_t d = 0; d < SIZE; d++)
            c->sides[k].derivatives[row * SIZE + d] = 0;
    }
    for (uint32_t first = 0, count; first <= c->negatives; first += count) {
        uint32_t samples[CHUNK];
        count = c->negatives + 1 - first < CHUNK ? c->negatives + 1 - first : CHUNK;
        draw(c, row, first, count, samples);
        for (int k = 0; k < 2; k++) {
            const struct crd_side *side = &c->sides[k];
            double dots[CHUNK];
            float factors[CHUNK];
            dot_samples(side->units + row * SIZE, side->memory, samples, count, dots);
            side->values[row] += crd_chunk(c, side, first, count, dots, factors);
            add_samples(factors, side->memory, samples, count, side->derivatives + row * SIZE);
        }
    }
}

/* units and norms of x[n, SIZE]; a row of zeros stays zeros */
static void normalise(struct crd_side *side, size_t n, const double *x)
{
    for (size_t i = 0; i < n; i++) {
        double square = 0;
        for (size_t d = 0; d < SIZE; d++)
            square += x[i * SIZE + d] * x[i * SIZE + d];
        side->norms[i] = sqrt(square);
        for (size_t d = 0; d < SIZE; d++)
            side->units[i * SIZE + d] = square > 0 ? (float)(x[i * SIZE + d] / side->norms[i]) : 0;
    }
}

/* derivatives: by v -> by x */
static void unnormalise(const struct crd_side *side, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float *v = side->units + i * SIZE;
        double *derivatives = side->derivatives + i * SIZE, along = 0;
        for (size_t d = 0; d < SIZE; d++)
            along += (double)v[d] * derivatives[d];
        for (size_t d = 0; d < SIZE; d++)
            derivatives[d] = through_norm(derivatives[d], along, (double)v[d], side->norms[i]);
    }
}

/* Moves the batch's rows of the memory towards their v. */
static void remember(const struct crd *c, const struct crd_side *side)
{
    const double momentum = c->args->term->momentum;
    for (size_t i = 0; i < c->n; i++) {
        float *row = side->own_memory + (size_t)c->args->samples[i] * SIZE;
        double moved[SIZE], square = 0;
        for (size_t d = 0; d < SIZE; d++) {
            moved[d] = crd_moved(momentum, (double)row[d], (double)side->units[i * SIZE + d]);
            square += moved[d] * moved[d];
        }
        for (size_t d = 0; d < SIZE && square > 0; d++)
            row[d] = (float)(moved[d] / sqrt(square));
    }
}

static struct crd crd_of(const struct cpu_loss_args *args, double *embedding)
{
    const size_t n = (size_t)args->rows, count = n * SIZE;
    double *doubles = embedding + count;
    float *units = (void *)(doubles + 2 * count + 4 * n);
    struct crd c = {.args = args, .n = n, .negatives = (uint32_t)args->term->negatives};
    for (int k = 0; k < 2; k++) {
        struct crd_side *side = &c.sides[k];
        side->memory = args->state[k == 0 ? LEARNED_MEMORY_TEACHER : LEARNED_MEMORY_STUDENT];
        side->own_memory = args->state[k == 0 ? LEARNED_MEMORY_STUDENT : LEARNED_MEMORY_TEACHER];
        side->derivatives = doubles + (size_t)k * count;
        side->norms = doubles + 2 * count + (size_t)k * n;
        side->values = doubles + 2 * count + (size_t)(2 + k) * n;
        side->units = units + (size_t)k * count;
    }
    return c;
}

/* The first step with gradients sets the normalisers; later steps use them. */
static void find_normalisers(struct crd *c)
{
    float *normalisers = c->args->state[LEARNED_NORMALISER];
    float found[2] = {normalisers[0], normalisers[1]};
    if (found[0] == 0) {
        thread_pool_run(c->args->device->pool, c->args->rows, normaliser_row, c);
        for (int k = 0; k < 2; k++) {
            double sum = 0;
            for (size_t i = 0; i < c->n; i++)
                sum += c->sides[k].values[i];
            sum *= c->args->shape->samples / ((double)c->n * ((double)c->negatives + 1));
            found[k] = crd_normaliser(sum);
        }
    }
    for (int k = 0; k < 2; k++) {
        c->sides[k].log_normaliser = log((double)found[k]);
        if (c->args->student_gradient)
            normalisers[k] = found[k];
    }
}

static size_t crd_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return (size_t)shape->batch * (3 * SIZE * sizeof(double) + 2 * SIZE * sizeof(float) + 4 * sizeof(double));
}

static double crd(const struct cpu_loss_args *args)
{
    double *embedding = args->scratch, value = 0;
    struct crd c = crd_of(args, embedding);
    if (args->rows > 0) {
        for (size_t i = 0; i < c.n * SIZE; i++)
            embedding[i] = (double)args->student[i];
        normalise(&c.sides[0], c.n, embedding);
        teacher_embedding(args, embedding);
        normalise(&c.sides[1], c.n, embedding);
        find_normalisers(&c);
        thread_pool_run(args->device->pool, args->rows, crd_row, &c);
    }
    for (int k = 0; k < 2; k++) {
        unnormalise(&c.sides[k], c.n);
        for (size_t i = 0; i < c.n; i++)
            value += c.sides[k].values[i];
        if (args->student_gradient)
            remember(&c, &c.sides[k]);
    }
    for (size_t i = 0; args->student_gradient && i < c.n * SIZE; i++)
        args->student_gradient[i] += (float)(args->weight * c.sides[0].derivatives[i]);
    teacher_embedding_gradients(args, c.sides[1].derivatives);
    return value;
}

const struct cpu_loss cpu_crd = {LOSS_CRD, crd, crd_scratch};
