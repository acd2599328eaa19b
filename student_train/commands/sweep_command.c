/* `student_train sweep`: trains a student for every cell of a grid. */
#include "student_train/commands/command.h"
#include "student_train/commands/student_commands.h"
#include "student_train/run/evaluation_report.h"
#include "student_train/sweep/sweep.h"
#include <stdio.h>
#include <stdlib.h>

enum { PRINTED = 10 };

static cJSON *runs_json(const struct sweep *sweep, const int *cells, int count)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < count; i++) {
        const struct run_metrics *m = &sweep->metrics[cells[i]];
        cJSON *item = cJSON_CreateObject(), *keys = cJSON_AddObjectToObject(item, "grid");
        for (int k = 0; k < sweep->grid.key_count; k++)
            cJSON_AddStringToObject(keys, sweep->grid.keys[k].name, grid_value(&sweep->grid, cells[i], k));
        cJSON_AddStringToObject(item, "run", sweep->folders[cells[i]]);
        cJSON_AddStringToObject(item, "loss", m->loss);
        json_add(item, "accuracy", json_number_or_null(m->accuracy));
        json_add(item, "agreement", json_number_or_null(m->agreement));
        json_append(list, item);
    }
    return list;
}

static void print_best(const struct sweep *sweep, const int *cells, int count)
{
    printf("%-48s %10s %10s\n", "best runs", "accuracy", "agreement");
    for (int i = 0; i < count && i < PRINTED; i++) {
        char label[160];
        const struct run_metrics *m = &sweep->metrics[cells[i]];
        grid_label(&sweep->grid, cells[i], label, sizeof label);
        printf("%-48.48s %8.2f %% %8.2f %%\n", label, 100 * m->accuracy, 100 * m->agreement);
    }
    printf(count < sweep->grid.cells ? "\n%d of %d runs are finished" : "\n%d runs", count, sweep->grid.cells);
    printf("   table: %s/sweep.csv   page: %s/sweep.html\n", sweep->options.out, sweep->options.out);
}

/* All runs as JSON, or the best ones as text. */
static enum status print(const struct sweep *sweep, struct error *err)
{
    int count, *cells = sweep_ranked(sweep, &count);
    enum status status = STATUS_OK;
    if (!cells)
        return error_no_memory(err, 0, "a table");
    if (sweep->options.json)
        status = command_print_json(runs_json(sweep, cells, count), "a table", err);
    else
        print_best(sweep, cells, count);
    free(cells);
    return status;
}

static enum status run(void *context, struct error *err)
{
    struct sweep *sweep = context;
    struct progress progress;
    enum status status = STATUS_OK;
    progress_init(&progress, stderr, sweep->options.quiet);
    TRY(sweep_run(sweep, &progress, err));
    TRY(print(sweep, err));
cleanup:
    sweep_release(sweep);
    return status;
}

enum status sweep_command(int argc, char **argv, struct error *err)
{
    enum status status = STATUS_OK;
    struct sweep sweep = {.argc = argc, .argv = argv};
    const struct option_spec more[] = {
        {"grid", OPTION_LIST, &sweep.grids, "KEY=VALUES", NULL,
         "an option of fit, or a variable {KEY} of --loss, and its values: lr=1e-3,3e-4 or T=1:10 or alpha=0.1:1:0.1; "
         "all cells see the views in the order of the sweep's --seed, unless order-seed is a key",
         .required = true},
        {"parallel", OPTION_INT, &sweep.parallel, "N", "0",
         "students trained side by side; 0: 8 on a GPU, 1 on the CPU; does not change results", .minimum = 0,
         .maximum = TRAINING_MAX_STUDENTS},
        {"part", OPTION_STRING, &sweep.part_text, "I/N", NULL,
         "train only the I-th of N parts: several processes or machines share one --out; each resumes what is there"},
    };
    TRY(fit_options_table(&sweep.options, "student_train sweep", "trains a student for every cell of a grid", more,
                          sizeof more / sizeof *more, err));
    TRY(command_run(&sweep.options.table, argc, argv, run, &sweep, err));
cleanup:
    options_release(&sweep.options.table);
    return status;
}
