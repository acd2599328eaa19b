/* The nets that a search tries. Net number i of a seed is always the same, whatever the others are: a stem, stages of
 * residual or inverted blocks (student_train/presets/README.md) that each halve the map, and a head, with widths that
 * fill the budget. */
#ifndef STUDENT_TRAIN_SEARCH_SEARCH_SPACE_H
#define STUDENT_TRAIN_SEARCH_SEARCH_SPACE_H

#include "student_train/student/student.h"
#include <stdint.h>

/* Upper limits. */
struct search_budget {
    size_t parameters;
    double multiplies;       /* per image; 0: no limit */
    size_t activation_bytes; /* lowered_int8_bytes; 0: no limit */
};

enum { CANDIDATE_MAX_TEXT = 4096, CANDIDATE_MAX_LABEL = 200 };

struct candidate {
    char text[CANDIDATE_MAX_TEXT];   /* the .net file */
    char label[CANDIDATE_MAX_LABEL]; /* "stem 16, residual: 24x2 k3, 40x3 k5, hardswish" */
    size_t parameters, activation_bytes;
    double multiplies;
};

/* STATUS_CONFIG: no net fits in the budget. */
enum status candidate_make(struct candidate *candidate, uint64_t seed, int index, const struct student_input *input,
                           const struct search_budget *budget, struct error *err);

#endif
