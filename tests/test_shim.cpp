/* The execution shim itself (tests/shim/README.md): right results, and each error that it is there to find. */
#include "shared/backend/cuda/cuda_launch.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

extern "C" {
#include <cmocka.h>
}

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

static void test_reduction(void **)
{
    enum { N = 1000, BLOCKS = 3 };
    float *x, *sums, host[N], total = 0, got[BLOCKS];
    for (int i = 0; i < N; i++) {
        host[i] = (float)(i % 17);
        total += host[i];
    }
    assert_int_equal(cudaMalloc(&x, sizeof host), cudaSuccess);
    assert_int_equal(cudaMalloc(&sums, sizeof got), cudaSuccess);
    assert_int_equal(cudaMemcpy(x, host, sizeof host, cudaMemcpyHostToDevice), cudaSuccess);
    LAUNCH((sum_kernel<float, 4>), BLOCKS, 128, 0, 0, x, N, sums);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    assert_int_equal(cudaMemcpy(got, sums, sizeof got, cudaMemcpyDeviceToHost), cudaSuccess);
    assert_float_equal(got[0] + got[1] + got[2], total, 0);
    cudaFree(x);
    cudaFree(sums);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reduction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
