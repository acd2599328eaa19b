/* Channels of the input in another order: splits, slices, shuffles.
 *
 * A thread owns one channel and walks over pixels (cuda_channels.cuh). The list of channels is an argument of the
 * kernel, so long lists take several launches. Forward reads what it writes. Backward: a thread owns a channel of the
 * input and reads the output's channel that was made of it; if several were, there is one pass for each. */
#include "shared/training/cuda/cuda_channel_sums.cuh"

enum { LIST = 768 };

/* For channels [begin, begin + count): the channel of the other tensor, or -1. */
struct list {
    int begin, count;
    int other[LIST];
};

static __device__ __forceinline__ struct place list_place(const struct list *list, int vectors)
{
    struct place p = place_of<1>(list->count, vectors);
    p.first += list->begin;
    p.channel += list->begin;
    return p;
}

template <typename TI, typename TO>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    select_channels(struct cuda_read read, struct list list, struct cuda_write write, int in_channels, int channels,
                    int vectors, size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = list_place(&list, vectors);
    struct place from = p;
    from.channel = p.active ? list.other[p.channel - list.begin] : 0;
    const struct epilogue<1> epilogue = epilogue_of<1>(&read, &from);
    const TI *in = values_of<TI>(&read, from.channel);
    TO *out = output_of<TO>(&write, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    struct tally<1> tally;
    tally_clear(&tally);
    for (size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane; p.active && pixel < pixels; pixel += stride) {
        float x = load(in + pixel * in_channels);
        apply_epilogue<1>(&epilogue, &x);
        store_vector<1>(out + pixel * channels, &x);
        tally_add<1>(&tally, &x);
    }
    tally_finish<1>(&tally, &p, channels, shared, &write);
}

template <typename TI, typename TO>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    select_gradient(struct cuda_derivative from, struct list list, struct cuda_give give, int channels,
                    int out_channels, int vectors, size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = list_place(&list, vectors);
    const int source = p.active ? list.other[p.channel - list.begin] : -1;
    struct place out = p;
    out.channel = source < 0 ? 0 : source;
    const struct derivative<1> derivative = derivative_of<1>(&from, &out);
    struct giving<1> giving = giving_of<1>(&give, &p);
    const TO *g = derivative_gradient<TO>(&from, out.channel), *z = derivative_values<TO>(&from, out.channel);
    TI *to = gradient_of<TI>(&give, p.channel);
    const TI *in = values_of<TI>(&give.input, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    for (size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane; p.active && pixel < pixels; pixel += stride) {
        float dz = 0;
        if (source >= 0)
            load_derivative<1>(&derivative, g, z, pixel * out_channels, &dz);
        give_at<1>(&giving, to, in, pixel * channels, &dz);
    }
    giving_finish<1>(&giving, &p, channels, shared, &give);
}

/* ---- host ---- */
static enum status forward(const struct cuda_run *run, struct error *err)
{
    enum status status = STATUS_OK;
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_read read = cuda_read_of(run, in);
    const struct cuda_write write = cuda_write_of(run, run->scratch);
    const size_t pixels = (size_t)run->pass->count * out->shape.h * out->shape.w;
    for (int begin = 0; begin < out->shape.c; begin += LIST) {
        struct list list = {begin, out->shape.c - begin < LIST ? out->shape.c - begin : LIST, {0}};
        for (int i = 0; i < list.count; i++)
            list.other[i] = run->node->channels[begin + i];
        const struct channel_grid g = channel_grid_of(list.count, 1, pixels, 1, MAX_VECTORS);
        const dim3 grid = channel_dim(&g, run->students);
        DISPATCH_TYPES(cuda_dtype_of(run, in), cuda_dtype_of(run, out),
                       LAUNCH((select_channels<TI, TO>), grid, CHANNEL_THREADS, 0, run->stream, read, list, write,
                              in->shape.c, out->shape.c, g.vectors, pixels));
        TRY(cuda_launched("select_channels", err));
    }
cleanup:
    return status;
}

/* The output's channel number `which` (from 0) that is made of channel c, or -1. */
static int reader_of(const struct node *node, int c, int which)
{
    for (int i = 0; i < node->channel_count; i++)
        if (node->channels[i] == c && which-- == 0)
            return i;
    return -1;
}

/* How often the most wanted channel is read; at least 1. */
static int passes_of(const struct node *node, int channels)
{
    int most = 1;
    for (int c = 0; c < channels; c++)
        while (reader_of(node, c, most) >= 0)
            most++;
    return most;
}

static enum status backward(const struct cuda_run *run, struct error *err)
{
    enum status status = STATUS_OK;
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_derivative derivative = cuda_derivative_of(run);
    const size_t pixels = (size_t)run->pass->count * in->shape.h * in->shape.w;
    const int passes = passes_of(run->node, in->shape.c);
    struct cuda_give give = cuda_give_of(run, run->scratch);
    float *const sums = give.sums;
    const int accumulate = give.accumulate, finish = give.finish;
    for (int pass = 0; pass < passes; pass++)
        for (int begin = 0; begin < in->shape.c; begin += LIST) {
            const bool last = pass == passes - 1;
            struct list list = {begin, in->shape.c - begin < LIST ? in->shape.c - begin : LIST, {0}};
            for (int i = 0; i < list.count; i++)
                list.other[i] = reader_of(run->node, begin + i, pass);
            const struct channel_grid g = channel_grid_of(list.count, 1, pixels, 1, MAX_VECTORS);
            const dim3 grid = channel_dim(&g, run->students);
            give.accumulate = accumulate || pass > 0;
            give.finish = finish && last;
            give.sums = last ? sums : NULL;
            DISPATCH_TYPES(cuda_dtype_of(run, in), cuda_dtype_of(run, out),
                           LAUNCH((select_gradient<TI, TO>), grid, CHANNEL_THREADS, 0, run->stream, derivative, list,
                                  give, in->shape.c, out->shape.c, g.vectors, pixels));
            TRY(cuda_launched("select_gradient", err));
        }
cleanup:
    return status;
}

extern "C" {
const struct cuda_step_kernel cuda_select = {NULL, forward, backward};
}
