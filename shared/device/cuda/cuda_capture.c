/* Recordings are CUDA graphs: the work of a training step is captured from the stream once and launched as one. */
#include "shared/device/cuda/cuda_backend.h"

#include <stdlib.h>

struct recording {
    cudaGraphExec_t executable;
};

enum status cuda_record_begin(struct device *device, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(cuda_check(cudaStreamBeginCapture(device->stream, cudaStreamCaptureModeThreadLocal), "recording", err));
    device->recording = true;
cleanup:
    return status;
}

enum status cuda_record_end(struct device *device, struct recording **out, struct error *err)
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

enum status cuda_replay(struct device *device, struct recording *recording, struct error *err)
{
    return cuda_check(cudaGraphLaunch(recording->executable, device->stream), "replaying a recording", err);
}

void cuda_recording_free(struct device *device, struct recording *recording)
{
    if (!recording)
        return;
    cudaStreamSynchronize(device->stream);
    cudaGraphExecDestroy(recording->executable);
    free(recording);
}
