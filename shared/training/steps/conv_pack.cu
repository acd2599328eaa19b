/* Puts weights into the order in which the products read them, once per step and student: a permutation with rounding
 * of some hundred kilobytes, which stay in the L2 cache. Writes are coalesced, reads are scattered. */
#include "shared/training/steps/conv.cuh"

struct pack {
    const float *weights;
    size_t weight_stride, count; /* elements per student */
    int groups, taps, from, to, to_padded;
    size_t from_stride, to_stride; /* of a channel in the weights */
};

template <typename T> static __global__ void __launch_bounds__(256) pack_weights(const struct pack p, T *packed)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= p.count)
        return;
    const int to = (int)(i % p.to_padded);
    const size_t row = i / p.to_padded;
    const int from = (int)(row % p.from), tap = (int)(row / p.from % p.taps), group = (int)(row / p.from / p.taps);
    const float *weights = p.weights + blockIdx.z * p.weight_stride + (size_t)group * p.from * p.to * p.taps;
    store(packed + blockIdx.z * p.count + i, to < p.to ? weights[from * p.from_stride + to * p.to_stride + tap] : 0.0f);
}

static struct pack pack_of(const struct conv_shape *s, int backward)
{
    struct pack p = {};
    const int in = s->in_c / s->groups, out = s->out_c / s->groups;
    p.groups = s->groups;
    p.taps = s->kernel_h * s->kernel_w;
    p.from = backward ? out : in;
    p.to = backward ? in : out;
    p.to_padded = (p.to + 3) / 4 * 4;
    p.from_stride = (size_t)p.taps * (backward ? in : 1);
    p.to_stride = (size_t)p.taps * (backward ? 1 : in);
    p.count = (size_t)p.groups * p.taps * p.from * p.to_padded;
    return p;
}

size_t conv_packed_count(const struct conv_shape *shape, int backward)
{
    return pack_of(shape, backward).count;
}

enum status conv_pack(const struct cuda_run *run, const struct conv_shape *shape, int backward, enum dtype dtype,
                      void *packed, struct error *err)
{
    struct pack p = pack_of(shape, backward);
    p.weights = weight_values(run->memory, run->step->weight);
    p.weight_stride = run->plan->parameter_count;
    const dim3 grid((unsigned)((p.count + 255) / 256), 1, (unsigned)run->students);
    if (dtype == DTYPE_BF16)
        LAUNCH((pack_weights<bf16>), grid, 256, 0, run->stream, p, (bf16 *)packed);
    else
        LAUNCH((pack_weights<float>), grid, 256, 0, run->stream, p, (float *)packed);
    return cuda_launched("packing a convolution's weights", err);
}
