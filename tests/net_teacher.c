/* Writes a .net file as an ONNX teacher with weights drawn at random: teachers of any speed for scripts. A separate
 * program, like synthetic_images.
 * usage: net_teacher FILE.net FILE.onnx SIZE CLASSES */
#include "formats/net/net_text.h"
#include "formats/onnx/onnx_write.h"
#include "shared/base/files.h"
#include "tests/helper_nets.h"

#include <stdio.h>
#include <stdlib.h>

static enum status make(char **argv, struct error *err)
{
    enum status status = STATUS_OK;
    const struct net_text_options options = {
        .path = argv[1], .channels = 3, .size = atoi(argv[3]), .classes = atoi(argv[4])};
    struct graph graph;
    unsigned char *text = NULL;
    uint8_t *bytes = NULL;
    size_t length, size;
    graph_init(&graph);
    TRY(file_read(argv[1], NET_TEXT_LIMIT, &text, &length, err));
    TRY(net_text_parse(&graph, (const char *)text, length, &options, err));
    net_weights(&graph, 1);
    TRY(onnx_write(&graph, &bytes, &size, err));
    TRY(file_publish(argv[2], bytes, size, err));
cleanup:
    graph_release(&graph);
    free(bytes);
    free(text);
    return status;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    if (argc != 5) {
        fprintf(stderr, "usage: net_teacher FILE.net FILE.onnx SIZE CLASSES\n");
        return STATUS_USAGE;
    }
    const enum status status = make(argv, &err);
    if (status != STATUS_OK)
        fprintf(stderr, "net_teacher: %s: %s\n", err.path, err.message);
    return (int)status;
}
