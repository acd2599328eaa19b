/* libFuzzer: ONNX models from hostile bytes (make fuzz). */
#include "formats/onnx/onnx_outline.h"
#include "formats/onnx/onnx_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct onnx_read_options options = {.height = 32, .width = 32};
    struct graph graph = {0};
    if (onnx_read(&graph, bytes, size, "fuzz", &options, NULL) == STATUS_OK)
        graph_release(&graph);
    struct onnx_outline outline;
    if (onnx_outline_read(&outline, bytes, size, "fuzz", NULL) == STATUS_OK)
        onnx_outline_release(&outline);
    return 0;
}
