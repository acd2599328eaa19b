/* What stands before and after the commands in a manual page or in a shell's completion. */
#ifndef SHARED_BASE_PROGRAM_MANUAL_H
#define SHARED_BASE_PROGRAM_MANUAL_H

#include "shared/base/options.h"
#include "shared/base/program.h"

void program_manual_begin(const struct program *program, enum help_form form, FILE *out);
void program_manual_end(const struct program *program, enum help_form form, FILE *out);

#endif
