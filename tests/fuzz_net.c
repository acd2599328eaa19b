/* libFuzzer: .net files from hostile text (make fuzz). */
#include "formats/net/net_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct net_text_options options = {.path = "fuzz", .channels = 3, .size = 32, .classes = 10};
    struct graph graph = {0};
    if (net_text_parse(&graph, (const char *)bytes, size, &options, NULL) == STATUS_OK)
        graph_release(&graph);
    return 0;
}
