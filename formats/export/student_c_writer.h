/* The writer's state, shared by the student_c*.c files. Internal to student_c. */
#ifndef FORMATS_EXPORT_STUDENT_C_WRITER_H
#define FORMATS_EXPORT_STUDENT_C_WRITER_H

#include "formats/export/student_c.h"
#include <stdio.h>

struct student_c_writer {
    const struct student_c *student;
    struct arena arena;
    const char **names; /* [step_count] a C identifier for every layer */
    FILE *out;
    size_t tables; /* bytes of constants so far */
};

/* Functions of the files in shared/quantise/kernels, built into the program. */
struct kernel_text {
    const char *name, *text; /* "conv_int8" */
};
extern const struct kernel_text kernel_texts[]; /* sorted by name */
extern const int kernel_text_count;

/* A name in a comment: letters, digits, . _ - / as they are. */
void student_c_comment(FILE *out, const char *name);

/* ---- student_c_tables.c ---- */
void student_c_names(struct student_c_writer *writer);  /* sets names; NULL when out of memory */
void student_c_tables(struct student_c_writer *writer); /* weights and scalings of all layers */
/* static const TYPE NAME[count] = {...}; */
void student_c_bytes(struct student_c_writer *writer, const char *type, const char *name, const uint8_t *values,
                     size_t count);

/* ---- student_c_layers.c ---- */
/* The kernels that the layers need, and activations; false: an activation has no form in C (*missing). */
bool student_c_functions(struct student_c_writer *writer, const char **missing);
void student_c_calls(struct student_c_writer *writer); /* one statement per layer */

#endif
