/* The commands of teacher_dump. They print their results to stdout. */
#ifndef TEACHER_DUMP_COMMANDS_H
#define TEACHER_DUMP_COMMANDS_H

#include "shared/base/error.h"

enum status run_command(int argc, char **argv, struct error *err);
enum status import_command(int argc, char **argv, struct error *err);
enum status inspect_command(int argc, char **argv, struct error *err);
enum status verify_command(int argc, char **argv, struct error *err);
enum status recheck_command(int argc, char **argv, struct error *err);

#endif
