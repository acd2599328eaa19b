/* The frame of a program with commands: it picks the command, prints the error, and turns the status into an exit code.
 * Only the main.c files call it, so errors are printed in one place. */
#ifndef SHARED_BASE_PROGRAM_H
#define SHARED_BASE_PROGRAM_H

#include "shared/base/error.h"

struct program_command {
    const char *name, *summary;
    /* argv[0] is the command's name, as options_parse expects. */
    enum status (*run)(int argc, char **argv, struct error *err);
};

struct program {
    const char *name, *summary;
    const struct program_command *commands;
    int count;
};

/* Installs the interrupt flag and runs the command that argv[1] names. Returns the exit code. An error goes to stderr
 * as "program: error: path: message"; --help and --version print to stdout. Control characters in what is printed are
 * escaped (printable.h). If stdout cannot be written (a full disk), that is an error too (STATUS_IO).
 * --help=man|bash|zsh prints a manual page or a completion of all commands. */
int program_main(const struct program *program, int argc, char **argv);

#endif
