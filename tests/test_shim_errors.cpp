/* The errors that the execution shim is there to find: each one planted, each one found. */
#include "tests/helper_shim.h"

/* ---- accesses beyond ---- */
static __global__ void write_kernel(float *x, int at)
{
    x[at] = 1;
}

static void write_beyond(void)
{
    float *const x = device_copy<float>(NULL, 10);
    LAUNCH(write_kernel, 1, 1, 0, 0, x, 10);
    cudaFree(x);
}

static __global__ void read_kernel(const float *x, float *y, int at)
{
    *y = x[at];
}

static void read_beyond(void)
{
    float *const x = device_copy<float>(NULL, 10), *const y = device_copy<float>(NULL, 1);
    LAUNCH(read_kernel, 1, 1, 0, 0, x, y, 10);
    cudaDeviceSynchronize();
}

static __global__ void shared_kernel(float *y, int fixed_at, int dynamic_at)
{
    __shared__ float fixed[8];
    DYNAMIC_SHARED(float, dynamic);
    fixed[fixed_at] = 1;
    dynamic[dynamic_at] = 2;
    *y = fixed[fixed_at] + dynamic[dynamic_at];
}

static void write_beyond_shared(void)
{
    float *const y = device_copy<float>(NULL, 1);
    LAUNCH(shared_kernel, 1, 1, 16, 0, y, 8, 3);
    cudaDeviceSynchronize();
}

static void write_beyond_dynamic_shared(void)
{
    float *const y = device_copy<float>(NULL, 1);
    LAUNCH(shared_kernel, 1, 1, 16, 0, y, 7, 4);
    cudaDeviceSynchronize();
}

static void test_writes_beyond_device_memory(void **)
{
    assert_dies(write_beyond, under_asan ? "AddressSanitizer" : "byte 0 beyond device memory of 40 bytes was written",
                under_asan ? "kernel write_kernel(float*, int), block (0, 0, 0), thread (0, 0, 0)" : NULL);
}

static void test_accesses_that_only_asan_sees(void **)
{
    if (!under_asan) {
        print_message("# skip: reads beyond device memory and accesses beyond shared memory need make asan\n");
        skip();
    }
    assert_dies(read_beyond, "AddressSanitizer", "kernel read_kernel");
    assert_dies(write_beyond_shared, under_ubsan() ? "index 8 out of bounds" : "AddressSanitizer",
                under_ubsan() ? NULL : "kernel shared_kernel");
    assert_dies(write_beyond_dynamic_shared, "AddressSanitizer", "kernel shared_kernel");
    assert_dies(
        [] {
            float *const x = device_copy<float>(NULL, 4);
            x[0] = 1; /* the host, in device memory */
        },
        "use-after-poison", NULL);
    assert_dies(
        [] {
            cudaFree(device_copy<float>(NULL, 4));
            device_copy<float>(NULL, 5);
            exit(0);
        },
        "detected memory leaks", "20 byte(s) leaked in 1 allocation(s)");
}

static __global__ void vector_kernel(float *y, int at)
{
    *(float4 *)(y + at) = make_float4(1, 2, 3, 4);
}

static void test_misaligned_vectors(void **)
{
    if (!under_ubsan()) {
        print_message("# skip: misaligned vector accesses need make ubsan\n");
        skip();
    }
    assert_dies(
        [] {
            float *const y = device_copy<float>(NULL, 8);
            LAUNCH(vector_kernel, 1, 1, 0, 0, y, 3);
            cudaDeviceSynchronize();
        },
        "misaligned address", under_asan ? NULL : "kernel vector_kernel"); /* with both, the kernel is not named */
}

/* ---- divergence ---- */
static __global__ void barrier_kernel(int how)
{
    if (how == 0 && threadIdx.x == 7)
        return;
    if (how == 1 && threadIdx.x >= 32)
        __syncthreads();
    else
        __syncthreads();
}

static __global__ void shuffle_kernel(int how, int *out)
{
    int value = (int)threadIdx.x;
    if (how == 0 && threadIdx.x == 9)
        return;
    if (how == 1 && threadIdx.x == 9)
        value += (int)__ballot_sync(0xffffffffu, 1);
    if (how == 2 && threadIdx.x < 8)
        value += __shfl_sync(0xffu, value, 8);
    if (how == 3 && threadIdx.x == 9)
        __syncthreads();
    if (how == 4 && threadIdx.x == 9)
        value += (int)__ballot_sync(1u, 1);
    if (how == 5)
        value += (int)__ballot_sync(threadIdx.x == 31 ? 0xffff0000u : 0xffffffffu, 1);
    out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, value, 1);
}

template <int HOW> static void diverge_at_barrier(void)
{
    LAUNCH(barrier_kernel, dim3(2, 2), 64, 0, 0, HOW);
    cudaDeviceSynchronize();
}

template <int HOW> static void diverge_at_shuffle(void)
{
    int *const out = device_copy<int>(NULL, 32);
    LAUNCH(shuffle_kernel, 1, 32, 0, 0, HOW, out);
    cudaDeviceSynchronize();
}

static void test_divergent_barriers(void **)
{
    assert_dies(diverge_at_barrier<0>, "but thread (7, 0, 0) has ended",
                "kernel barrier_kernel(int), block (0, 0, 0), thread (0, 0, 0): divergent barrier");
    assert_dies(diverge_at_barrier<1>, "while other threads wait at that of",
                "kernel barrier_kernel(int), block (0, 0, 0), thread (32, 0, 0): divergent barrier");
}

static void test_divergent_warps(void **)
{
    assert_dies(diverge_at_shuffle<0>, "waits at __shfl_xor_sync with mask 0xffffffff, but thread (9, 0, 0) has ended",
                "kernel shuffle_kernel(int, int*), block (0, 0, 0), thread (0, 0, 0)");
    assert_dies(diverge_at_shuffle<1>, "executes another one", "kernel shuffle_kernel");
    assert_dies(diverge_at_shuffle<2>, "shuffles from lane 8, which is not in its mask 0xff", "kernel shuffle_kernel");
    assert_dies(diverge_at_shuffle<3>, "but thread (9, 0, 0) waits at a barrier", "kernel shuffle_kernel");
    assert_dies(diverge_at_shuffle<4>, "which has not the caller's own lane 9", "thread (9, 0, 0)");
    assert_dies(diverge_at_shuffle<5>, "lane 16 of its mask 0xffff0000 executes another one, or with mask 0xffffffff",
                "thread (31, 0, 0)");
    assert_dies([] { LAUNCH(shuffle_kernel, 1, 24, 0, 0, 6, (int *)NULL), cudaDeviceSynchronize(); },
                "the warp has only the lanes 0xffffff", "kernel shuffle_kernel");
}

/* ---- races show as different results in another order ---- */
static __global__ void race_kernel(int *out, int barrier)
{
    __shared__ int line[64];
    line[threadIdx.x] = (int)threadIdx.x;
    if (barrier)
        __syncthreads();
    out[threadIdx.x] = line[63 - threadIdx.x];
}

static __global__ void block_race_kernel(int *last)
{
    *last = (int)blockIdx.x;
}

static void test_races_show_in_another_order(void **)
{
    int got[3][64], last[3];
    static const char *const orders[] = {"forward", "reverse", "shuffle:3"};
    for (int barrier = 0; barrier < 2; barrier++) {
        for (int i = 0; i < 3; i++) {
            setenv("SHIM_ORDER", orders[i], 1);
            int *const out = device_copy<int>(NULL, 64), *const block = device_copy<int>(NULL, 1);
            LAUNCH(race_kernel, 1, 64, 0, 0, out, barrier);
            LAUNCH(block_race_kernel, 64, 1, 0, 0, block);
            device_take(got[i], out, 64);
            device_take(&last[i], block, 1);
        }
        assert_int_equal(memcmp(got[0], got[1], sizeof got[0]) == 0, barrier);
        assert_int_equal(memcmp(got[0], got[2], sizeof got[0]) == 0, barrier);
    }
    assert_int_equal(last[0], 63);
    assert_int_equal(last[1], 0);
    assert_true(last[2] != 63 && last[2] != 0);
    assert_dies(
        [] {
            setenv("SHIM_ORDER", "backward", 1);
            LAUNCH(block_race_kernel, 1, 1, 0, 0, (int *)NULL);
            cudaDeviceSynchronize();
        },
        "SHIM_ORDER=backward: use forward", NULL);
    unsetenv("SHIM_ORDER");
}

/* ---- launches that a GPU refuses ---- */
static __global__ void nothing_kernel()
{
}
static __global__ void dynamic_kernel()
{
    DYNAMIC_SHARED(unsigned char, bytes);
    bytes[0] = 1;
}
static __global__ void large_kernel(float *out)
{
    __shared__ float tile[8 << 10];
    tile[threadIdx.x] = 1;
    *out = tile[0];
}

static cudaError_t launched(dim3 grid, dim3 block, size_t shared_bytes)
{
    LAUNCH(dynamic_kernel, grid, block, shared_bytes, 0);
    const cudaError_t error = cudaGetLastError();
    assert_cuda(cudaGetLastError()); /* reported once */
    assert_cuda(cudaDeviceSynchronize());
    return error;
}

static void test_refused_launches(void **)
{
    assert_cuda(launched(1, 1024, 48 << 10));
    assert_cuda(launched(dim3(70000, 1, 1), 1, 16));
    assert_int_equal(launched(0, 1, 16), cudaErrorInvalidConfiguration);
    assert_int_equal(launched(1, dim3(1, 0, 1), 16), cudaErrorInvalidConfiguration);
    assert_int_equal(launched(1, 1025, 16), cudaErrorInvalidConfiguration);
    assert_int_equal(launched(1, dim3(32, 33, 1), 16), cudaErrorInvalidConfiguration);
    assert_int_equal(launched(1, dim3(1, 1, 65), 16), cudaErrorInvalidConfiguration);
    assert_int_equal(launched(dim3(1, 65536, 1), 1, 16), cudaErrorInvalidConfiguration);
    assert_int_equal(launched(dim3(1, 1, 65536), 1, 16), cudaErrorInvalidConfiguration);
    assert_int_equal(launched(1, 1, (48 << 10) + 1), cudaErrorInvalidValue);
    assert_cuda(cudaFuncSetAttribute(dynamic_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 << 10));
    assert_cuda(launched(1, 1, 100 << 10));
    assert_int_equal(launched(1, 1, (100 << 10) + 1), cudaErrorInvalidValue);
    assert_int_equal(cudaFuncSetAttribute(dynamic_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 164 << 10),
                     cudaErrorInvalidValue);
    setenv("SHIM_CAPABILITY", "90", 1);
    assert_cuda(cudaFuncSetAttribute(dynamic_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 << 10));
    assert_int_equal(cudaFuncSetAttribute(dynamic_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10),
                     cudaErrorInvalidValue);
    unsetenv("SHIM_CAPABILITY");
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue); /* of the call above, kept until asked for */
    float *const out = device_copy<float>(NULL, 1);
    LAUNCH(large_kernel, 1, 1, 16 << 10, 0, out); /* 32 KB of its own and 16 KB */
    assert_cuda(cudaGetLastError());
    LAUNCH(large_kernel, 1, 1, (16 << 10) + 1, 0, out);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
    LAUNCH(nothing_kernel, 1, 1, 0, (cudaStream_t)out);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidResourceHandle);
    cudaFree(out);
    cudaGetLastError();
}

/* ---- memory and devices that are not there ---- */
static void test_memory_ends(void **)
{
    void *first, *second;
    size_t free_bytes, total;
    setenv("SHIM_MEMORY", "1000000", 1);
    assert_cuda(cudaMalloc(&first, 600000));
    assert_int_equal(cudaMalloc(&second, 400001), cudaErrorMemoryAllocation);
    assert_null(second);
    assert_string_equal(cudaGetErrorString(cudaGetLastError()), "out of memory");
    assert_cuda(cudaMemGetInfo(&free_bytes, &total));
    assert_int_equal(free_bytes, 400000);
    assert_int_equal(total, 1000000);
    assert_cuda(cudaMalloc(&second, 400000));
    assert_cuda(cudaFree(first));
    assert_cuda(cudaFree(second));
    assert_int_equal(cudaFree(&total), cudaErrorInvalidValue);
    unsetenv("SHIM_MEMORY");
}

static void test_no_device(void **)
{
    int count;
    void *memory;
    struct cudaDeviceProp properties;
    setenv("SHIM_DEVICES", "0", 1);
    assert_int_equal(cudaGetDeviceCount(&count), cudaErrorNoDevice);
    assert_int_equal(cudaMalloc(&memory, 1), cudaErrorNoDevice);
    assert_int_equal(cudaSetDevice(0), cudaErrorNoDevice);
    unsetenv("SHIM_DEVICES");
    assert_int_equal(cudaSetDevice(1), cudaErrorInvalidDevice);
    setenv("SHIM_CAPABILITY", "75", 1);
    assert_cuda(cudaGetDeviceProperties(&properties, 0));
    assert_int_equal(properties.major * 10 + properties.minor, 75);
    assert_int_equal(properties.sharedMemPerBlockOptin, 64 << 10);
    unsetenv("SHIM_CAPABILITY");
    cudaGetLastError();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_beyond_device_memory),
        cmocka_unit_test(test_accesses_that_only_asan_sees),
        cmocka_unit_test(test_misaligned_vectors),
        cmocka_unit_test(test_divergent_barriers),
        cmocka_unit_test(test_divergent_warps),
        cmocka_unit_test(test_races_show_in_another_order),
        cmocka_unit_test(test_refused_launches),
        cmocka_unit_test(test_memory_ends),
        cmocka_unit_test(test_no_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
