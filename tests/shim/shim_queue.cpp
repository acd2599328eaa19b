/* The work of streams. It is queued and runs only when the host waits for it, all streams in turn. So a host buffer
 * that is changed too early, or a missing wait, shows in the results. */
#include "shim_stream.h"

static thread_local bool in_host_function;

void shim_call_host(cudaHostFn_t function, void *data)
{
    in_host_function = true;
    function(data);
    in_host_function = false;
}

bool shim_moment::passed() const
{
    return !stream || stream->done >= count;
}

/* The first one is the legacy stream. */
std::vector<std::shared_ptr<struct CUstream_st>> &shim_streams()
{
    static auto *const streams = new std::vector<std::shared_ptr<struct CUstream_st>>(1, [] {
        const auto legacy = std::make_shared<struct CUstream_st>();
        legacy->blocking = true;
        return legacy;
    }());
    return *streams;
}

std::shared_ptr<struct CUstream_st> shim_stream_find(cudaStream_t stream)
{
    if (!stream)
        return shim_streams()[0];
    for (const auto &known : shim_streams())
        if (known.get() == stream)
            return known;
    return NULL;
}

cudaError_t shim_ready()
{
    if (in_host_function)
        return cudaErrorNotPermitted;
    int count;
    return cudaGetDeviceCount(&count);
}

/* ---- running queued operations ---- */
static bool step(const std::shared_ptr<struct CUstream_st> &stream)
{
    if (stream->operations.empty())
        return false;
    for (const struct shim_moment &moment : stream->operations.front().waits)
        if (!moment.passed())
            return false;
    const struct shim_operation operation = std::move(stream->operations.front());
    stream->operations.pop_front();
    if (operation.work)
        operation.work();
    stream->done++;
    return true;
}

/* Runs one operation of each stream that can continue, with device memory open. */
static bool step_all()
{
    bool progress = false;
    struct shim_order order = shim_order::from_environment();
    const std::vector<std::shared_ptr<struct CUstream_st>> streams = shim_streams();
    for (const uint32_t i : order.permutation((uint32_t)streams.size()))
        progress |= step(streams[i]);
    return progress;
}

void shim_run_until(const struct shim_moment &moment)
{
    if (moment.passed())
        return;
    shim_memory_open(true);
    while (!moment.passed())
        if (!step_all())
            shim_fail("streams wait for each other");
    shim_memory_open(false);
}

void shim_progress(const struct shim_moment &moment)
{
    if (moment.passed())
        return;
    shim_memory_open(true);
    step_all();
    shim_memory_open(false);
}

struct shim_moment shim_end_of(const std::shared_ptr<struct CUstream_st> &stream)
{
    return {stream, stream->queued};
}

void shim_run_stream(cudaStream_t stream)
{
    shim_run_until(shim_end_of(shim_stream_find(stream)));
}

void shim_run_all()
{
    const std::vector<std::shared_ptr<struct CUstream_st>> streams = shim_streams();
    for (const auto &stream : streams)
        shim_run_until(shim_end_of(stream));
}

/* ---- queueing ---- */
void shim_queue(const std::shared_ptr<struct CUstream_st> &stream, struct shim_operation operation)
{
    const std::shared_ptr<struct CUstream_st> legacy = shim_streams()[0];
    if (stream == legacy) {
        for (const auto &other : shim_streams())
            if (other->blocking && other != legacy)
                operation.waits.push_back(shim_end_of(other));
    } else if (stream->blocking) {
        operation.waits.push_back(shim_end_of(legacy));
    }
    stream->operations.push_back(std::move(operation));
    stream->queued++;
}

cudaError_t shim_check_legacy(const std::shared_ptr<struct CUstream_st> &stream)
{
    if (stream != shim_streams()[0])
        return cudaSuccess;
    for (const auto &other : shim_streams())
        if (other->blocking && other->capture) {
            other->capture->spoiled = true;
            return cudaErrorStreamCaptureImplicit;
        }
    return cudaSuccess;
}

cudaError_t shim_enqueue(cudaStream_t handle, enum cudaGraphNodeType type, std::function<void()> work)
{
    const std::shared_ptr<struct CUstream_st> stream = shim_stream_find(handle);
    if (!stream)
        return cudaErrorInvalidResourceHandle;
    const cudaError_t error = shim_check_legacy(stream);
    if (error != cudaSuccess)
        return error;
    if (!stream->capture) {
        shim_queue(stream, {std::move(work), {}});
        return cudaSuccess;
    }
    if (stream->capture->spoiled)
        return cudaErrorStreamCaptureInvalidated;
    auto &nodes = stream->capture->graph->nodes;
    const auto node = std::make_shared<struct CUgraphNode_st>();
    node->type = type;
    node->work = std::move(work);
    node->after = stream->last;
    stream->last = {nodes.size()};
    nodes.push_back(node);
    return cudaSuccess;
}

bool shim_stream_captures(cudaStream_t stream)
{
    const std::shared_ptr<struct CUstream_st> found = shim_stream_find(stream);
    return found && found->capture;
}

cudaError_t shim_spoil_capture(cudaStream_t stream)
{
    shim_stream_find(stream)->capture->spoiled = true;
    return cudaErrorStreamCaptureUnsupported;
}

cudaError_t shim_uncaptured()
{
    for (const auto &stream : shim_streams()) {
        const struct shim_capture *const capture = stream->capture.get();
        if (capture &&
            (capture->mode == cudaStreamCaptureModeGlobal ||
             (capture->mode == cudaStreamCaptureModeThreadLocal && capture->thread == std::this_thread::get_id())))
            return shim_spoil_capture(stream.get());
    }
    return cudaSuccess;
}
