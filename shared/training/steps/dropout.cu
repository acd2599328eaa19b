/* Dropout: y = x * mask / (1 - p), the mask of dropout.h, made again in backward. Without training it is a copy.
 *
 * A vector of 4 channels takes one block of random numbers, about 60 instructions for 4 values. Memory traffic is the
 * minimum: one read and one write per value. */
#include "shared/training/steps/dropout.h"
#include "shared/training/cuda/cuda_channel_sums.cuh"

/* What the masks of all students are made from. */
struct mask {
    const uint32_t *cursor;             /* the epoch inputs' */
    const struct step_scalars *scalars; /* [steps][students] */
    int students, layer;
    struct dropout_rate rate;
    int training;
};

struct mask_keys {
    uint64_t seed, step;
};

static __device__ __forceinline__ struct mask_keys keys_of(const struct mask *m)
{
    struct mask_keys k = {};
    if (m->training) {
        const struct step_scalars *s = &m->scalars[(size_t)*m->cursor * m->students + blockIdx.z];
        k.seed = s->seed;
        k.step = s->step;
    }
    return k;
}

/* x[V], elements n, n + 1, ... of the batch; n is a multiple of V */
template <int V>
static __device__ __forceinline__ void drop(const struct mask *m, const struct mask_keys *k, size_t n, float *x)
{
    uint32_t words[4];
    if (!m->training)
        return;
    dropout_block(k->seed, k->step, m->layer, n, words);
#pragma unroll
    for (int v = 0; v < V; v++) {
        const int at = V == 4 ? v : (int)(n % 4);
        const uint32_t word = at == 0 ? words[0] : at == 1 ? words[1] : at == 2 ? words[2] : words[3];
        x[v] = dropout_apply(m->rate, word, x[v]);
    }
}

template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    dropout(struct cuda_read read, struct cuda_write write, struct mask mask, int channels, int vectors, size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(channels, vectors);
    const struct mask_keys keys = keys_of(&mask);
    const struct epilogue<V> epilogue = epilogue_of<V>(&read, &p);
    const TI *in = values_of<TI>(&read, p.channel);
    TO *out = output_of<TO>(&write, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    struct tally<V> tally;
    tally_clear(&tally);
    for (size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane; p.active && pixel < pixels; pixel += stride) {
        float x[V];
        load_vector<V>(in + pixel * channels, x);
        apply_epilogue<V>(&epilogue, x);
        drop<V>(&mask, &keys, pixel * channels + p.channel, x);
        store_vector<V>(out + pixel * channels, x);
        tally_add<V>(&tally, x);
    }
    tally_finish<V>(&tally, &p, channels, shared, &write);
}

template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 2)
    dropout_gradient(struct cuda_derivative from, struct cuda_give give, struct mask mask, int channels, int vectors,
                     size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(channels, vectors);
    const struct mask_keys keys = keys_of(&mask);
    const struct derivative<V> derivative = derivative_of<V>(&from, &p);
    const TO *g = derivative_gradient<TO>(&from, p.channel), *z = derivative_values<TO>(&from, p.channel);
    TI *to = gradient_of<TI>(&give, p.channel);
    const TI *in = values_of<TI>(&give.input, p.channel);
    struct giving<V> giving = giving_of<V>(&give, &p);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    for (size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane; p.active && pixel < pixels; pixel += stride) {
        float dz[V];
        load_derivative<V>(&derivative, g, z, pixel * channels, dz);
        drop<V>(&mask, &keys, pixel * channels + p.channel, dz);
        give_at<V>(&giving, to, in, pixel * channels, dz);
    }
    giving_finish<V>(&giving, &p, channels, shared, &give);
}

/* ---- host ---- */
static struct mask mask_of(const struct cuda_run *run)
{
    struct mask m = {};
    m.training = run->pass->training;
    if (m.training) {
        m.cursor = run->pass->inputs->cursor;
        m.scalars = run->pass->inputs->scalars;
    }
    m.students = run->students;
    m.layer = run->index;
    m.rate = dropout_rate_of(run->node->dropout);
    return m;
}

static struct channel_grid grid_of(const struct cuda_run *run, size_t *pixels)
{
    const struct shape s = cuda_output_of(run)->shape;
    *pixels = (size_t)run->pass->count * s.h * s.w;
    return channel_grid_of(s.c, vector_width(s.c), *pixels, 1, MAX_VECTORS);
}

static enum status forward(const struct cuda_run *run, struct error *err)
{
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_read read = cuda_read_of(run, in);
    const struct cuda_write write = cuda_write_of(run, run->scratch);
    const struct mask mask = mask_of(run);
    const int channels = out->shape.c;
    size_t pixels;
    const struct channel_grid g = grid_of(run, &pixels);
    const dim3 grid = channel_dim(&g, run->students);
    DISPATCH(cuda_dtype_of(run, in), cuda_dtype_of(run, out), g.width,
             LAUNCH((dropout<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, read, write, mask, channels, g.vectors,
                    pixels));
    return cuda_launched("dropout", err);
}

static enum status backward(const struct cuda_run *run, struct error *err)
{
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_derivative derivative = cuda_derivative_of(run);
    const struct cuda_give give = cuda_give_of(run, run->scratch);
    const struct mask mask = mask_of(run);
    const int channels = out->shape.c;
    size_t pixels;
    const struct channel_grid g = grid_of(run, &pixels);
    const dim3 grid = channel_dim(&g, run->students);
    if (in->gradient == PLAN_NONE)
        return STATUS_OK;
    DISPATCH(cuda_dtype_of(run, in), cuda_dtype_of(run, out), g.width,
             LAUNCH((dropout_gradient<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, derivative, give, mask,
                    channels, g.vectors, pixels));
    return cuda_launched("dropout_gradient", err);
}

extern "C" {
const struct cuda_step_kernel cuda_dropout = {NULL, forward, backward};
}
