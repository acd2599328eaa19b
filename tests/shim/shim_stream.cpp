/* Streams and events. Work is queued and runs only when somebody waits for it, all streams in turn, so that a host
 * buffer changed too early, or a missing wait, shows. */
#include "shim_stream.h"

#include <algorithm>

static thread_local bool in_host_function;

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

/* ---- running what is queued ---- */
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

/* One operation of each stream that can go on, with device memory open. */
static bool step_all()
{
    bool progress = false;
    struct shim_order order = shim_order::from_environment();
    const std::vector<std::shared_ptr<struct CUstream_st>> streams = shim_streams();
    for (const uint32_t i : order.permutation((uint32_t)streams.size()))
        progress |= step(streams[i]);
    return progress;
}

static void run_until(const struct shim_moment &moment)
{
    if (moment.passed())
        return;
    shim_memory_open(true);
    while (!moment.passed())
        if (!step_all())
            shim_fail("streams wait for each other");
    shim_memory_open(false);
}

/* A query makes a little progress, so that a loop of them ends. */
static void progress_until(const struct shim_moment &moment)
{
    if (moment.passed())
        return;
    shim_memory_open(true);
    step_all();
    shim_memory_open(false);
}

static struct shim_moment end_of(const std::shared_ptr<struct CUstream_st> &stream)
{
    return {stream, stream->queued};
}

void shim_run_stream(cudaStream_t stream)
{
    run_until(end_of(shim_stream_find(stream)));
}

void shim_run_all()
{
    const std::vector<std::shared_ptr<struct CUstream_st>> streams = shim_streams();
    for (const auto &stream : streams)
        run_until(end_of(stream));
}

/* ---- queueing ---- */
static void queue(const std::shared_ptr<struct CUstream_st> &stream, struct shim_operation operation)
{
    const std::shared_ptr<struct CUstream_st> legacy = shim_streams()[0];
    if (stream == legacy) {
        for (const auto &other : shim_streams())
            if (other->blocking && other != legacy)
                operation.waits.push_back(end_of(other));
    } else if (stream->blocking) {
        operation.waits.push_back(end_of(legacy));
    }
    stream->operations.push_back(std::move(operation));
    stream->queued++;
}

/* The legacy stream waits for blocking streams: while one of those is captured, it cannot. */
static cudaError_t check_legacy(const std::shared_ptr<struct CUstream_st> &stream)
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
    const cudaError_t error = check_legacy(stream);
    if (error != cudaSuccess)
        return error;
    if (!stream->capture) {
        queue(stream, {std::move(work), {}});
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

/* ---- the API: streams ---- */
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = shim_ready();
    if (error == cudaSuccess && flags > cudaStreamNonBlocking)
        error = cudaErrorInvalidValue;
    if (error != cudaSuccess)
        return shim_error(error);
    const auto made = std::make_shared<struct CUstream_st>();
    made->blocking = flags == cudaStreamDefault;
    shim_streams().push_back(made);
    *stream = made.get();
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned int flags, int)
{
    return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = *greatest = 0;
    return shim_error(shim_ready());
}

/* The checks that calls on one stream share. */
static cudaError_t begin_call(cudaStream_t stream)
{
    const cudaError_t error = shim_ready();
    if (error != cudaSuccess)
        return error;
    return shim_stream_find(stream) ? cudaSuccess : cudaErrorInvalidResourceHandle;
}

/* The same for calls that a capture of this stream forbids. */
static cudaError_t begin_uncaptured_call(cudaStream_t stream)
{
    cudaError_t error = begin_call(stream);
    if (error == cudaSuccess && shim_stream_captures(stream))
        error = shim_spoil_capture(stream);
    if (error == cudaSuccess)
        error = check_legacy(shim_stream_find(stream));
    return error;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    const cudaError_t error = stream ? begin_uncaptured_call(stream) : cudaErrorInvalidResourceHandle;
    if (error != cudaSuccess)
        return shim_error(error);
    shim_run_stream(stream);
    auto &streams = shim_streams();
    streams.erase(std::find(streams.begin(), streams.end(), shim_stream_find(stream)));
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    const cudaError_t error = begin_uncaptured_call(stream);
    if (error == cudaSuccess)
        shim_run_stream(stream);
    return shim_error(error);
}

cudaError_t cudaDeviceSynchronize(void)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = shim_ready();
    if (error == cudaSuccess)
        error = shim_uncaptured();
    if (error == cudaSuccess)
        shim_run_all();
    return shim_error(error);
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    const cudaError_t error = begin_uncaptured_call(stream);
    if (error != cudaSuccess)
        return shim_error(error);
    const struct shim_moment end = end_of(shim_stream_find(stream));
    progress_until(end);
    return end.passed() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = begin_call(stream);
    if (error == cudaSuccess && !function)
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess)
        error = shim_enqueue(stream, cudaGraphNodeTypeHost, [=] {
            in_host_function = true;
            function(data);
            in_host_function = false;
        });
    return shim_error(error);
}

/* ---- the API: events ---- */
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = shim_ready();
    if (error == cudaSuccess && flags & ~(unsigned int)(cudaEventBlockingSync | cudaEventDisableTiming))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess) {
        *event = new struct CUevent_st();
        (*event)->timing = !(flags & cudaEventDisableTiming);
    }
    return shim_error(error);
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    const cudaError_t error = event ? shim_ready() : cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess)
        delete event;
    return shim_error(error);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = event ? begin_call(handle) : cudaErrorInvalidResourceHandle;
    const std::shared_ptr<struct CUstream_st> stream = shim_stream_find(handle);
    if (error == cudaSuccess)
        error = check_legacy(stream);
    if (error != cudaSuccess)
        return shim_error(error);
    event->capture = stream->capture;
    if (stream->capture) {
        event->captured = stream->last;
        return cudaSuccess;
    }
    const auto time = std::make_shared<std::chrono::steady_clock::time_point>();
    queue(stream, {[time] { *time = std::chrono::steady_clock::now(); }, {}});
    event->recorded = true;
    event->moment = end_of(stream);
    event->time = time;
    return cudaSuccess;
}

/* Joins the stream to the capture that the event was recorded in. */
static cudaError_t join_capture(const std::shared_ptr<struct CUstream_st> &stream, const struct CUevent_st *event)
{
    if (stream->capture && stream->capture != event->capture)
        return cudaErrorStreamCaptureMerge;
    if (stream == shim_streams()[0])
        return cudaErrorStreamCaptureImplicit;
    stream->capture = event->capture;
    for (const size_t node : event->captured)
        if (std::find(stream->last.begin(), stream->last.end(), node) == stream->last.end())
            stream->last.push_back(node);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned int)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    const cudaError_t error = event ? begin_call(handle) : cudaErrorInvalidResourceHandle;
    const std::shared_ptr<struct CUstream_st> stream = shim_stream_find(handle);
    if (error != cudaSuccess)
        return shim_error(error);
    if (event->capture && event->capture->graph)
        return shim_error(join_capture(stream, event));
    if (stream->capture) {
        stream->capture->spoiled = true;
        return shim_error(cudaErrorStreamCaptureIsolation);
    }
    if (event->recorded)
        queue(stream, {NULL, {event->moment}});
    return cudaSuccess;
}

static cudaError_t check_event(cudaEvent_t event)
{
    if (!event)
        return cudaErrorInvalidResourceHandle;
    if (event->capture && event->capture->graph) {
        event->capture->spoiled = true;
        return cudaErrorCapturedEvent;
    }
    return shim_ready();
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    const cudaError_t error = check_event(event);
    if (error != cudaSuccess)
        return shim_error(error);
    progress_until(event->moment);
    return event->moment.passed() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    const cudaError_t error = check_event(event);
    if (error == cudaSuccess)
        run_until(event->moment);
    return shim_error(error);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    if (!start || !end || !start->recorded || !end->recorded || !start->timing || !end->timing)
        return shim_error(cudaErrorInvalidResourceHandle);
    if (!start->moment.passed() || !end->moment.passed())
        return shim_error(cudaErrorNotReady);
    *milliseconds = std::chrono::duration<float, std::milli>(*end->time - *start->time).count();
    return cudaSuccess;
}
