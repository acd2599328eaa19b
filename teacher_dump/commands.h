/* The commands of teacher_dump. They print their results to stdout. */
#ifndef TEACHER_DUMP_COMMANDS_H
#define TEACHER_DUMP_COMMANDS_H

#include "shared/base/error.h"

enum status command_run(int argc, char **argv, struct error *err);
enum status command_inspect(int argc, char **argv, struct error *err);
enum status command_verify(int argc, char **argv, struct error *err);
enum status command_recheck(int argc, char **argv, struct error *err);

#endif
