/* Captured streams and graphs: work is recorded with its arguments and dependencies, and replayed in any order that the
 * dependencies allow. */
#include "shim_stream.h"

#include <algorithm>

struct CUgraphExec_st {
    std::shared_ptr<const struct CUgraph_st> graph;
};

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    const std::shared_ptr<struct CUstream_st> found = shim_stream_find(stream);
    cudaError_t error = shim_ready();
    if (error == cudaSuccess && !found)
        error = cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess && !stream)
        error = cudaErrorStreamCaptureUnsupported;
    if (error == cudaSuccess && found->capture)
        error = cudaErrorInvalidValue;
    if (error != cudaSuccess)
        return shim_error(error);
    found->capture = std::make_shared<struct shim_capture>();
    found->capture->graph.reset(new struct CUgraph_st());
    found->capture->origin = stream;
    found->capture->mode = mode;
    found->capture->thread = std::this_thread::get_id();
    found->last.clear();
    return cudaSuccess;
}

/* True if everything that other streams captured comes before the origin's last work. */
static bool all_joined(const struct CUgraph_st *graph, const std::vector<size_t> &last)
{
    std::vector<bool> reached(graph->nodes.size());
    for (const size_t node : last)
        reached[node] = true;
    size_t count = 0;
    for (size_t i = graph->nodes.size(); i-- > 0;) {
        if (!reached[i])
            continue;
        count++;
        for (const size_t before : graph->nodes[i]->after)
            reached[before] = true;
    }
    return count == graph->nodes.size();
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    *graph = NULL;
    const std::shared_ptr<struct CUstream_st> found = shim_stream_find(stream);
    cudaError_t error = shim_ready();
    if (error == cudaSuccess && (!found || !found->capture))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess && found->capture->origin != stream)
        error = cudaErrorStreamCaptureUnmatched;
    if (error != cudaSuccess)
        return shim_error(error);
    const std::shared_ptr<struct shim_capture> capture = found->capture;
    if (capture->spoiled)
        error = cudaErrorStreamCaptureInvalidated;
    else if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
        error = cudaErrorStreamCaptureWrongThread;
    else if (!all_joined(capture->graph.get(), found->last))
        error = cudaErrorStreamCaptureUnjoined;
    for (const auto &other : shim_streams())
        if (other->capture == capture) {
            other->capture = NULL;
            other->last.clear();
        }
    if (error == cudaSuccess)
        *graph = capture->graph.release();
    capture->graph = NULL;
    return shim_error(error);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    const std::shared_ptr<struct CUstream_st> found = shim_stream_find(stream);
    if (!found)
        return shim_error(cudaErrorInvalidResourceHandle);
    *status = !found->capture           ? cudaStreamCaptureStatusNone
              : found->capture->spoiled ? cudaStreamCaptureStatusInvalidated
                                        : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

/* Runs every node after those that it depends on; SHIM_ORDER decides which of the possible nodes is next. */
static void replay(const struct CUgraph_st *graph)
{
    struct shim_order order = shim_order::from_environment();
    const size_t count = graph->nodes.size();
    std::vector<size_t> missing(count), ready;
    std::vector<std::vector<size_t>> next(count);
    for (size_t i = 0; i < count; i++) {
        missing[i] = graph->nodes[i]->after.size();
        for (const size_t before : graph->nodes[i]->after)
            next[before].push_back(i);
        if (missing[i] == 0)
            ready.push_back(i);
    }
    while (!ready.empty()) {
        std::sort(ready.begin(), ready.end());
        const size_t place = order.kind == order.FORWARD   ? 0
                             : order.kind == order.REVERSE ? ready.size() - 1
                                                           : order.random((uint32_t)ready.size());
        const size_t node = ready[place];
        ready.erase(ready.begin() + (ptrdiff_t)place);
        graph->nodes[node]->work();
        for (const size_t after : next[node])
            if (--missing[after] == 0)
                ready.push_back(after);
    }
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count)
{
    if (!graph || !count)
        return shim_error(cudaErrorInvalidValue);
    for (size_t i = 0; nodes && i < *count && i < graph->nodes.size(); i++)
        nodes[i] = graph->nodes[i].get();
    if (!nodes || *count > graph->nodes.size())
        *count = graph->nodes.size();
    return cudaSuccess;
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, enum cudaGraphNodeType *type)
{
    if (!node)
        return shim_error(cudaErrorInvalidValue);
    *type = node->type;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = shim_ready();
    if (error == cudaSuccess && !graph)
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess)
        *executable = new CUgraphExec_st{std::make_shared<const struct CUgraph_st>(*graph)};
    return shim_error(error);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t)
{
    return shim_error(executable ? shim_ready() : cudaErrorInvalidValue);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> lock(shim_mutex());
    cudaError_t error = shim_ready();
    if (error == cudaSuccess && !executable)
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess) {
        const std::shared_ptr<const struct CUgraph_st> graph = executable->graph;
        error = shim_enqueue(stream, cudaGraphNodeTypeEmpty, [graph] { replay(graph.get()); });
    }
    return shim_error(error);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable)
{
    delete executable;
    return shim_error(executable ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return shim_error(graph ? cudaSuccess : cudaErrorInvalidValue);
}
