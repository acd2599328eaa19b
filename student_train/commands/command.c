#include "student_train/commands/command.h"

#include "formats/json.h"
#include <stdlib.h>

enum status command_run(struct options *table, int argc, char **argv,
                        enum status (*run)(void *context, struct error *err), void *context, struct error *err)
{
    enum status status = options_parse(table, argc, argv, err);
    if (status == STATUS_OK && table->help)
        options_print_help(table, stdout);
    else if (status == STATUS_OK)
        status = run(context, err);
    options_release(table);
    return status;
}

enum status command_print_json(cJSON *tree, const char *what, struct error *err)
{
    char *text = json_text(tree, false);
    if (!text)
        return error_no_memory(err, 0, what);
    printf("%s\n", text);
    free(text);
    return STATUS_OK;
}
