/* Streams, events, copies and graphs of the execution shim: what is asynchronous on a GPU is late here. */
#include "tests/helper_shim.h"

#include <math.h>
#include <pthread.h>
#include <time.h>

enum { N = 100 };

static __global__ void add_kernel(float *y, const float *x, float a, int n)
{
    const int i = (int)(threadIdx.x + blockIdx.x * blockDim.x);
    if (i < n)
        y[i] = x[i] + a;
}

static cudaStream_t new_stream(unsigned int flags)
{
    cudaStream_t stream;
    assert_cuda(cudaStreamCreateWithFlags(&stream, flags));
    return stream;
}

static cudaEvent_t new_event(void)
{
    cudaEvent_t event;
    assert_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    return event;
}

/* ---- copies ---- */
static void test_pinned_buffer_is_read_late(void **)
{
    const cudaStream_t stream = new_stream(cudaStreamNonBlocking);
    float *pinned, pageable = 1, got[2];
    float *const x = device_copy<float>(NULL, 2);
    assert_cuda(cudaMallocHost(&pinned, sizeof *pinned));
    assert_true(isnan(*pinned));
    *pinned = 1;
    assert_cuda(cudaMemcpyAsync(x, pinned, sizeof(float), cudaMemcpyHostToDevice, stream));
    assert_cuda(cudaMemcpyAsync(x + 1, &pageable, sizeof(float), cudaMemcpyHostToDevice, stream));
    *pinned = pageable = 2; /* too early for the one, staged is the other */
    assert_cuda(cudaStreamSynchronize(stream));
    device_take(got, x, 2);
    assert_true(got[0] == 2 && got[1] == 1);
    assert_cuda(cudaFreeHost(pinned));
    assert_cuda(cudaStreamDestroy(stream));
}

static void test_download_is_late(void **)
{
    const cudaStream_t stream = new_stream(cudaStreamNonBlocking);
    const float one = 1;
    float *pinned, *mapped, pageable = 0;
    float *const x = device_copy(&one, 1);
    assert_cuda(cudaHostAlloc(&pinned, sizeof *pinned, cudaHostAllocMapped));
    assert_cuda(cudaHostGetDevicePointer((void **)&mapped, pinned, 0));
    *pinned = 0;
    assert_cuda(cudaMemcpyAsync(pinned, x, sizeof one, cudaMemcpyDeviceToHost, stream));
    assert_true(*pinned == 0);
    assert_int_equal(cudaStreamQuery(stream), cudaSuccess); /* makes one step */
    assert_true(*pinned == 1);
    LAUNCH(add_kernel, 1, 32, 0, stream, mapped, x, 4.0f, 1);
    assert_true(*pinned == 1);
    assert_cuda(cudaMemcpyAsync(&pageable, x, sizeof one, cudaMemcpyDeviceToHost, stream)); /* waits */
    assert_true(*pinned == 5 && pageable == 1);
    assert_cuda(cudaFreeHost(pinned));
    assert_cuda(cudaFree(x));
    assert_cuda(cudaStreamDestroy(stream));
}

static void test_wrong_copies(void **)
{
    float host[4] = {};
    float *const x = device_copy(host, 4);
    assert_int_equal(cudaMemcpy(x + 1, host, sizeof host, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(host, x + 1, sizeof host, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(host, x, sizeof host, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(x, host, sizeof host, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
    assert_int_equal(cudaMemset(x, 0, 17), cudaErrorInvalidValue);
    assert_int_equal(cudaMemset(host, 0, 4), cudaErrorInvalidValue);
    assert_cuda(cudaMemcpy(x, host, sizeof host, cudaMemcpyDefault));
    assert_cuda(cudaFree(x));
    cudaGetLastError();
}

/* ---- order between streams ---- */
/* One stream uploads, the other adds; with the event the result is right in every order, without it not. */
static int right_orders(bool with_event)
{
    static const char *const orders[] = {"forward", "reverse", "shuffle:1", "shuffle:2", "shuffle:3"};
    int right = 0;
    float *pinned, got[N];
    assert_cuda(cudaMallocHost(&pinned, sizeof got));
    for (int i = 0; i < N; i++)
        pinned[i] = (float)i;
    for (const char *order : orders) {
        setenv("SHIM_ORDER", order, 1);
        const cudaStream_t first = new_stream(cudaStreamNonBlocking), second = new_stream(cudaStreamNonBlocking);
        const cudaEvent_t event = new_event();
        float *const x = device_copy<float>(NULL, N), *const y = device_copy<float>(NULL, N);
        assert_cuda(cudaMemcpyAsync(x, pinned, sizeof got, cudaMemcpyHostToDevice, second));
        assert_cuda(cudaEventRecord(event, second));
        if (with_event)
            assert_cuda(cudaStreamWaitEvent(first, event, 0));
        LAUNCH(add_kernel, 4, 32, 0, first, y, x, 1.0f, (int)N);
        assert_cuda(cudaStreamSynchronize(first));
        device_take(got, y, N);
        right += got[N - 1] == N;
        assert_cuda(cudaEventDestroy(event));
        assert_cuda(cudaStreamDestroy(first));
        assert_cuda(cudaStreamDestroy(second));
        assert_cuda(cudaFree(x));
    }
    unsetenv("SHIM_ORDER");
    assert_cuda(cudaFreeHost(pinned));
    return right;
}

static void test_missing_wait_shows(void **)
{
    assert_int_equal(right_orders(true), 5);
    assert_in_range(right_orders(false), 1, 4);
}

static void test_legacy_stream_waits_for_blocking_streams(void **)
{
    const cudaStream_t blocking = new_stream(cudaStreamDefault), other = new_stream(cudaStreamNonBlocking);
    const float zero = 0;
    float got = -1;
    float *const x = device_copy(&zero, 1), *const y = device_copy(&zero, 1);
    setenv("SHIM_ORDER", "forward", 1);
    LAUNCH(add_kernel, 1, 1, 0, blocking, x, x, 1.0f, 1);
    LAUNCH(add_kernel, 1, 1, 0, blocking, x, x, 1.0f, 1);
    for (int i = 0; i < 9; i++)
        LAUNCH(add_kernel, 1, 1, 0, other, y, y, 1.0f, 1);
    assert_cuda(cudaMemcpy(&got, x, sizeof got, cudaMemcpyDeviceToHost));
    assert_true(got == 2);
    assert_int_equal(cudaStreamQuery(other), cudaErrorNotReady);
    assert_cuda(cudaDeviceSynchronize());
    assert_int_equal(cudaStreamQuery(other), cudaSuccess);
    unsetenv("SHIM_ORDER");
    assert_cuda(cudaFree(x));
    assert_cuda(cudaFree(y));
    assert_cuda(cudaStreamDestroy(blocking));
    assert_cuda(cudaStreamDestroy(other));
}

static void test_events(void **)
{
    cudaEvent_t start, end;
    float milliseconds = -1;
    assert_cuda(cudaEventCreate(&start));
    assert_cuda(cudaEventCreate(&end));
    assert_int_equal(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
    assert_cuda(cudaEventSynchronize(start)); /* never recorded: has passed */
    assert_cuda(cudaEventRecord(start, 0));
    assert_cuda(cudaLaunchHostFunc(
        0,
        [](void *) {
            const struct timespec pause = {0, 2000000};
            nanosleep(&pause, NULL);
        },
        NULL));
    assert_cuda(cudaEventRecord(end, 0));
    assert_int_equal(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorNotReady);
    int queries = 1;
    while (cudaEventQuery(end) == cudaErrorNotReady)
        queries++;
    assert_int_equal(queries, 3);
    assert_cuda(cudaEventElapsedTime(&milliseconds, start, end));
    assert_true(milliseconds >= 2);
    assert_cuda(cudaEventDestroy(start));
    assert_cuda(cudaEventDestroy(end));
    cudaGetLastError();
}

static void call_api(void *result)
{
    void *memory;
    *(cudaError_t *)result = cudaMalloc(&memory, 1);
}

static void test_host_functions_call_no_api(void **)
{
    cudaError_t result = cudaSuccess;
    assert_cuda(cudaLaunchHostFunc(0, call_api, &result));
    assert_cuda(cudaDeviceSynchronize());
    assert_int_equal(result, cudaErrorNotPermitted);
    cudaGetLastError();
}

/* ---- graphs ---- */
static void test_graph_replays_with_captured_arguments(void **)
{
    const cudaStream_t stream = new_stream(cudaStreamNonBlocking);
    const float zero = 0;
    float *pinned, got = -1, addend = 1;
    float *const x = device_copy(&zero, 1);
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    enum cudaStreamCaptureStatus status;
    size_t nodes = 0;
    assert_cuda(cudaMallocHost(&pinned, sizeof *pinned));
    assert_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    assert_cuda(cudaStreamIsCapturing(stream, &status));
    assert_int_equal(status, cudaStreamCaptureStatusActive);
    LAUNCH(add_kernel, 1, 1, 0, stream, x, x, addend, 1);
    addend = 100;
    assert_cuda(cudaMemcpyAsync(pinned, x, sizeof *pinned, cudaMemcpyDeviceToHost, stream));
    assert_cuda(cudaStreamEndCapture(stream, &graph));
    assert_cuda(cudaGraphGetNodes(graph, NULL, &nodes));
    assert_int_equal(nodes, 2);
    assert_cuda(cudaGraphInstantiate(&executable, graph, 0));
    assert_cuda(cudaGraphDestroy(graph));
    for (int i = 0; i < 3; i++)
        assert_cuda(cudaGraphLaunch(executable, stream));
    assert_true(isnan(*pinned));
    assert_cuda(cudaStreamSynchronize(stream));
    assert_true(*pinned == 3);
    assert_cuda(cudaGraphLaunch(executable, stream));
    assert_cuda(cudaGraphExecDestroy(executable)); /* what is queued still runs */
    assert_cuda(cudaStreamDestroy(stream));
    device_take(&got, x, 1);
    assert_true(got == 4);
    assert_cuda(cudaFreeHost(pinned));
}

/* One node, two branches on two streams, two nodes that need both; a missing event leaves the capture unjoined. */
static cudaError_t capture_branches(cudaStream_t first, cudaStream_t second, float *x, bool join, cudaGraph_t *graph)
{
    const cudaEvent_t fork = new_event(), joined = new_event();
    assert_cuda(cudaStreamBeginCapture(first, cudaStreamCaptureModeGlobal));
    LAUNCH(add_kernel, 1, 1, 0, first, x, x, 1.0f, 1);
    assert_cuda(cudaEventRecord(fork, first));
    assert_cuda(cudaStreamWaitEvent(second, fork, 0));
    LAUNCH(add_kernel, 1, 1, 0, first, x + 1, x, 10.0f, 1);
    LAUNCH(add_kernel, 1, 1, 0, second, x + 2, x, 20.0f, 1);
    assert_cuda(cudaEventRecord(joined, second));
    if (join)
        assert_cuda(cudaStreamWaitEvent(first, joined, 0));
    LAUNCH(add_kernel, 1, 2, 0, first, x + 3, x + 1, 0.0f, 2);
    LAUNCH(add_kernel, 1, 2, 0, first, x + 3, x + 3, 100.0f, 2);
    const cudaError_t error = cudaStreamEndCapture(first, graph);
    assert_cuda(cudaEventDestroy(fork));
    assert_cuda(cudaEventDestroy(joined));
    return error;
}

static void test_graph_with_branches(void **)
{
    const cudaStream_t first = new_stream(cudaStreamNonBlocking), second = new_stream(cudaStreamNonBlocking);
    const float zeros[5] = {};
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    static const char *const orders[] = {"forward", "reverse", "shuffle:5"};
    for (const char *order : orders) {
        setenv("SHIM_ORDER", order, 1);
        float got[5];
        float *const x = device_copy(zeros, 5);
        assert_int_equal(capture_branches(first, second, x, false, &graph), cudaErrorStreamCaptureUnjoined);
        assert_null(graph);
        assert_cuda(capture_branches(first, second, x, true, &graph));
        assert_cuda(cudaGraphInstantiate(&executable, graph, 0));
        assert_cuda(cudaGraphLaunch(executable, second));
        assert_cuda(cudaStreamSynchronize(second));
        device_take(got, x, 5);
        assert_true(got[0] == 1 && got[1] == 11 && got[2] == 21 && got[3] == 111 && got[4] == 121);
        assert_cuda(cudaGraphExecDestroy(executable));
        assert_cuda(cudaGraphDestroy(graph));
    }
    unsetenv("SHIM_ORDER");
    assert_cuda(cudaStreamDestroy(first));
    assert_cuda(cudaStreamDestroy(second));
    cudaGetLastError();
}

/* Each of these calls is refused while a stream is captured, and spoils the capture. */
static void test_calls_that_a_capture_forbids(void **)
{
    static cudaStream_t stream, legacy_friend;
    static float *x, host;
    static cudaError_t (*const calls[])(void) = {
        [] { return cudaMalloc((void **)&x, 4); },
        [] { return cudaFree(NULL); },
        [] { return cudaDeviceSynchronize(); },
        [] { return cudaStreamSynchronize(stream); },
        [] { return cudaStreamQuery(stream); },
        [] { return cudaMemcpy(x, &host, 4, cudaMemcpyHostToDevice); },
        [] { return cudaMemcpyAsync(x, &host, 4, cudaMemcpyHostToDevice, stream); },
    };
    stream = new_stream(cudaStreamNonBlocking);
    legacy_friend = new_stream(cudaStreamDefault);
    float *const kept = device_copy<float>(NULL, 1);
    cudaGraph_t graph;
    for (cudaError_t (*call)(void) : calls) {
        x = kept;
        assert_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
        assert_int_equal(call(), cudaErrorStreamCaptureUnsupported);
        assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    }
    assert_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    assert_cuda(cudaMalloc((void **)&x, 4));
    assert_cuda(cudaFree(x));
    assert_cuda(cudaStreamEndCapture(stream, &graph));
    assert_cuda(cudaGraphDestroy(graph));
    assert_cuda(cudaStreamBeginCapture(legacy_friend, cudaStreamCaptureModeRelaxed));
    assert_int_equal(cudaMemsetAsync(kept, 0, 4, NULL), cudaErrorStreamCaptureImplicit);
    assert_int_equal(cudaStreamEndCapture(legacy_friend, &graph), cudaErrorStreamCaptureInvalidated);
    assert_int_equal(cudaStreamEndCapture(legacy_friend, &graph), cudaErrorInvalidValue);
    assert_cuda(cudaFree(kept));
    assert_cuda(cudaStreamDestroy(stream));
    assert_cuda(cudaStreamDestroy(legacy_friend));
    cudaGetLastError();
}

/* ---- several host threads, each with a stream ---- */
static void *work(void *result)
{
    cudaStream_t stream;
    float *x, *pinned;
    int *const wrong = (int *)result;
    *wrong = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) || cudaMalloc(&x, sizeof *x) ||
             cudaMallocHost(&pinned, sizeof *pinned) || cudaMemsetAsync(x, 0, sizeof *x, stream);
    for (int i = 0; i < 50; i++) {
        LAUNCH(add_kernel, 1, 1, 0, stream, x, x, 1.0f, 1);
        if (i % 10 == 0)
            *wrong += cudaStreamSynchronize(stream) != cudaSuccess;
    }
    *wrong += cudaMemcpyAsync(pinned, x, sizeof *x, cudaMemcpyDeviceToHost, stream) != cudaSuccess;
    *wrong += cudaStreamSynchronize(stream) != cudaSuccess || *pinned != 50;
    *wrong += cudaFree(x) || cudaFreeHost(pinned) || cudaStreamDestroy(stream);
    return NULL;
}

static void test_host_threads(void **)
{
    pthread_t threads[4];
    int wrong[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &wrong[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(wrong[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pinned_buffer_is_read_late),
        cmocka_unit_test(test_download_is_late),
        cmocka_unit_test(test_wrong_copies),
        cmocka_unit_test(test_missing_wait_shows),
        cmocka_unit_test(test_legacy_stream_waits_for_blocking_streams),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_host_functions_call_no_api),
        cmocka_unit_test(test_graph_replays_with_captured_arguments),
        cmocka_unit_test(test_graph_with_branches),
        cmocka_unit_test(test_calls_that_a_capture_forbids),
        cmocka_unit_test(test_host_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
