/* What all commands share: options, help and JSON on stdout. */
#ifndef STUDENT_TRAIN_COMMANDS_COMMAND_H
#define STUDENT_TRAIN_COMMANDS_COMMAND_H

#include "shared/base/options.h"
#include <cjson/cJSON.h>

/* Parses argv by the table, then prints the help or calls run(context). Releases the table. */
enum status command_run(struct options *table, int argc, char **argv,
                        enum status (*run)(void *context, struct error *err), void *context, struct error *err);

/* Prints a tree, which it takes and frees. `what` names it if memory runs out. */
enum status command_print_json(cJSON *tree, const char *what, struct error *err);

#endif
