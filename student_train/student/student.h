/* A student's structure as a graph: a preset, a .net file or an ONNX file, with the bytes that it was made from. A run
 * keeps these bytes, so it needs no other file. */
#ifndef STUDENT_TRAIN_STUDENT_STUDENT_H
#define STUDENT_TRAIN_STUDENT_STUDENT_H

#include "shared/base/digest.h"
#include "shared/graph/graph.h"

struct student_input {
    int channels, size, classes; /* of an ONNX file: 0 is what the file has */
};

struct student {
    struct graph graph; /* .net: all weights are zero; ONNX: the weights of the file, from which training starts */
    bool onnx;
    unsigned char *bytes; /* [size] of the .net text or ONNX file, owned */
    size_t size;
    char digest[DIGEST_HEX_SIZE]; /* of bytes */
};

/* name: a preset, FILE.net or FILE.onnx. STATUS_USAGE for an unknown preset, STATUS_NO_INPUT, STATUS_BAD_DATA,
 * STATUS_CONFIG if it does not fit the input. */
enum status student_open(struct student *student, const char *name, const struct student_input *input,
                         struct error *err);
/* The same student for images of another size, with the same weights in the same order; the graph's are zero. The
 * caller releases it, also after an error. STATUS_CONFIG: an ONNX file, or weights that depend on the size of the
 * images. */
enum status student_at_size(const struct student *student, const char *name, const struct student_input *input,
                            struct graph *graph, struct error *err);
/* Accepts a zeroed struct. */
void student_release(struct student *student);

#endif
