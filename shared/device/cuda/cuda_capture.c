/* Recordings are CUDA graphs: the work of a training step is captured from the stream once and launched as one. */
#include "shared/device/cuda/cuda_device.h"

#include <stdlib.h>

struct recording {
    cudaGraphExec_t executable;
};

static enum status begin(struct device *device, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(cuda_check(cudaStreamBeginCapture(device->stream, cudaStreamCaptureModeThreadLocal), "recording", err));
    device->recording = true;
cleanup:
    return status;
}

static enum status end(struct device *device, struct recording **out, struct error *err)
{
    enum status status = STATUS_OK;
    cudaGraph_t graph = NULL;
    struct recording *recording = calloc(1, sizeof *recording);
    *out = NULL;
    device->recording = false;
    TRY(cuda_check(cudaStreamEndCapture(device->stream, &graph), "recording", err));
    if (!recording)
        TRY(error_no_memory(err, sizeof *recording, "a recording"));
    TRY(cuda_check(cudaGraphInstantiate(&recording->executable, graph, 0), "recording", err));
    *out = recording;
    recording = NULL;
cleanup:
    if (graph)
        cudaGraphDestroy(graph);
    free(recording);
    return status;
}

static enum status replay(struct device *device, struct recording *recording, struct error *err)
{
    return cuda_check(cudaGraphLaunch(recording->executable, device->stream), "replaying a recording", err);
}

static void destroy(struct device *device, struct recording *recording)
{
    if (!recording)
        return;
    cudaStreamSynchronize(device->stream);
    cudaGraphExecDestroy(recording->executable);
    free(recording);
}

const struct capture_ops cuda_capture_ops = {
    .begin = begin,
    .end = end,
    .replay = replay,
    .destroy = destroy,
};
