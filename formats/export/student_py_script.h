/* The writer's state, shared by the student_py*.c files. Internal to student_py_write. */
#ifndef FORMATS_EXPORT_STUDENT_PY_SCRIPT_H
#define FORMATS_EXPORT_STUDENT_PY_SCRIPT_H

#include "formats/export/model_card.h"
#include "shared/graph/graph.h"
#include <stdio.h>

struct student_script {
    const struct graph *graph;
    FILE *out;
    int *ranks;   /* [node_count] 4: [n, c, h, w]; 2: [n, c] */
    bool *placed; /* [weight_count] the weight has been declared */
};

/* Writes a Python string literal. Names come from files: nothing in them may end the literal or the line. */
void student_py_string(const struct student_script *script, const char *text);
void student_py_number(const struct student_script *script, float value);

/* Whether the node's weights make one PyTorch module, used by this node only; student_py_path writes its path. */
bool student_py_has_module(const struct graph *graph, const struct node *node);
void student_py_path(const struct student_script *script, const struct node *node);
/* Writes ", stride=(...), ..." of a convolution: the arguments that differ from their defaults. */
void student_py_conv_options(const struct student_script *script, const struct node *node);
bool student_py_even_padding(const struct node *node);

/* Fills ranks. student_py_forward.c. */
void student_py_ranks(const struct student_script *script);
/* Writes what a card adds: the preprocessing before the module, the main program behind it. False when out of memory.
 * student_py_card.c. */
bool student_py_card(const struct student_script *script, const struct model_card *card);
void student_py_main(const struct student_script *script);
/* Writes forward(): one line per node. */
void student_py_forward(const struct student_script *script);

#endif
