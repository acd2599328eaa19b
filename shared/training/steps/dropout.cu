/* Dropout: y = x * mask / (1 - p). The mask is made anew in backward: it is a function of the student's seed, the step,
 * the layer and the element, through Philox 4x32-10 as shared/base/random.h has it, and equal on every backend.
 *
 * Element number n of the batch is dropped by word n % 4 of block n / 4, so that a vector of 4 channels takes one block
 * of random numbers: about 60 instructions for 4 values. Moves one read and one write: the floor. Without training it
 * is a copy. */
#include "shared/training/cuda/cuda_channel_sums.cuh"
#include "shared/device/cuda/cuda_random.cuh"

/* The mask's parameters, of every student. */
struct mask {
    const uint32_t *cursor;             /* the epoch inputs' */
    const struct step_scalars *scalars; /* [steps][students] */
    int students, layer;
    float scale;    /* 1 / (1 - p) */
    uint32_t limit; /* 24-bit numbers below it drop */
    int training;
};

struct mask_keys {
    uint32_t key[2], step[2];
};

static __device__ __forceinline__ struct mask_keys keys_of(const struct mask *m)
{
    struct mask_keys k = {};
    if (m->training) {
        const struct step_scalars *s = &m->scalars[(size_t)*m->cursor * m->students + blockIdx.z];
        k.key[0] = (uint32_t)s->seed;
        k.key[1] = (uint32_t)(s->seed >> 32);
        k.step[0] = (uint32_t)s->step;
        k.step[1] = (uint32_t)(s->step >> 32);
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
    philox((uint32_t)(n / 4), (uint32_t)m->layer, k->step[0], RANDOM_DROPOUT | k->step[1] << 8, k->key[0], k->key[1],
           words);
#pragma unroll
    for (int v = 0; v < V; v++) {
        const int at = V == 4 ? v : (int)(n % 4);
        const uint32_t word = at == 0 ? words[0] : at == 1 ? words[1] : at == 2 ? words[2] : words[3];
        x[v] = word >> 8 < m->limit ? 0 : x[v] * m->scale;
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
    if (write.moments)
        tally_hand_in<V>(&tally, &p, channels, shared, write.moments);
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
    if (give.sums)
        giving_hand_in<V>(&giving, &p, channels, shared, give.sums);
}

/* ---- host ---- */
static struct mask mask_of(const struct cuda_run *run)
{
    const float p = run->node->dropout;
    struct mask m = {};
    m.training = run->pass->training;
    if (m.training) {
        m.cursor = run->pass->inputs->cursor;
        m.scalars = run->pass->inputs->scalars;
    }
    m.students = run->students;
    m.layer = run->index;
    m.scale = p < 1 ? 1 / (1 - p) : 0;
    m.limit = (uint32_t)((double)p * 16777216.0);
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
    enum status status = STATUS_OK;
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
    TRY(cuda_launched("dropout", err));
    if (run->step->statistics)
        TRY(cuda_finish_statistics(run, write.moments, g.blocks, err));
cleanup:
    return status;
}

static enum status backward(const struct cuda_run *run, struct error *err)
{
    enum status status = STATUS_OK;
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
    TRY(cuda_launched("dropout_gradient", err));
    if (give.sums)
        TRY(cuda_finish_gradient(run, give.sums, g.blocks, err));
cleanup:
    return status;
}

extern "C" {
const struct cuda_step_kernel cuda_dropout = {NULL, forward, backward};
}
