/* `--logits`: which outputs of a teacher are the logits of the data set's classes. */
#ifndef TEACHER_DUMP_OUTPUT_CHOICE_H
#define TEACHER_DUMP_OUTPUT_CHOICE_H

#include "shared/base/error.h"
#include "shared/base/memory.h"

/* text: numbers from 0 separated by commas, "0,217,482", or a file of numbers between commas, blanks or line ends; one
 * for each of `classes` classes, in their order. *selected is the arena's. STATUS_USAGE, STATUS_NO_INPUT; STATUS_CONFIG
 * unless there are as many as classes, and none twice. */
enum status output_choice_parse(const char *text, int classes, struct arena *arena, const int **selected,
                                struct error *err);

#endif
