/* Depthwise 3x3 convolutions with stride 1 and 2, forward and backward, in tiles through shared memory
 * (depthwise_tile.cuh).
 *
 * Forward: a block brings the completed input of a tile of about 16x16 outputs (8x8 at stride 2) of 32 channels into
 * shared memory, each value once. The overlap of neighbouring tiles (18x18 inputs for 16x16 outputs) comes from the L2
 * cache. Each thread then makes squares of 2x2 outputs (2x1 at stride 2): 16 reads of shared memory for 4 outputs of 4
 * channels. With fewer channels tiles are wider.
 *
 * Backward is one kernel, because both gradients need the same window of dz around an input pixel q:
 *     dx[q] = sum over taps k of w[k] * dz[o]
 *     dw[k] = sum over pixels q of x[q] * dz[o],   o: the output that reads q with tap k
 * A block brings dz = a * g + b * z + d of a tile into shared memory. Each thread then loads two input pixels, one
 * below the other (2x2 at stride 2), once (for x, for act'(x) and for the batch norm's sums), and keeps dw of its
 * channels in registers until the block's last tile.
 *
 * Memory traffic is the plan's minimum: forward 1 read and 1 write; backward g and z of the output, z of the input, g
 * of the input. Partial weight gradients are a few percent of that. Blocks are persistent: a fixed number of them takes
 * turns over the tiles. */
#include "shared/training/steps/depthwise_tile.cuh"

enum {
    LOADS = 6,          /* forward: fetches in flight per thread */
    GRADIENT_LOADS = 2, /* backward: pairs of them */
    TILE_BLOCKS = 256,  /* that share the tiles: two for each multiprocessor of a large GPU */
    TILE_KERNEL = 3,
    TAPS = TILE_KERNEL * TILE_KERNEL
};

/* Blocks that a multiprocessor holds: as many as shared memory and registers have room for. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
enum { RESIDENT = 1 };
#else
enum { RESIDENT = 2 };
#endif

static __device__ __forceinline__ const float *student_row(const float *row, size_t stride, int first)
{
    return row ? row + blockIdx.z * stride + first : NULL;
}

/* ---- forward ---- */
enum { ROW_SCALE, ROW_SHIFT, ROW_BIAS };

template <int V>
static __device__ __forceinline__ void share_forward(const struct depthwise *d, const struct place *p,
                                                     const struct tile_memory *m)
{
    const int channels = channels_of_block(p, V, d->window.channels);
    const struct cuda_read *read = &d->read;
    share_weights(d->weights + blockIdx.z * d->parameter_stride + (size_t)p->first * TAPS, channels, TAPS, m->weights);
    share_row(student_row(read->scale, read->row_stride, p->first), 1, channels, m->rows + ROW_SCALE * TILE_CHANNELS);
    share_row(student_row(read->scale ? read->shift : NULL, read->row_stride, p->first), 0, channels,
              m->rows + ROW_SHIFT * TILE_CHANNELS);
    share_row(student_row(d->bias, d->parameter_stride, p->first), 0, channels, m->rows + ROW_BIAS * TILE_CHANNELS);
}

/* sum[i * BESIDE + j] = bias + the window of output (i, j) of a square of RUN x BESIDE. from: its first position. */
template <int V, int S, int RUN, int BESIDE>
static __device__ __forceinline__ void window_sums(const float (&w)[TAPS][V], const float *bias, const float *from,
                                                   int columns, float (&sum)[RUN * BESIDE][V])
{
    enum { ACROSS = (BESIDE - 1) * S + TILE_KERNEL };
#pragma unroll
    for (int i = 0; i < RUN * BESIDE; i++)
        read_shared<V>(bias, sum[i]);
#pragma unroll
    for (int row = 0; row < (RUN - 1) * S + TILE_KERNEL; row++) {
#pragma unroll
        for (int column = 0; column < ACROSS; column++) {
            float value[V];
            read_shared<V>(from + column * V, value);
#pragma unroll
            for (int i = 0; i < RUN * BESIDE; i++) {
                const int ky = row - i / BESIDE * S, kx = column - i % BESIDE * S;
                if (ky < 0 || ky >= TILE_KERNEL || kx < 0 || kx >= TILE_KERNEL)
                    continue;
#pragma unroll
                for (int v = 0; v < V; v++)
                    sum[i][v] += w[ky * TILE_KERNEL + kx][v] * value[v];
            }
        }
        from += columns * V;
    }
}

template <typename T, int V, int F, int S>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 2) forward_tiles(struct depthwise d, struct tiling t)
{
    enum { RUN = 2, BESIDE = S == 1 ? 2 : 1 };
    DYNAMIC_SHARED(float, shared);
    const struct window *win = &d.window;
    const int channels = win->channels;
    const struct place p = place_of<V>(channels, t.vectors), filler = place_of<F>(channels, t.vectors * V / F);
    const struct tile_memory m = memory_of<V>(&t, shared, TAPS);
    const int mine = p.channel - p.first, filled = filler.channel - p.first;
    struct tally<V> tally;
    tally_clear(&tally);
    share_forward<V>(&d, &p, &m);
    share_spots(&t, &m, channels, win->y.in, win->x.in, win->y.out, win->x.out, 1, S, RUN, BESIDE);
    for (int index = blockIdx.x, turn = 0; index < t.tiles; index += gridDim.x, turn ^= 1) {
        const struct corner *const corner = m.corners + turn;
        if (threadIdx.x == 0) {
            struct corner c = corner_of(&t, index, win->samples, channels, win->y.in, win->x.in, S, -win->y.pad,
                                        -win->x.pad, win->y.out, win->x.out, 1);
            c.positions[0] += blockIdx.z * d.read.stride + filler.first;
            c.jobs[0] += blockIdx.z * d.write.stride + p.first;
            m.corners[turn] = c;
        }
        __syncthreads();
        struct input_source<T, F> source;
        source.in = kept((const T *)d.read.values + (corner->positions[0] + filled));
        read_shared<F>(m.rows + ROW_SCALE * TILE_CHANNELS + filled, source.scale);
        read_shared<F>(m.rows + ROW_SHIFT * TILE_CHANNELS + filled, source.shift);
        source.activation = d.read.activation;
        source.alpha = d.read.alpha;
        source.beta = d.read.beta;
        fill_tile<V, F, LOADS>(&t, &filler, source, corner->position_limits, m.positions, m.tile + filled * t.plane);
        activate_rest<V, F>(&t, &filler, &d.read, corner->position_limits, m.positions, m.tile + filled * t.plane);
        __syncthreads();
        const struct limits limits = corner->job_limits;
        T *const to = kept((T *)d.write.values + (corner->jobs[0] + mine));
        float w[TAPS][V];
#pragma unroll
        for (int k = 0; k < TAPS; k++)
            read_shared<V>(m.weights + k * TILE_CHANNELS + mine, w[k]);
        for (int job = p.lane; p.active && job < t.jobs; job += p.lanes) {
            const struct spot spot = m.jobs[job];
            float sum[RUN * BESIDE][V];
            window_sums<V, S, RUN, BESIDE>(w, m.rows + ROW_BIAS * TILE_CHANNELS + mine,
                                           m.tile + mine * t.plane + (spot.place >> PLACE_POSITION) * V, t.columns,
                                           sum);
#pragma unroll
            for (int i = 0; i < RUN * BESIDE; i++) {
                if (!is_below(limits, spot.place, place_word(i / BESIDE, i % BESIDE, 0)))
                    continue;
                store_vector<V>(to + spot.offset + (i / BESIDE * win->x.out + i % BESIDE) * channels, sum[i]);
                tally_add<V>(&tally, sum[i]);
            }
        }
    }
    tally_finish<V>(&tally, &p, channels, shared, &d.write);
}

/* ---- backward ---- */
enum { ROW_A, ROW_B, ROW_D, ROW_INPUT_SCALE, ROW_INPUT_SHIFT, ROW_INPUT_MEAN };

template <int V>
static __device__ __forceinline__ void share_backward(const struct depthwise *d, const struct place *p,
                                                      const struct tile_memory *m)
{
    const int channels = channels_of_block(p, V, d->window.channels), first = p->first;
    const struct cuda_derivative *through = &d->derivative;
    const struct cuda_read *input = &d->give.input;
    const float *const rows[TILE_ROWS] = {
        student_row(through->a, through->row_stride, first),
        student_row(through->b, through->row_stride, first),
        student_row(through->d, through->row_stride, first),
        student_row(input->scale, input->row_stride, first),
        student_row(input->scale ? input->shift : NULL, input->row_stride, first),
        student_row(d->give.mean, input->row_stride, first),
    };
    share_weights(d->weights + blockIdx.z * d->parameter_stride + (size_t)first * TAPS, channels, TAPS, m->weights);
#pragma unroll
    for (int i = 0; i < TILE_ROWS; i++)
        share_row(rows[i], i == ROW_A || i == ROW_INPUT_SCALE, channels, m->rows + i * TILE_CHANNELS);
}

/* How the input is completed. rows: in shared memory, those of the thread's channels. */
template <int V>
static __device__ __forceinline__ struct epilogue<V> epilogue_of_input(const struct cuda_read *input,
                                                                       const float *rows) {
    struct epilogue<V> c;
    read_shared<V>(rows + ROW_INPUT_SCALE * TILE_CHANNELS, c.scale);
    read_shared<V>(rows + ROW_INPUT_SHIFT * TILE_CHANNELS, c.shift);
    c.activation = input->activation;
    c.alpha = input->alpha;
    c.beta = input->beta;
    return c;
}

/* Gives dx, as struct cuda_give says. sums: of g and of g * (z - mean). */
template <int V, typename T>
static __device__ __forceinline__ void give_pixel(const struct cuda_give *give, const struct epilogue<V> *c,
                                                  const float *rows, T *to, const float *z, float *dx,
                                                  float (&sums)[2][V])
{
    if (give->accumulate) {
        float before[V];
        load_vector<V>(to, before);
#pragma unroll
        for (int v = 0; v < V; v++)
            dx[v] += before[v];
    }
    if (give->finish)
        through_epilogue<V>(c, z, dx);
    store_vector<V>(to, dx);
    if (!give->sums)
        return;
    float mean[V];
    read_shared<V>(rows + ROW_INPUT_MEAN * TILE_CHANNELS, mean);
#pragma unroll
    for (int v = 0; v < V; v++) {
        sums[0][v] += dx[v];
        sums[1][v] += dx[v] * (z[v] - mean[v]);
    }
}

/* A job is RUN x S input pixels whose first is pixel S * i: pixel S * i + a reads output i + PAD / S + j with tap a +
 * P - S * j, where P = PAD % S and j runs from LOW to HIGH. */
template <typename T, int V, int F, int S, int P>
static __global__ void __launch_bounds__(CHANNEL_THREADS, sizeof(T) == 4 ? 1 : RESIDENT)
    backward_tiles(struct depthwise d, struct tiling t)
{
    enum {
        K = TILE_KERNEL,
        RUN = 2,
        LOW = -((K - 1 - P) / S),
        HIGH_Y = (RUN - 1 + P) / S,
        HIGH_X = (S - 1 + P) / S,
        SPAN_Y = HIGH_Y - LOW + 1,
        SPAN_X = HIGH_X - LOW + 1
    };
    DYNAMIC_SHARED(float, shared);
    const struct window *win = &d.window;
    const int channels = win->channels;
    const struct place p = place_of<V>(channels, t.vectors), filler = place_of<F>(channels, t.vectors * V / F);
    const struct tile_memory m = memory_of<V>(&t, shared, TAPS);
    const int mine = p.channel - p.first, filled = filler.channel - p.first;
    float dw[TAPS][V], sums[2][V];
    clear<TAPS * V>(dw[0]);
    clear<2 * V>(sums[0]);
    share_backward<V>(&d, &p, &m);
    share_spots(&t, &m, channels, win->y.out, win->x.out, win->y.in, win->x.in, S, 1, RUN / S, 1);
    for (int index = blockIdx.x, turn = 0; index < t.tiles; index += gridDim.x, turn ^= 1) {
        const struct corner *const corner = m.corners + turn;
        if (threadIdx.x == 0) {
            struct corner c = corner_of(&t, index, win->samples, channels, win->y.out, win->x.out, 1,
                                        win->y.pad / S + LOW, win->x.pad / S + LOW, win->y.in, win->x.in, S);
            c.positions[0] += blockIdx.z * d.derivative.gradient_stride + filler.first;
            c.positions[1] += blockIdx.z * d.derivative.value_stride + filler.first;
            c.jobs[0] += blockIdx.z * d.give.input.stride + p.first;
            c.jobs[1] += blockIdx.z * d.give.stride + p.first;
            m.corners[turn] = c;
        }
        __syncthreads();
        struct gradient_source<T, F> source;
        source.gradient = kept((const T *)d.derivative.gradient + (corner->positions[0] + filled));
        source.values = kept((const T *)d.derivative.values + (corner->positions[1] + filled));
        source.from = &d.derivative;
        source.rows = m.rows + ROW_A * TILE_CHANNELS + filled;
        fill_tile<V, F, S == 1 ? GRADIENT_LOADS : 1>(&t, &filler, source, corner->position_limits, m.positions,
                                                     m.tile + filled * t.plane);
        __syncthreads();
        const struct limits limits = corner->job_limits;
        const T *const from_in = kept((const T *)d.give.input.values + (corner->jobs[0] + mine));
        T *const give_to = kept(d.wants_dx ? (T *)d.give.gradient + (corner->jobs[1] + mine) : NULL);
        for (int job = p.lane; p.active && job < t.jobs; job += p.lanes) {
            const struct spot spot = m.jobs[job];
            const float *const from = m.tile + mine * t.plane + (spot.place >> PLACE_POSITION) * V;
            const struct epilogue<V> c = epilogue_of_input<V>(&d.give.input, m.rows + mine);
#pragma unroll
            for (int ax = 0; ax < S; ax++) { /* a column of pixels at a time: registers are scarce */
                raw_vector<T, V> raw[RUN];
                bool inside[RUN];
                float value[RUN][V], dx[RUN][V];
#pragma unroll
                for (int ay = 0; ay < RUN; ay++) {
                    inside[ay] = is_below(limits, spot.place, place_word(ay, ax, 0));
                    if (inside[ay])
                        raw[ay] = fetch_vector<T, V>(from_in + spot.offset + (ay * win->x.in + ax) * channels);
                }
#pragma unroll
                for (int ay = 0; ay < RUN; ay++) {
                    clear<V>(value[ay]);
                    clear<V>(dx[ay]);
                    if (inside[ay]) {
                        unpack_vector<V>(raw[ay], value[ay]);
                        apply_epilogue<V>(&c, value[ay]);
                    }
                }
#pragma unroll
                for (int jx = 0; jx < SPAN_X; jx++) {
                    const int kx = ax + P - S * (jx + LOW);
                    if (kx < 0 || kx >= K)
                        continue;
                    float w[K][V];
#pragma unroll
                    for (int ky = 0; ky < K; ky++)
                        read_shared<V>(m.weights + (ky * K + kx) * TILE_CHANNELS + mine, w[ky]);
#pragma unroll
                    for (int jy = 0; jy < SPAN_Y; jy++) {
                        float dz[V];
                        read_shared<V>(from + (jy * t.columns + jx) * V, dz);
#pragma unroll
                        for (int ay = 0; ay < RUN; ay++) {
                            const int ky = ay + P - S * (jy + LOW);
                            if (ky < 0 || ky >= K)
                                continue;
#pragma unroll
                            for (int v = 0; v < V; v++) {
                                dx[ay][v] += w[ky][v] * dz[v];
                                dw[ky * K + kx][v] += value[ay][v] * dz[v];
                            }
                        }
                    }
                }
#pragma unroll
                for (int ay = 0; ay < RUN; ay++) {
                    float z[V];
                    if (!d.wants_dx || !inside[ay])
                        continue;
                    unpack_vector<V>(raw[ay], z);
                    give_pixel<V>(&d.give, &c, m.rows + mine, give_to + spot.offset + (ay * win->x.in + ax) * channels,
                                  z, dx[ay], sums);
                }
            }
        }
    }
    const size_t block = blockIdx.z * (size_t)gridDim.x + blockIdx.x;
    const int own = channels_of_block(&p, V, channels);
    add_lanes<V, TAPS * V>(&p, channels, dw[0], shared, d.weight_sums.rows + block * channels * TAPS, TAPS, 1);
    if (d.give.sums)
        add_lanes<V, 2 * V>(&p, channels, sums[0], shared, d.give.sums + block * 2 * channels, 1, channels);
    finish_gradients(&d.give, p.first, own, weight_sums_of(&d.weight_sums, p.first * TAPS, own * TAPS));
}

/* ---- host ---- */
bool depthwise_has_tiles(const struct cuda_run *run, const struct window *w)
{
    const bool alike = cuda_dtype_of(run, cuda_input_of(run)) == cuda_dtype_of(run, cuda_output_of(run));
    const bool square = w->y.stride == w->x.stride && w->y.dilation == 1 && w->x.dilation == 1;
    const bool aligned = w->y.stride == 1 || (w->y.stride == 2 && w->y.pad % 2 == 1 && w->x.pad % 2 == 1);
    return alike && square && aligned && w->y.kernel == TILE_KERNEL && w->x.kernel == TILE_KERNEL &&
           image_elements(w) < INT_MAX;
}

/* Channels that a thread fetches at a time: 16 bytes if all pixels are aligned to that. Tensors are, and so are the
 * copies of students. */
static int fetch_width(const struct cuda_run *run, int channels)
{
    return run->plan->dtype == DTYPE_BF16 && channels % 8 == 0 ? 8 : vector_width(channels);
}

/* As many blocks as work on equal numbers of tiles, as far as possible. */
static int tile_blocks(const struct tiling *t, int most)
{
    const int each = (t->tiles + most - 1) / most;
    return (t->tiles + each - 1) / each;
}

static dim3 tile_grid(const struct tiling *t, const struct window *win, int width, int blocks, int students)
{
    const int vectors = win->channels / width;
    return dim3(blocks, (vectors + t->vectors - 1) / t->vectors, students);
}

/* Runs a launch with T, V and F: channels of a vector and of a fetch. */
#define DISPATCH_TILE(run, width, wide, ...)                             \
    do {                                                                 \
        if ((wide) == 8) {                                               \
            typedef bf16 T;                                              \
            enum { V = 4, F = 8 };                                       \
            __VA_ARGS__;                                                 \
        } else {                                                         \
            DISPATCH_TYPE((run)->plan->dtype, T, DISPATCH_WIDTH(width, { \
                              enum { F = V };                            \
                              __VA_ARGS__;                               \
                          }));                                           \
        }                                                                \
    } while (0)

enum status depthwise_tiles_forward(const struct cuda_run *run, const struct depthwise *d, struct error *err)
{
    const struct window *w = &d->window;
    const int width = vector_width(w->channels), wide = fetch_width(run, w->channels), stride = w->y.stride;
    const struct tiling t = tiling_of(w, width, wide, w->y.out, w->x.out, 2, stride == 1 ? 2 : 1, TILE_KERNEL, stride);
    const size_t bytes = tile_bytes(&t, width, TAPS);
    const dim3 grid = tile_grid(&t, w, width, tile_blocks(&t, TILE_BLOCKS), run->students);
    if (stride == 1)
        DISPATCH_TILE(run, width, wide,
                      LAUNCH((forward_tiles<T, V, F, 1>), grid, CHANNEL_THREADS, bytes, run->stream, *d, t));
    else
        DISPATCH_TILE(run, width, wide,
                      LAUNCH((forward_tiles<T, V, F, 2>), grid, CHANNEL_THREADS, bytes, run->stream, *d, t));
    return cuda_launched("depthwise forward_tiles", err);
}

enum status depthwise_tiles_backward(const struct cuda_run *run, const struct depthwise *d, int blocks,
                                     struct error *err)
{
    const struct window *w = &d->window;
    const int width = vector_width(w->channels), wide = fetch_width(run, w->channels), stride = w->y.stride;
    const struct tiling t = tiling_of(w, width, wide, (w->y.in + stride - 1) / stride, (w->x.in + stride - 1) / stride,
                                      2 / stride, 1, 4 - stride, 1);
    const size_t bytes = tile_bytes(&t, width, TAPS);
    const int most = blocks < TILE_BLOCKS ? blocks : (int)TILE_BLOCKS;
    const dim3 grid = tile_grid(&t, w, width, tile_blocks(&t, most), run->students);
    if (stride == 1)
        DISPATCH_TILE(run, width, wide,
                      LAUNCH((backward_tiles<T, V, F, 1, 0>), grid, CHANNEL_THREADS, bytes, run->stream, *d, t));
    else
        DISPATCH_TILE(run, width, wide,
                      LAUNCH((backward_tiles<T, V, F, 2, 1>), grid, CHANNEL_THREADS, bytes, run->stream, *d, t));
    return cuda_launched("depthwise backward_tiles", err);
}
