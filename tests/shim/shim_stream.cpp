/* The API of streams and events. */
#include "shim_stream.h"

#include <algorithm>

/* ---- streams ---- */
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

/* The checks of all calls on one stream. */
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
        error = shim_check_legacy(shim_stream_find(stream));
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
    const struct shim_moment end = shim_end_of(shim_stream_find(stream));
    shim_progress(end);
    return end.passed() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = begin_call(stream);
    if (error == cudaSuccess && !function)
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess)
        error = shim_enqueue(stream, cudaGraphNodeTypeHost, [=] { shim_call_host(function, data); });
    return shim_error(error);
}

/* ---- events ---- */
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
        error = shim_check_legacy(stream);
    if (error != cudaSuccess)
        return shim_error(error);
    event->capture = stream->capture;
    if (stream->capture) {
        event->captured = stream->last;
        return cudaSuccess;
    }
    const auto time = std::make_shared<std::chrono::steady_clock::time_point>();
    shim_queue(stream, {[time] { *time = std::chrono::steady_clock::now(); }, {}});
    event->recorded = true;
    event->moment = shim_end_of(stream);
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
        shim_queue(stream, {NULL, {event->moment}});
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
    shim_progress(event->moment);
    return event->moment.passed() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    const cudaError_t error = check_event(event);
    if (error == cudaSuccess)
        shim_run_until(event->moment);
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
