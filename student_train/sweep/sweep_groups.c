/* Trains the cells of a grid: neighbours that can be trained side by side form a group. */
#include "student_train/sweep/sweep.h"

#include "shared/base/files.h"
#include "student_train/run/fit_identity.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PARALLEL_ON_GPU = 8 };

/* ---- the options of a cell ---- */

/* The cell's variables of the loss, as lines "T = 4"; NULL when out of memory. */
static const char *variables_of(struct sweep *sweep, int cell)
{
    const struct grid *grid = &sweep->grid;
    const char *text = "";
    for (int k = 0; k < grid->key_count && text; k++)
        if (grid->keys[k].variable)
            text = arena_printf(&sweep->grid.arena, "%s%s = %s\n", text, grid->keys[k].name, grid_value(grid, cell, k));
    return text;
}

enum status sweep_cell_options(struct sweep *sweep, int cell, struct fit_options *options, struct error *err)
{
    const struct options *table = &sweep->options.table;
    const char *loss = grid_option(&sweep->grid, cell, "loss");
    struct arena *arena = &sweep->grid.arena;
    enum status status = STATUS_OK;
    char text[LOSS_MAX_TEXT];
    int count = 1;
    char **arguments = arena_alloc(arena, (size_t)table->count + 2, sizeof *arguments);
    if (!arguments)
        return error_no_memory(err, (size_t)table->count * sizeof *arguments, "options");
    TRY(grid_loss(&sweep->grid, cell, loss ? loss : sweep->options.loss, text, sizeof text, err));
    arguments[0] = (char *)(uintptr_t) "fit";
    for (int i = 0; i < table->count; i++) {
        const char *name = table->specs[i].name, *value = grid_option(&sweep->grid, cell, name);
        if (strcmp(name, "grid") == 0 || strcmp(name, "parallel") == 0 || strcmp(name, "part") == 0)
            continue;
        if (!value && table->values[i].count > 0)
            value = table->values[i].texts[0];
        if (strcmp(name, "resume") == 0 && sweep->parts > 1)
            value = "true"; /* a part goes on with what it or its forerunner has begun */
        else if (strcmp(name, "loss") == 0)
            value = text;
        else if (strcmp(name, "out") == 0)
            value = sweep->folders[cell];
        else if (strcmp(name, "name") == 0 && !value)
            value = arena_printf(arena, "%s", strrchr(sweep->folders[cell], '/') + 1);
        else if (strcmp(name, "order-seed") == 0 && sweep->options.order_seed < 0 &&
                 !grid_option(&sweep->grid, cell, name))
            value = arena_printf(arena, "%llu", (unsigned long long)sweep->options.seed % 2000000000);
        if (!value)
            continue;
        arguments[count] = arena_printf(arena, "--%s=%s", name, value);
        if (!arguments[count++])
            FAIL(error_no_memory(err, 0, "options"));
    }
    TRY(fit_options_parse(options, count, arguments, err));
    options->variables = variables_of(sweep, cell);
    if (!options->variables)
        status = error_no_memory(err, 0, "options");
cleanup:
    return status;
}

/* ---- groups ---- */

/* Two runs may differ only in what struct trainer_student has for each student. */
static bool side_by_side(const struct fit_run *a, const struct fit_run *b)
{
    return fit_options_side_by_side(&a->options, &b->options) && strcmp(a->student.digest, b->student.digest) == 0 &&
           loss_expression_alike(&a->loss, &b->loss);
}

struct group {
    struct fit_run runs[TRAINING_MAX_STUDENTS];
    int count;
};

static void group_release(struct group *group)
{
    for (int k = 0; k < group->count; k++)
        fit_run_release(&group->runs[k]);
    *group = (struct group){0};
}

/* Opens the runs of the cells from `first` on that can be trained side by side, at most `limit`. */
static enum status open_group(struct sweep *sweep, const struct fit_data *data, int first, int limit,
                              struct group *group, struct error *err)
{
    enum status status = STATUS_OK;
    for (int cell = first; cell < sweep->grid.cells && group->count < limit; cell++) {
        struct fit_run *run = &group->runs[group->count];
        *run = (struct fit_run){.lock = -1};
        group->count++;
        TRY(sweep_cell_options(sweep, cell, &run->options, err));
        TRY(fit_run_open(run, data, err));
        if (group->count > 1 && !side_by_side(&group->runs[0], run)) {
            fit_run_release(run);
            group->count--;
            break;
        }
    }
cleanup:
    return status;
}

static bool is_done(const struct sweep *sweep, int first, int count)
{
    for (int cell = first; cell < first + count; cell++)
        if (!sweep->metrics[cell].loss)
            return false;
    return true;
}

static enum status train_group(struct sweep *sweep, struct fit_data *data, int first, struct group *group,
                               struct progress *progress, struct error *err)
{
    enum status status = STATUS_OK;
    char *checkpoint = NULL;
    struct fit fit = {.data = data, .runs = group->runs, .count = group->count, .progress = progress};
    char name[64];
    snprintf(name, sizeof name, "checkpoint-%04d-%d", first + 1, group->count);
    checkpoint = path_join(sweep->options.out, name);
    if (!checkpoint)
        return error_no_memory(err, sizeof name, "a path");
    fit.checkpoint = checkpoint;
    for (int k = 0; k < group->count; k++)
        TRY(fit_run_lock(&group->runs[k], err));
    TRY(fit_train(&fit, file_exists(checkpoint), err));
    for (int k = 0; k < group->count; k++) {
        run_metrics_release(&sweep->metrics[first + k]);
        TRY(run_metrics_read(&sweep->metrics[first + k], sweep->folders[first + k], err));
    }
    TRY(sweep_publish(sweep, err));
    unlink(checkpoint);
cleanup:
    free(checkpoint);
    return status;
}

static int part_begin(const struct sweep *sweep, int part)
{
    return (int)((int64_t)sweep->grid.cells * (part - 1) / sweep->parts);
}

enum status sweep_train(struct sweep *sweep, struct progress *progress, struct error *err)
{
    struct fit_data *data = &sweep->data;
    const bool gpu = strcmp(data->compute.backend->name, "cpu") != 0;
    const int limit = sweep->parallel > 0 ? sweep->parallel : gpu ? PARALLEL_ON_GPU : 1;
    /* A part's cells follow from the grid alone: all parts agree on them, whatever their devices and --parallel. */
    const int first = part_begin(sweep, sweep->part), end = part_begin(sweep, sweep->part + 1);
    enum status status = STATUS_OK;
    struct group *group = calloc(1, sizeof *group);
    if (!group)
        return error_no_memory(err, sizeof *group, "a sweep");
    for (int cell = first; cell < end;) {
        TRY(open_group(sweep, data, cell, limit < end - cell ? limit : end - cell, group, err));
        const int count = group->count;
        if (!is_done(sweep, cell, count)) {
            progress_note(progress, "runs %d to %d of %d", cell + 1, cell + count, sweep->grid.cells);
            TRY(train_group(sweep, data, cell, group, progress, err));
        }
        group_release(group);
        cell += count;
    }
cleanup:
    group_release(group);
    free(group);
    return status;
}
