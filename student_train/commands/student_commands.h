/* The commands of student_train, for main.c. argv[0] is the command's name. Results go to stdout, progress to
 * stderr. */
#ifndef STUDENT_TRAIN_COMMANDS_STUDENT_COMMANDS_H
#define STUDENT_TRAIN_COMMANDS_STUDENT_COMMANDS_H

#include "shared/base/error.h"

enum status fit_command(int argc, char **argv, struct error *err);
enum status sweep_command(int argc, char **argv, struct error *err);
enum status search_command(int argc, char **argv, struct error *err);
enum status eval_command(int argc, char **argv, struct error *err);
enum status predict_command(int argc, char **argv, struct error *err);
enum status export_command(int argc, char **argv, struct error *err);
enum status compare_command(int argc, char **argv, struct error *err);
enum status inspect_student_command(int argc, char **argv, struct error *err);
enum status losses_command(int argc, char **argv, struct error *err);

#endif
