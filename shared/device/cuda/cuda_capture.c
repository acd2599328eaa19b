/* Graph captures are CUDA graphs: the work of a training step is captured from the stream once, and then launched as
 * one. */
#include "shared/device/cuda/cuda_device.h"

#include <stdlib.h>

struct graph_capture {
    cudaGraphExec_t executable;
};

static enum status begin(struct device *device, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(cuda_check(cudaStreamBeginCapture(device->stream, cudaStreamCaptureModeThreadLocal), "capturing a graph", err));
    device->capture = true;
cleanup:
    return status;
}

static enum status end(struct device *device, struct graph_capture **out, struct error *err)
{
    enum status status = STATUS_OK;
    cudaGraph_t graph = NULL;
    struct graph_capture *capture = calloc(1, sizeof *capture);
    *out = NULL;
    device->capture = false;
    TRY(cuda_check(cudaStreamEndCapture(device->stream, &graph), "capturing a graph", err));
    if (!capture)
        FAIL(error_no_memory(err, sizeof *capture, "a graph capture"));
    TRY(cuda_check(cudaGraphInstantiate(&capture->executable, graph, 0), "capturing a graph", err));
    *out = capture;
    capture = NULL;
cleanup:
    if (graph)
        cudaGraphDestroy(graph);
    free(capture);
    return status;
}

static enum status replay(struct device *device, struct graph_capture *capture, struct error *err)
{
    return cuda_check(cudaGraphLaunch(capture->executable, device->stream), "replaying a graph capture", err);
}

static void destroy(struct device *device, struct graph_capture *capture)
{
    if (!capture)
        return;
    cudaStreamSynchronize(device->stream);
    cudaGraphExecDestroy(capture->executable);
    free(capture);
}

const struct capture_ops cuda_capture_ops = {
    .begin = begin,
    .end = end,
    .replay = replay,
    .destroy = destroy,
};
