/* What the last block of a launch adds up (shared/training/cuda/cuda_last_block.cuh): equals sums in double, with the
 * same bits in every order of blocks and in every launch, for any number of blocks, chunks of channels and students. */
#include "tests/helper_shim.h"

#include "shared/training/cuda/cuda_last_block.cuh"
#include <math.h>

enum { CHANNELS = 70, CHUNK = 32, CHUNKS = 3, STUDENTS = 2, TAPS = 3, THREADS = 48, MAX_BLOCKS = 1024 };
enum { WEIGHTS = CHANNELS * TAPS };

static const char *const orders[] = {"forward", "reverse", "shuffle:1", "shuffle:7"};
static const int block_counts[] = {1, 3, 16, 17, 100, 256, 300, MAX_BLOCKS};

/* Numbers of no pattern, from -1 to 1. */
static __host__ __device__ float noise(int student, int block, int column)
{
    uint32_t x = (uint32_t)(student * 7919 + block * 104729 + column * 1299709 + 1);
    x ^= x >> 15, x *= 0x2c1b3c6du, x ^= x >> 12, x *= 0x297a2d39u, x ^= x >> 15;
    return (float)(x & 0xffff) / 32767.5f - 1;
}

/* Some blocks have no values. */
static __host__ __device__ float block_count(int block)
{
    return (float)((block + 1) % 5);
}

static __device__ int chunk_channels()
{
    const int left = CHANNELS - (int)blockIdx.y * CHUNK;
    return left < CHUNK ? left : CHUNK;
}

static __global__ void outputs_kernel(struct cuda_write write)
{
    const int first = blockIdx.y * CHUNK, count = chunk_channels();
    float *const row = write.moments + (blockIdx.z * gridDim.x + blockIdx.x) * 3 * CHANNELS;
    for (int c = first + threadIdx.x; c < first + count; c += THREADS) {
        row[c] = block_count(blockIdx.x);
        row[CHANNELS + c] = 3 + 0.1f * noise(blockIdx.z, blockIdx.x, c);
        row[2 * CHANNELS + c] = block_count(blockIdx.x) * (1 + noise(blockIdx.z, blockIdx.x, CHANNELS + c));
    }
    finish_outputs(&write, first, count);
}

static __global__ void running_kernel(struct cuda_write write)
{
    finish_outputs(&write, blockIdx.y * CHUNK, chunk_channels());
}

static __global__ void gradients_kernel(struct cuda_give give, struct cuda_partial weights, struct cuda_partial bias)
{
    const int first = blockIdx.y * CHUNK, count = chunk_channels();
    const size_t block = blockIdx.z * gridDim.x + blockIdx.x;
    for (int c = first + threadIdx.x; c < first + count; c += THREADS) {
        give.sums[block * 2 * CHANNELS + c] = noise(blockIdx.z, blockIdx.x, c);
        give.sums[block * 2 * CHANNELS + CHANNELS + c] = noise(blockIdx.z, blockIdx.x, CHANNELS + c);
        for (int tap = 0; tap < TAPS; tap++)
            weights.rows[block * WEIGHTS + c * TAPS + tap] =
                noise(blockIdx.z, blockIdx.x, 2 * CHANNELS + c * TAPS + tap);
        bias.rows[block * CHANNELS + c] = noise(blockIdx.z, blockIdx.x, 9 * CHANNELS + c);
    }
    finish_gradients(&give, first, count, weight_sums_of(&weights, first * TAPS, count * TAPS),
                     weight_sums_of(&bias, first, count));
}

/* ---- device memory ---- */
/* The layout of parameters and of their gradients. */
enum { GAMMA, BETA = CHANNELS, LAYER_BIAS = 2 * CHANNELS, BIAS = 3 * CHANNELS, WEIGHT = 4 * CHANNELS };
enum { PARAMETERS = WEIGHT + WEIGHTS, ARRIVALS = STUDENTS * CHUNKS * CUDA_ARRIVALS };

struct vectors {
    float rows[STUDENTS][PLAN_STATISTICS][CHANNELS];
    float state[STUDENTS][2][CHANNELS]; /* running mean and variance */
    float parameters[STUDENTS][PARAMETERS], gradients[STUDENTS][PARAMETERS];
    unsigned int arrived[ARRIVALS];
};

struct memory {
    struct vectors *vectors;
    float *scratch;
};

/* Gradients and rows that nobody writes stay 0. */
static void fill(struct vectors *v)
{
    memset(v, 0, sizeof *v);
    for (int s = 0; s < STUDENTS; s++) {
        for (int i = 0; i < PARAMETERS; i++)
            v->parameters[s][i] = noise(s, -1, i);
        for (int c = 0; c < CHANNELS; c++) {
            v->state[s][0][c] = noise(s, -2, c);
            v->state[s][1][c] = 2 + noise(s, -3, c);
        }
    }
}

static struct memory memory_new(void)
{
    static struct vectors vectors;
    fill(&vectors);
    struct memory m;
    m.vectors = device_copy(&vectors, 1);
    m.scratch = device_copy((const float *)NULL, (size_t)STUDENTS * MAX_BLOCKS * (3 * CHANNELS + WEIGHTS));
    return m;
}

static void memory_take(struct memory *m, struct vectors *to)
{
    device_take(to, m->vectors, 1);
    assert_cuda(cudaFree(m->scratch));
}

static float values_per_channel(int blocks)
{
    float count = 0;
    for (int i = 0; i < blocks; i++)
        count += block_count(i);
    return count;
}

static struct cuda_norm norm_of(const struct memory *m, int blocks)
{
    struct vectors *const v = m->vectors;
    struct cuda_norm n = {};
    n.rows = v->rows[0][0];
    n.gamma = v->parameters[0] + GAMMA;
    n.beta = v->parameters[0] + BETA;
    n.layer_bias = v->parameters[0] + LAYER_BIAS;
    n.running_mean = v->state[0][0];
    n.running_var = v->state[0][1];
    n.gamma_gradient = v->gradients[0] + GAMMA;
    n.beta_gradient = v->gradients[0] + BETA;
    n.bias_gradient = v->gradients[0] + LAYER_BIAS;
    n.parameter_stride = PARAMETERS;
    n.state_stride = 2 * CHANNELS;
    n.row_stride = PLAN_STATISTICS * CHANNELS;
    n.channels = CHANNELS;
    n.observed = 1;
    n.count = values_per_channel(blocks);
    n.unbiased = n.count > 1 ? n.count / (n.count - 1) : 1;
    n.epsilon = 1e-5f;
    n.momentum = 0.25f;
    return n;
}

static void make_outputs(const struct memory *m, int blocks)
{
    struct cuda_write write = {};
    write.moments = m->scratch;
    write.norm = norm_of(m, blocks);
    write.arrived = m->vectors->arrived;
    LAUNCH(outputs_kernel, dim3(blocks, CHUNKS, STUDENTS), THREADS, 0, 0, write);
    assert_cuda(cudaGetLastError());
}

static void make_gradients(const struct memory *m, int blocks)
{
    float *const weight_rows = m->scratch + STUDENTS * blocks * 2 * CHANNELS;
    float *const gradients = m->vectors->gradients[0];
    const struct cuda_partial weights = {weight_rows, gradients + WEIGHT, WEIGHTS, PARAMETERS};
    const struct cuda_partial bias = {weight_rows + STUDENTS * blocks * WEIGHTS, gradients + BIAS, CHANNELS,
                                      PARAMETERS};
    struct cuda_give give = {};
    give.sums = m->scratch;
    give.norm = norm_of(m, blocks);
    give.arrived = m->vectors->arrived;
    LAUNCH(gradients_kernel, dim3(blocks, CHUNKS, STUDENTS), THREADS, 0, 0, give, weights, bias);
    assert_cuda(cudaGetLastError());
}

/* ---- the same in double ---- */
static void assert_near(double got, double expected, double scale, const char *what, int blocks)
{
    if (!(fabs(got - expected) <= 2e-6 * scale))
        fail_msg("%d blocks, %s: %.9g, expected %.9g", blocks, what, got, expected);
}

static double sum_of(int student, int blocks, int column)
{
    double sum = 0;
    for (int i = 0; i < blocks; i++)
        sum += (double)noise(student, i, column);
    return sum;
}

static void check_statistics(const struct vectors *before, const struct vectors *v, int s, int c, int blocks)
{
    double count = 0, mean = 0, squares = 0;
    for (int i = 0; i < blocks; i++) {
        count += (double)block_count(i);
        mean += (double)block_count(i) * (double)(3 + 0.1f * noise(s, i, c));
    }
    mean /= count;
    for (int i = 0; i < blocks; i++) {
        const double shift = (double)(3 + 0.1f * noise(s, i, c)) - mean;
        squares += (double)block_count(i) * ((double)(1 + noise(s, i, CHANNELS + c)) + shift * shift);
    }
    const double variance = squares / count, inverse = 1 / sqrt(variance + 1e-5);
    const double gamma = (double)before->parameters[s][GAMMA + c], beta = (double)before->parameters[s][BETA + c];
    const double shifted = mean + (double)before->parameters[s][LAYER_BIAS + c];
    const double unbiased = count > 1 ? squares / (count - 1) : variance;
    assert_near((double)v->rows[s][PLAN_MEAN][c], mean, 3, "mean", blocks);
    assert_near((double)v->rows[s][PLAN_INVERSE_STD][c], inverse, inverse, "inverse deviation", blocks);
    assert_near((double)v->rows[s][PLAN_SCALE][c], gamma * inverse, inverse, "scale", blocks);
    assert_near((double)v->rows[s][PLAN_SHIFT][c], beta - mean * gamma * inverse, 3 * inverse, "shift", blocks);
    assert_near((double)v->state[s][0][c], 0.75 * (double)before->state[s][0][c] + 0.25 * shifted, 4, "running mean",
                blocks);
    assert_near((double)v->state[s][1][c], 0.75 * (double)before->state[s][1][c] + 0.25 * unbiased, 4,
                "running variance", blocks);
}

static void check_gradients(const struct vectors *v, int s, int c, int blocks)
{
    const double count = (double)values_per_channel(blocks), sum = sum_of(s, blocks, c);
    const double product = sum_of(s, blocks, CHANNELS + c), scale = sqrt((double)blocks) + 1;
    const double a = (double)v->rows[s][PLAN_SCALE][c], inverse = (double)v->rows[s][PLAN_INVERSE_STD][c];
    const double b = -a * inverse * inverse * product / count;
    const double d = -a * sum / count - b * (double)v->rows[s][PLAN_MEAN][c];
    const double unit = scale * fabs(a) * (1 + inverse * inverse) / count;
    assert_near((double)v->gradients[s][GAMMA + c], product * inverse, scale * inverse, "gradient of gamma", blocks);
    assert_near((double)v->gradients[s][BETA + c], sum, scale, "gradient of beta", blocks);
    assert_true(v->gradients[s][LAYER_BIAS + c] == 0); /* the batch's own mean takes it out */
    assert_near((double)v->gradients[s][BIAS + c], sum_of(s, blocks, 9 * CHANNELS + c), scale, "bias", blocks);
    for (int tap = 0; tap < TAPS; tap++)
        assert_near((double)v->gradients[s][WEIGHT + c * TAPS + tap], sum_of(s, blocks, 2 * CHANNELS + c * TAPS + tap),
                    scale, "weight", blocks);
    assert_true(v->rows[s][PLAN_GRADIENT_A][c] == v->rows[s][PLAN_SCALE][c]);
    assert_near((double)v->rows[s][PLAN_GRADIENT_B][c], b, unit, "b", blocks);
    assert_near((double)v->rows[s][PLAN_GRADIENT_D][c], d, 4 * unit, "d", blocks);
}

/* ---- tests ---- */
static void all_blocks_are_added(void **)
{
    static struct vectors before, v, other;
    fill(&before);
    for (const int blocks : block_counts)
        for (const char *order : orders) {
            setenv("SHIM_ORDER", order, 1);
            struct memory m = memory_new();
            make_outputs(&m, blocks);
            make_gradients(&m, blocks);
            memory_take(&m, order == orders[0] ? &v : &other);
            if (order != orders[0])
                assert_memory_equal(&v, &other, sizeof v);
            for (int s = 0; s < STUDENTS; s++)
                for (int c = 0; c < CHANNELS; c++) {
                    check_statistics(&before, &v, s, c, blocks);
                    check_gradients(&v, s, c, blocks);
                }
        }
    setenv("SHIM_ORDER", "forward", 1);
}

/* Kernels leave the counters as they find them: the next launch, with another number of blocks, needs them at 0. */
static void launches_follow_each_other(void **)
{
    static struct vectors once, often;
    struct memory m = memory_new();
    make_gradients(&m, 17);
    memory_take(&m, &once);
    m = memory_new();
    make_gradients(&m, 300);
    make_gradients(&m, 5);
    make_gradients(&m, 17);
    memory_take(&m, &often);
    assert_memory_equal(&once, &often, sizeof once);
    for (int i = 0; i < ARRIVALS; i++)
        assert_int_equal(often.arrived[i], 0);
}

/* Without moments: scale and shift of the running statistics, which stay as they are. */
static void running_statistics_are_used(void **)
{
    static struct vectors before, v;
    struct memory m = memory_new();
    struct cuda_write write = {};
    fill(&before);
    write.norm = norm_of(&m, 7);
    write.arrived = m.vectors->arrived;
    LAUNCH(running_kernel, dim3(7, CHUNKS, STUDENTS), THREADS, 0, 0, write);
    assert_cuda(cudaGetLastError());
    memory_take(&m, &v);
    assert_memory_equal(before.state, v.state, sizeof v.state);
    for (int s = 0; s < STUDENTS; s++)
        for (int c = 0; c < CHANNELS; c++) {
            const double mean = (double)before.state[s][0][c] - (double)before.parameters[s][LAYER_BIAS + c];
            const double inverse = 1 / sqrt((double)before.state[s][1][c] + 1e-5);
            const double scale = (double)before.parameters[s][GAMMA + c] * inverse;
            assert_near((double)v.rows[s][PLAN_SCALE][c], scale, inverse, "scale", 7);
            assert_near((double)v.rows[s][PLAN_SHIFT][c], (double)before.parameters[s][BETA + c] - mean * scale,
                        2 * inverse, "shift", 7);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_blocks_are_added),
        cmocka_unit_test(launches_follow_each_other),
        cmocka_unit_test(running_statistics_are_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
