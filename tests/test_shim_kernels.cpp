/* What kernels compute on the execution shim (tests/shim/README.md): barriers, warps, shared memory, atomics, numbers.
 */
#include "tests/helper_shim.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math.h>

static const char *const orders[] = {"forward", "reverse", "shuffle:1", "shuffle:7"};

/* ---- a reduction: shuffles, then shared memory ---- */
template <typename T, int WARPS> static __global__ void sum_kernel(const T *x, int n, float *sums)
{
    __shared__ float parts[WARPS];
    float sum = 0;
    for (int i = threadIdx.x + blockIdx.x * blockDim.x; i < n; i += blockDim.x * gridDim.x)
        sum += (float)x[i];
    for (int lanes = 16; lanes > 0; lanes /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
    if (threadIdx.x % 32 == 0)
        parts[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        float total = 0;
        for (int i = 0; i < WARPS; i++)
            total += parts[i];
        sums[blockIdx.x] = total;
    }
}

template <typename T, int WARPS> static void check_sum(void)
{
    enum { N = 1000, BLOCKS = 3 };
    T host[N];
    float sums[BLOCKS], total = 0;
    for (int i = 0; i < N; i++) {
        host[i] = (T)(float)(i % 17);
        total += (float)(i % 17);
    }
    for (const char *order : orders) {
        setenv("SHIM_ORDER", order, 1);
        T *x = device_copy(host, N), back[N];
        float *out = device_copy<float>(NULL, BLOCKS);
        LAUNCH((sum_kernel<T, WARPS>), BLOCKS, WARPS * 32, 0, 0, x, N, out);
        assert_cuda(cudaGetLastError());
        device_take(sums, out, BLOCKS);
        device_take(back, x, N);
        assert_true(sums[0] + sums[1] + sums[2] == total);
    }
    unsetenv("SHIM_ORDER");
}

static void test_reduction(void **)
{
    check_sum<float, 1>();
    check_sum<float, 4>();
    check_sum<__nv_bfloat16, 8>();
    check_sum<__half, 32>();
}

/* ---- atomics ---- */
static __global__ void count_kernel(const int *x, int n, unsigned int *counts, int *greatest, unsigned long long *sum)
{
    const int i = threadIdx.x + blockIdx.x * blockDim.x;
    if (i >= n)
        return;
    atomicAdd(&counts[x[i]], 1);
    atomicMax(greatest, x[i]);
    atomicAdd(sum, (unsigned long long)x[i] << 32);
}

static void test_atomics(void **)
{
    enum { N = 300, BINS = 7 };
    int x[N], greatest = -1, wanted[BINS] = {};
    unsigned int counts[BINS] = {};
    unsigned long long sum = 0, wanted_sum = 0;
    for (int i = 0; i < N; i++) {
        x[i] = i * i % BINS;
        wanted[x[i]]++;
        wanted_sum += (unsigned long long)x[i] << 32;
    }
    int *const xs = device_copy(x, N), *const max = device_copy(&greatest, 1);
    unsigned int *const bins = device_copy(counts, BINS);
    unsigned long long *const total = device_copy(&sum, 1);
    LAUNCH(count_kernel, 5, 64, 0, 0, xs, N, bins, max, total);
    device_take(counts, bins, BINS);
    device_take(&greatest, max, 1);
    device_take(&sum, total, 1);
    device_take(x, xs, N);
    for (int i = 0; i < BINS; i++)
        assert_int_equal(counts[i], wanted[i]);
    assert_int_equal(greatest, 4);
    assert_true(sum == wanted_sum);
}

/* ---- blocks of three dimensions, dynamic shared memory, many barriers ---- */
static __global__ void scan_kernel(int *x, uint3 *places)
{
    DYNAMIC_SHARED(int, line);
    const unsigned int i = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const unsigned int count = blockDim.x * blockDim.y * blockDim.z;
    const size_t base = (size_t)(blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z)) * count;
    line[i] = x[base + i];
    for (unsigned int step = 1; step < count; step *= 2) {
        __syncthreads();
        const int before = i >= step ? line[i - step] : 0;
        __syncthreads();
        line[i] += before;
    }
    x[base + i] = line[i];
    places[base + i] = make_uint3(blockIdx.x, blockIdx.y, blockIdx.z);
}

static void test_blocks_of_three_dimensions(void **)
{
    const dim3 grid(2, 3, 2), block(5, 4, 3);
    enum { THREADS = 5 * 4 * 3, N = THREADS * 12 };
    int x[N];
    uint3 at[N];
    for (const char *order : orders) {
        setenv("SHIM_ORDER", order, 1);
        for (int i = 0; i < N; i++)
            x[i] = i;
        int *const xs = device_copy(x, N);
        uint3 *const places = device_copy<uint3>(NULL, N);
        LAUNCH(scan_kernel, grid, block, THREADS * sizeof(int), 0, xs, places);
        device_take(x, xs, N);
        device_take(at, places, N);
        for (int i = 0, sum = 0; i < N; i++) {
            sum = i % THREADS == 0 ? i : sum + i;
            assert_int_equal(x[i], sum);
            assert_int_equal(at[i].x + 2 * (at[i].y + 3 * at[i].z), i / THREADS);
        }
    }
    unsetenv("SHIM_ORDER");
}

/* ---- warps ---- */
static __global__ void warp_kernel(int *out)
{
    const int lane = (int)threadIdx.x % 32;
    const unsigned int all = 0xffffffffu, group = lane < 16 ? 0xffffu : 0xffff0000u;
    int *const mine = out + 12 * threadIdx.x;
    mine[0] = __shfl_sync(all, lane * 10, 5);
    mine[1] = __shfl_sync(all, lane * 10, lane + 1, 8);
    mine[2] = __shfl_up_sync(all, lane, 3, 16);
    mine[3] = __shfl_down_sync(all, lane, 3, 16);
    mine[4] = __shfl_xor_sync(all, lane, 8);
    mine[5] = (int)__ballot_sync(all, lane % 3 == 0);
    mine[6] = __any_sync(all, lane == 31) + 2 * __any_sync(all, lane == 32);
    mine[7] = __all_sync(all, lane < 32) + 2 * __all_sync(all, lane < 31);
    mine[8] = (int)__match_any_sync(all, lane / 4);
    mine[9] = lane < 16 ? __shfl_sync(group, lane, 7) : __shfl_sync(group, -lane, 20);
    mine[10] = (int)__shfl_xor_sync(all, (double)lane + 0.5, 1);
    __syncwarp();
    mine[11] = __syncthreads_count(lane < 4) + 100 * __syncthreads_and(lane >= 0) + 1000 * __syncthreads_or(lane > 31);
}

static void test_warp_operations(void **)
{
    enum { THREADS = 96 };
    int out[12 * THREADS];
    for (const char *order : orders) {
        setenv("SHIM_ORDER", order, 1);
        int *const memory = device_copy<int>(NULL, 12 * THREADS);
        LAUNCH(warp_kernel, 1, THREADS, 0, 0, memory);
        device_take(out, memory, 12 * THREADS);
        for (int i = 0; i < THREADS; i++) {
            const int lane = i % 32, segment = lane / 16 * 16, *const got = out + 12 * i;
            assert_int_equal(got[0], 50);
            assert_int_equal(got[1], (lane / 8 * 8 + (lane + 1) % 8) * 10);
            assert_int_equal(got[2], lane - segment < 3 ? lane : lane - 3);
            assert_int_equal(got[3], lane - segment > 12 ? lane : lane + 3);
            assert_int_equal(got[4], lane ^ 8);
            assert_int_equal((unsigned int)got[5], 0x49249249u);
            assert_int_equal(got[6], 1);
            assert_int_equal(got[7], 1);
            assert_int_equal((unsigned int)got[8], 0xfu << lane / 4 * 4);
            assert_int_equal(got[9], lane < 16 ? 7 : -20);
            assert_int_equal(got[10], lane ^ 1);
            assert_int_equal(got[11], 3 * 4 + 100);
        }
    }
    unsetenv("SHIM_ORDER");
}

/* ---- what was never written ---- */
static __device__ float *shared_of_a_device_function()
{
    __shared__ float fixed[2];
    return fixed;
}

static __global__ void unwritten_kernel(const float *memory, float *seen)
{
    __shared__ float fixed[2];
    DYNAMIC_SHARED(float, dynamic);
    seen[4 * blockIdx.x] = memory[3];
    seen[4 * blockIdx.x + 1] = fixed[1];
    seen[4 * blockIdx.x + 2] = dynamic[1];
    seen[4 * blockIdx.x + 3] = *shared_of_a_device_function();
    fixed[1] = dynamic[1] = *shared_of_a_device_function() = 1; /* the next block must not see it */
}

static void test_unwritten_memory_is_nan(void **)
{
    float seen[8];
    float *const memory = device_copy<float>(NULL, 4), *const out = device_copy<float>(NULL, 8);
    LAUNCH(unwritten_kernel, 2, 1, 8, 0, memory, out);
    device_take(seen, out, 8);
    for (int i = 0; i < 8; i++)
        assert_true(isnan(seen[i]));
    cudaFree(memory);
}

/* ---- numbers ---- */
/* The nearest of the 65536 numbers, the even one of two; found by trying all of them. */
template <typename T> static void check_rounding(T (*from_bits)(unsigned short), unsigned short infinity)
{
    for (unsigned int bits = 0; bits < infinity; bits++) {
        const float low = (float)from_bits((unsigned short)bits);
        assert_int_equal(T(low).bits, bits);
        assert_int_equal(T(-low).bits, bits | 0x8000u);
        if (bits + 1u == infinity)
            break;
        const float high = (float)from_bits((unsigned short)(bits + 1)), middle = (float)(((double)low + high) / 2);
        if ((double)middle != ((double)low + high) / 2)
            continue; /* the smallest bfloat16 has no middle in float */
        assert_int_equal(T(middle).bits, bits + (bits & 1));
        assert_int_equal(T(nextafterf(middle, low)).bits, bits);
        assert_int_equal(T(nextafterf(middle, high)).bits, bits + 1);
    }
    assert_int_equal(T(INFINITY).bits, infinity);
    assert_int_equal(T(3.4e38f).bits, infinity == 0x7c00 ? 0x7c00 : 0x7f80);
    assert_true(isnan((float)T(NAN)));
    assert_true(isnan((float)from_bits((unsigned short)(infinity + 1))));
}

static void test_small_floats_round_to_nearest_even(void **)
{
    check_rounding<__nv_bfloat16>(__ushort_as_bfloat16, 0x7f80);
    check_rounding<__half>(__ushort_as_half, 0x7c00);
}

static void test_device_functions(void **)
{
    assert_int_equal(__float2int_rn(2.5f), 2);
    assert_int_equal(__float2int_rz(-2.9f), -2);
    assert_int_equal(__float2int_rd(-2.1f), -3);
    assert_int_equal(__float2int_rn(3e9f), 0x7fffffff);
    assert_int_equal(__float2int_rn(NAN), 0);
    assert_int_equal(__float2uint_rn(-1.0f), 0);
    assert_int_equal(__clz(1), 31);
    assert_int_equal(__clz(0), 32);
    assert_int_equal(__ffs(8), 4);
    assert_int_equal(__popc(0xf0f0u), 8);
    assert_int_equal(__brev(1u), 0x80000000u);
    assert_int_equal(__umulhi(0x80000000u, 6u), 3);
    assert_int_equal(__byte_perm(0x33221100u, 0x77665544u, 0x7250u), 0x77225500u);
    assert_int_equal(__funnelshift_l(0x80000000u, 1u, 1), 3);
    assert_true(max(-1, 1u) == 0xffffffffu); /* CUDA's rule for mixed signs */
    assert_true(min(NAN, 2.0f) == 2.0f);
    assert_true(rsqrtf(4.0f) == 0.5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reduction),
        cmocka_unit_test(test_atomics),
        cmocka_unit_test(test_blocks_of_three_dimensions),
        cmocka_unit_test(test_warp_operations),
        cmocka_unit_test(test_unwritten_memory_is_nan),
        cmocka_unit_test(test_small_floats_round_to_nearest_even),
        cmocka_unit_test(test_device_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
