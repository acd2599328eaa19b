/* Contrastive representation distillation: noise contrastive estimation against memories of all samples' embeddings.
 * losses.h has the equations.
 *
 * Idea: one block per row of the batch, whose warps take 8 draws at a time. A lane keeps 4 floats of each of the 16
 * memory rows in registers from the dot products to the gradient, so that every row is read once; exp and log are
 * computed by one lane per dot product.
 * Bytes moved: 1 kB per draw, which is the floor of gathering: at 128 rows of 16,384 negatives 2.1 GB per student. They
 * come from the second-level cache if the memories fit there (1 kB per sample). The first step reads them twice, to
 * find the normalisers. */
#include "shared/training/losses/embedding.cuh"

enum {
    EACH = SIZE / WARP, /* floats of a row per lane: numbers lane + j * WARP */
    DRAWS = 8,          /* that a warp works on at a time */
    CRD_THREADS = WARP * SUM_WARPS
};

/* For each student. */
struct crd_options {
    double temperature[TRAINING_MAX_STUDENTS], momentum[TRAINING_MAX_STUDENTS];
    uint32_t negatives[TRAINING_MAX_STUDENTS];
};

/* Student or teacher: its embeddings x are compared with the memory of the other side. */
struct crd_side {
    const float *memory; /* [samples, SIZE] of the other side */
    float *own_memory;   /* [samples, SIZE] */
    float *units;        /* [n, SIZE] v = x / |x| */
    double *norms;       /* [n] |x| */
    number *derivatives; /* [n, SIZE] by v, then by x */
};

/* A student's scratch memory. */
struct crd {
    int n;
    struct embedding embedding; /* the teacher's */
    struct crd_side sides[2];
    double *values;         /* [n] the rows' parts of the value */
    double *log_normaliser; /* [2] */
};

static __device__ __forceinline__ struct crd crd_of(const struct cuda_loss_args &args)
{
    const struct loss_batch &b = args.batch;
    const size_t size = b.shape.batch, count = size * SIZE;
    number *own_derivatives = loss_scratch(args, blockIdx.y) + size * EMBEDDING_NUMBERS;
    double *more = (double *)(own_derivatives + count);
    float *state = b.state + blockIdx.y * b.state_stride;
    struct crd c;
    c.embedding = embedding_of(args);
    c.n = c.embedding.n;
    for (int k = 0; k < 2; k++) {
        struct crd_side *side = &c.sides[k];
        side->memory = state + b.learned[k == 0 ? LEARNED_MEMORY_TEACHER : LEARNED_MEMORY_STUDENT];
        side->own_memory = state + b.learned[k == 0 ? LEARNED_MEMORY_STUDENT : LEARNED_MEMORY_TEACHER];
        side->derivatives = k == 0 ? own_derivatives : c.embedding.derivatives;
        side->norms = more + k * size;
        side->units = (float *)(more + 3 * size + 2) + k * count;
    }
    c.values = more + 2 * size;
    c.log_normaliser = more + 3 * size;
    return c;
}

static __device__ __forceinline__ float warp_sum(float value)
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    return value;
}

/* units and norms, one warp per row */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP) normalise(struct cuda_loss_args args)
{
    const struct crd c = crd_of(args);
    const float *student = args.batch.student + blockIdx.y * args.batch.student_stride;
    const int lane = threadIdx.x % WARP;
    for (int row = loss_first_row(); row < c.n; row += loss_row_step())
        for (int k = 0; k < 2; k++) {
            const size_t first = (size_t)row * SIZE;
            double x[EACH], square = 0;
            for (int j = 0; j < EACH; j++) {
                const size_t i = first + lane + j * WARP;
                x[j] = k == 0 ? student[i] : (double)c.embedding.values[i];
                square += x[j] * x[j];
            }
            const double norm = sqrt(warp_sum(square));
            for (int j = 0; j < EACH; j++)
                c.sides[k].units[first + lane + j * WARP] = norm > 0 ? (float)(x[j] / norm) : 0;
            if (lane == 0)
                c.sides[k].norms[row] = norm;
        }
}

/* Draw `drawn` of a row: 0 is its own sample, the others are negatives. */
static __device__ __forceinline__ uint32_t draw(const struct cuda_loss_args &args, int row, uint32_t drawn)
{
    const struct step_scalars *s = loss_scalars(args, blockIdx.y);
    const uint32_t own = args.inputs.samples[loss_slot(args) + row], others = args.batch.shape.samples - 1;
    const uint32_t n = drawn - 1;
    uint32_t words[4];
    if (drawn == 0 || others == 0)
        return own;
    crd_words(s->seed, s->step, row, n / 4, words);
    const uint32_t word = n % 4 == 0 ? words[0] : n % 4 == 1 ? words[1] : n % 4 == 2 ? words[2] : words[3];
    return crd_negative(word, others, own);
}

/* A lane's floats of a row's v and of DRAWS rows of the memories, for both sides. */
struct crd_registers {
    float units[2][EACH], memory[2][DRAWS][EACH];
};

static __device__ __forceinline__ void load_units(const struct crd &c, int row, struct crd_registers *r)
{
    for (int k = 0; k < 2; k++)
        for (int j = 0; j < EACH; j++)
            r->units[k][j] = c.sides[k].units[(size_t)row * SIZE + threadIdx.x % WARP + j * WARP];
}

/* Loads the memories of draws [first, first + DRAWS). Lane i + k * DRAWS gets <v, memory> of draw i and side k; the
 * other half of the warp gets the same. Draws behind the last one are the row's own sample. */
static __device__ __forceinline__ float dot_draws(const struct cuda_loss_args &args, const struct crd &c, int row,
                                                  uint32_t first, uint32_t negatives, struct crd_registers *r)
{
    const int lane = threadIdx.x % WARP;
    const uint32_t drawn = first + lane % DRAWS;
    const uint32_t mine = draw(args, row, drawn <= negatives ? drawn : 0);
    float dot = 0;
#pragma unroll
    for (int i = 0; i < DRAWS; i++) {
        const size_t at = (size_t)__shfl_sync(0xffffffffu, mine, i) * SIZE + lane;
#pragma unroll
        for (int k = 0; k < 2; k++) {
            float sum = 0;
#pragma unroll
            for (int j = 0; j < EACH; j++) {
                r->memory[k][i][j] = c.sides[k].memory[at + j * WARP];
                sum += r->units[k][j] * r->memory[k][i][j];
            }
            sum = warp_sum(sum);
            dot = lane % (2 * DRAWS) == i + k * DRAWS ? sum : dot;
        }
    }
    return dot;
}

/* log_normaliser[2], from the state or, if it has none yet, from Z = samples * the mean of exp(<v, memory> / T) */
static __global__ void __launch_bounds__(CRD_THREADS)
    find_normalisers(struct cuda_loss_args args, struct crd_options options)
{
    const struct crd c = crd_of(args);
    float *normaliser =
        args.batch.state + blockIdx.y * args.batch.state_stride + args.batch.learned[LEARNED_NORMALISER];
    const uint32_t negatives = options.negatives[blockIdx.y];
    const double inverse = 1 / options.temperature[blockIdx.y];
    const int lane = threadIdx.x % WARP;
    double sums[2] = {};
    struct crd_registers r;
    if (normaliser[0] != 0 || c.n == 0) {
        if (blockIdx.x == 0 && threadIdx.x < 2)
            c.log_normaliser[threadIdx.x] = log((double)normaliser[threadIdx.x]);
        return;
    }
    for (int row = blockIdx.x; row < c.n; row += gridDim.x) {
        load_units(c, row, &r);
        for (uint32_t first = threadIdx.x / WARP * DRAWS; first <= negatives; first += SUM_WARPS * DRAWS) {
            const double dot = dot_draws(args, c, row, first, negatives, &r);
            if (lane < 2 * DRAWS && first + lane % DRAWS <= negatives)
                sums[lane / DRAWS] += bounded_exp(dot * inverse);
        }
    }
    if (!sum_over_blocks<2>(args.sums, blockIdx.y, sums))
        return;
    for (int k = 0; k < 2; k++) {
        const double z = sums[k] * args.batch.shape.samples / ((double)c.n * (negatives + 1.0));
        const float found = crd_normaliser(z);
        c.log_normaliser[k] = log((double)found);
        if (args.batch.student_gradient)
            normaliser[k] = found;
    }
}

static __global__ void __launch_bounds__(CRD_THREADS) crd_draws(struct cuda_loss_args args, struct crd_options options)
{
    __shared__ number shared[SUM_WARPS][2][SIZE];
    const struct crd c = crd_of(args);
    const int row = blockIdx.x, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, side = lane / DRAWS % 2;
    const uint32_t negatives = options.negatives[blockIdx.y];
    const double noise = (double)negatives / args.batch.shape.samples;
    const number inverse = 1 / options.temperature[blockIdx.y], share = 1.0 / c.n;
    const number log_bound = crd_log_bound(noise, c.log_normaliser[side]), noise_value = crd_noise_value(noise);
    number value = 0, derivatives[2][EACH] = {};
    struct crd_registers r;
    if (row >= c.n)
        return;
    load_units(c, row, &r);
    for (uint32_t first = warp * DRAWS; first <= negatives; first += SUM_WARPS * DRAWS) {
        const float dot = dot_draws(args, c, row, first, negatives, &r);
        const uint32_t drawn = first + lane % DRAWS;
        float derivative = 0;
        if (lane < 2 * DRAWS && drawn <= negatives) {
            const bool own = drawn == 0;
            const number exponent = crd_exponent(own, dot * inverse, log_bound);
            value += share * crd_value(own, exponent, noise_value);
            derivative = (float)crd_derivative((own ? -1 : 1) * share * inverse, exponent);
        }
#pragma unroll
        for (int k = 0; k < 2; k++) {
            float sums[EACH] = {};
#pragma unroll
            for (int i = 0; i < DRAWS; i++) {
                const float factor = __shfl_sync(0xffffffffu, derivative, i + k * DRAWS);
#pragma unroll
                for (int j = 0; j < EACH; j++)
                    sums[j] += factor * r.memory[k][i][j];
            }
#pragma unroll
            for (int j = 0; j < EACH; j++)
                derivatives[k][j] += sums[j];
        }
    }
    for (int k = 0; k < 2; k++)
        for (int j = 0; j < EACH; j++)
            shared[warp][k][lane + j * WARP] = derivatives[k][j];
    double row_value = (double)value;
    sum_over_block<1>(&row_value);
    if (threadIdx.x == 0)
        c.values[row] = row_value;
    __syncthreads();
    for (int i = threadIdx.x; i < 2 * SIZE; i += CRD_THREADS) {
        number sum = 0;
        for (int w = 0; w < SUM_WARPS; w++)
            sum += shared[w][i / SIZE][i % SIZE];
        c.sides[i / SIZE].derivatives[(size_t)row * SIZE + i % SIZE] = sum;
    }
}

/* derivatives: by v -> by x */
static __device__ __forceinline__ void unnormalise(const struct crd_side &side, int row)
{
    const size_t first = (size_t)row * SIZE + threadIdx.x % WARP;
    const double norm = side.norms[row];
    double along = 0;
    for (int j = 0; j < EACH; j++)
        along += side.units[first + j * WARP] * (double)side.derivatives[first + j * WARP];
    along = warp_sum(along);
    for (int j = 0; j < EACH; j++) {
        const size_t i = first + j * WARP;
        side.derivatives[i] = through_norm((double)side.derivatives[i], along, side.units[i], norm);
    }
}

/* Moves the sample's row of the memory towards v. */
static __device__ __forceinline__ void remember(const struct crd_side &side, int row, uint32_t sample, double momentum)
{
    const int lane = threadIdx.x % WARP;
    float *memory = side.own_memory + (size_t)sample * SIZE;
    double moved[EACH], square = 0;
    for (int j = 0; j < EACH; j++) {
        const float v = side.units[(size_t)row * SIZE + lane + j * WARP];
        moved[j] = crd_moved(momentum, memory[lane + j * WARP], v);
        square += moved[j] * moved[j];
    }
    square = warp_sum(square);
    for (int j = 0; j < EACH && square > 0; j++)
        memory[lane + j * WARP] = (float)(moved[j] / sqrt(square));
}

/* The rest, when no block reads the memories any more: one warp per row. */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    crd_rows(struct cuda_loss_args args, struct crd_options options)
{
    const struct crd c = crd_of(args);
    const double weight = loss_weight(args);
    double value = 0;
    for (int row = loss_first_row(); row < c.n; row += loss_row_step()) {
        const uint32_t sample = args.inputs.samples[loss_slot(args) + row];
        for (int k = 0; k < 2; k++) {
            unnormalise(c.sides[k], row);
            if (args.batch.student_gradient)
                remember(c.sides[k], row, sample, options.momentum[blockIdx.y]);
        }
        for (int d = threadIdx.x % WARP; args.batch.student_gradient && d < SIZE; d += WARP) {
            const size_t i = (size_t)row * SIZE + d;
            args.batch.student_gradient[blockIdx.y * args.batch.student_stride + i] +=
                (float)(weight * (double)c.sides[0].derivatives[i]);
        }
        value += threadIdx.x % WARP == 0 ? c.values[row] : 0;
    }
    loss_finish(args, value, 1);
}

/* ---- host ---- */
static size_t crd_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const size_t n = shape->batch;
    (void)term;
    return (n * (EMBEDDING_NUMBERS + SIZE + 3) + 2) * sizeof(double) + 2 * n * SIZE * sizeof(float);
}

static void launch_crd(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    const int count = args->batch.count, students = args->batch.students;
    const dim3 grid = loss_grid(&args->batch);
    struct crd_options options = {};
    for (int student = 0; student < students; student++) {
        options.temperature[student] = terms[student].temperature;
        options.momentum[student] = terms[student].momentum;
        options.negatives[student] = (uint32_t)terms[student].negatives;
    }
    launch_embedding(stream, args);
    LAUNCH(normalise, grid, LOSS_WARPS * WARP, 0, stream, *args);
    LAUNCH(find_normalisers, dim3(count < CUDA_SUM_BLOCKS ? count : CUDA_SUM_BLOCKS, students, 1), CRD_THREADS, 0,
           stream, *args, options);
    LAUNCH(crd_draws, dim3(count, students, 1), CRD_THREADS, 0, stream, *args, options);
    LAUNCH(crd_rows, grid, LOSS_WARPS * WARP, 0, stream, *args, options);
    launch_embedding_gradients(stream, args);
}

extern "C" const struct cuda_loss cuda_crd = {LOSS_CRD, launch_crd, crd_scratch};
