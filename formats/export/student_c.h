/* Writes a student as C99: student.c and student.h, for microcontrollers and whatever else has a C compiler. They need
 * nothing but the standard headers, allocate no memory and have no state but static memory: the arena, and rows of
 * student_resize.
 *
 * The layers are functions whose text is that of shared/quantise/kernels: the integer form gives the bits of int8_run
 * on every machine, the float form the values of lowered_run up to the rounding of sums and of the C library's expf. */
#ifndef FORMATS_EXPORT_STUDENT_C_H
#define FORMATS_EXPORT_STUDENT_C_H

#include "formats/export/model_card.h"
#include "shared/quantise/int8_net.h"

struct student_c {
    const struct lowered *lowered;
    const struct int8_net *int8;   /* of lowered; NULL: the float form */
    const struct model_card *card; /* its size and channels are those of the network's input */
    const uint8_t *example;        /* pixels [h * w * c] of the built-in test */
};

struct student_c_files {
    char *source, *header; /* malloc'ed; student_c_files_free */
    size_t source_size, header_size;
    size_t arena, tables; /* bytes of RAM and of constants */
};

/* STATUS_CONFIG: an activation without a form in C. */
enum status student_c_write(const struct student_c *student, struct student_c_files *files, struct error *err);
void student_c_files_free(struct student_c_files *files); /* accepts a zeroed struct */

#endif
