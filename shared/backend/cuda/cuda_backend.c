/* The table of the CUDA backend: what softcache_cuda.so exports. */
#include "shared/backend/cuda/cuda_backend.h"

/* Kernels that are not there yet. */
#pragma weak inference_cuda

const struct backend backend_cuda = {
    .name = "cuda",
    .missing = cuda_missing,
    .device_new = cuda_device_new,
    .device_free = cuda_device_free,
    .describe = cuda_describe,
    .buffer_new = cuda_memory_new,
    .buffer_free = cuda_memory_free,
    .upload = cuda_upload,
    .download = cuda_download,
    .zero = cuda_zero,
    .idle = cuda_idle,
    .mailbox_new = cuda_mailbox_new,
    .mailbox_free = cuda_mailbox_free,
    .record_begin = cuda_record_begin,
    .record_end = cuda_record_end,
    .replay = cuda_replay,
    .recording_free = cuda_recording_free,
    .network_prepare = cuda_network_prepare,
    .network_release = cuda_network_release,
    .forward = cuda_forward,
    .backward = cuda_backward,
    .loss = cuda_loss,
    .metrics = cuda_metrics,
    .optimize = cuda_optimize,
    .blend = cuda_blend,
    .advance = cuda_advance,
    .images_new = cuda_images_new,
    .images_put = cuda_images_put,
    .images_free = cuda_images_free,
    .images_prefetch = cuda_images_prefetch,
    .render = cuda_render,
    .inference = &inference_cuda,
};
