#define _POSIX_C_SOURCE 200809L
#include "student_train/student/student.h"

#include "formats/net/net_text.h"
#include "formats/onnx/onnx_file.h"
#include "formats/onnx/onnx_read.h"
#include "shared/base/files.h"
#include "student_train/student/preset.h"
#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static enum status check_onnx(const struct graph *graph, const char *path, const struct student_input *input,
                              struct error *err)
{
    const struct shape in = graph->nodes[graph->input].shape, out = graph->nodes[graph->output].shape;
    if ((input->channels && in.c != input->channels) || (input->size && (in.h != input->size || in.w != input->size)))
        return error_set(err, STATUS_CONFIG, path,
                         "takes images of %dx%dx%d, but the data set has %dx%dx%d; export it for that size", in.c, in.h,
                         in.w, input->channels ? input->channels : in.c, input->size ? input->size : in.h,
                         input->size ? input->size : in.w);
    if ((input->classes && out.c != input->classes) || out.h != 1 || out.w != 1)
        return error_set(err, STATUS_CONFIG, path, "its output is %dx%dx%d, but there are %d classes", out.c, out.h,
                         out.w, input->classes);
    return STATUS_OK;
}

enum status student_open(struct student *student, const char *name, const struct student_input *input,
                         struct error *err)
{
    enum status status = STATUS_OK;
    struct net_text_options text = {name, input->channels, input->size, input->classes};
    struct onnx_read_options onnx = {.height = input->size, .width = input->size, .student = true};
    const struct preset *preset;
    *student = (struct student){.onnx = ends_with(name, ".onnx")};
    graph_init(&student->graph);
    if (student->onnx || ends_with(name, ".net")) {
        if (student->onnx)
            TRY(onnx_file_read(name, &student->bytes, &student->size, NULL, err));
        else
            TRY(file_read(name, NET_TEXT_LIMIT, &student->bytes, &student->size, err));
    } else {
        TRY(preset_find(name, input->size, &preset, err));
        student->size = strlen(preset->text);
        student->bytes = (unsigned char *)strdup(preset->text);
        if (!student->bytes)
            FAIL(error_no_memory(err, student->size, "a preset"));
    }
    if (student->onnx) {
        TRY(onnx_read(&student->graph, student->bytes, student->size, name, &onnx, err));
        TRY(check_onnx(&student->graph, name, input, err));
    } else {
        TRY(net_text_parse(&student->graph, (const char *)student->bytes, student->size, &text, err));
    }
    digest_bytes(student->bytes, student->size, student->digest);
cleanup:
    if (status != STATUS_OK)
        student_release(student);
    return status;
}

enum status student_at_size(const struct student *student, const char *name, const struct student_input *input,
                            struct graph *graph, struct error *err)
{
    enum status status = STATUS_OK;
    const struct net_text_options text = {name, input->channels, input->size, input->classes};
    graph_init(graph);
    if (student->onnx)
        return error_set(err, STATUS_CONFIG, name,
                         "an ONNX file is made for one size of images; --size A:B needs a preset or a .net file");
    TRY(net_text_parse(graph, (const char *)student->bytes, student->size, &text, err));
    for (int i = 0; i < graph->weight_count; i++)
        if (graph->weights[i].count != student->graph.weights[i].count)
            FAIL(error_set(err, STATUS_CONFIG, name,
                           "weight %s has %zu numbers for images of %d pixels, but %zu for those of the last epochs; "
                           "--size A:B needs a net whose weights do not depend on the size: end it with gap",
                           graph->weights[i].name, graph->weights[i].count, input->size,
                           student->graph.weights[i].count));
cleanup:
    return status;
}

void student_release(struct student *student)
{
    graph_release(&student->graph);
    free(student->bytes);
    student->bytes = NULL;
}
