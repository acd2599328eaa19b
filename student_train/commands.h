/* The commands of student_train. argv[0] is the command's name. Results go to stdout, progress to stderr. */
#ifndef STUDENT_TRAIN_COMMANDS_H
#define STUDENT_TRAIN_COMMANDS_H

#include "shared/base/error.h"

enum status command_fit(int argc, char **argv, struct error *err);
enum status command_eval(int argc, char **argv, struct error *err);
enum status command_predict(int argc, char **argv, struct error *err);
enum status command_export(int argc, char **argv, struct error *err);
enum status command_inspect(int argc, char **argv, struct error *err);

#endif
