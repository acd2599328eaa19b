#include "student_train/sweep/sweep.h"

#include "shared/base/files.h"
#include "student_train/commands/commands.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PARALLEL_ON_GPU = 8 };

/* ---- cells ---- */

/* SWEEP/runs/0007 T=4, alpha=0.5, without what a file name should not have. */
static enum status name_folders(struct sweep *sweep, struct error *err)
{
    const int cells = sweep->grid.cells;
    enum status status = STATUS_OK;
    char *runs = path_join(sweep->options.out, "runs");
    sweep->folders = arena_alloc(&sweep->grid.arena, (size_t)cells, sizeof *sweep->folders);
    sweep->metrics = calloc((size_t)cells, sizeof *sweep->metrics);
    if (!runs || !sweep->folders || !sweep->metrics)
        TRY(error_no_memory(err, (size_t)cells * sizeof *sweep->metrics, "a sweep"));
    for (int cell = 0; cell < cells; cell++) {
        char label[120];
        grid_label(&sweep->grid, cell, label, sizeof label);
        for (char *c = label; *c; c++)
            if (strchr("/ *\"'", *c))
                *c = '_';
        sweep->folders[cell] = arena_printf(&sweep->grid.arena, "%s/%04d_%s", runs, cell + 1, label);
        if (!sweep->folders[cell])
            TRY(error_no_memory(err, sizeof label, "a sweep"));
    }
cleanup:
    free(runs);
    return status;
}

/* The options of a cell's run: the sweep's, with the cell's values in their places. Texts are the grid's. */
static enum status cell_options(struct sweep *sweep, int cell, struct fit_options *options, struct error *err)
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
        if (strcmp(name, "grid") == 0 || strcmp(name, "parallel") == 0)
            continue;
        if (!value && table->values[i].count > 0)
            value = table->values[i].texts[0];
        if (strcmp(name, "loss") == 0)
            value = text;
        else if (strcmp(name, "out") == 0)
            value = sweep->folders[cell];
        else if (strcmp(name, "name") == 0 && !value)
            value = arena_printf(arena, "%s", strrchr(sweep->folders[cell], '/') + 1);
        else if (strcmp(name, "order-seed") == 0 && sweep->options.order_seed < 0)
            value = arena_printf(arena, "%llu", (unsigned long long)sweep->options.seed % 2000000000);
        if (!value)
            continue;
        arguments[count] = arena_printf(arena, "--%s=%s", name, value);
        if (!arguments[count++])
            TRY(error_no_memory(err, 0, "options"));
    }
    TRY(fit_options_parse(options, count, arguments, err));
cleanup:
    return status;
}

/* ---- groups ---- */

/* Whether two cells' runs can be trained side by side: equal but for what struct trainer_student may differ in. */
static bool side_by_side(const struct fit_run *a, const struct fit_run *b)
{
    const struct fit_options *p = &a->options, *q = &b->options;
    bool same = p->batch == q->batch && p->size == q->size && p->epochs == q->epochs && p->optimizer == q->optimizer &&
                p->weight_decay == q->weight_decay && p->momentum == q->momentum && p->nesterov == q->nesterov &&
                p->beta1 == q->beta1 && p->beta2 == q->beta2 && p->epsilon == q->epsilon &&
                p->grad_clip == q->grad_clip && p->ema == q->ema && p->order == q->order &&
                p->order_seed == q->order_seed && p->precision == q->precision && p->eval_every == q->eval_every &&
                strcmp(a->student.digest, b->student.digest) == 0 && a->loss.count == b->loss.count;
    for (int i = 0; same && i < a->loss.count; i++)
        same = a->loss.terms[i].kind == b->loss.terms[i].kind;
    return same;
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

/* The runs of cells from `first` on that can be trained side by side, at most `limit`. */
static enum status open_group(struct sweep *sweep, const struct fit_data *data, int first, int limit,
                              struct group *group, struct error *err)
{
    enum status status = STATUS_OK;
    for (int cell = first; cell < sweep->grid.cells && group->count < limit; cell++) {
        struct fit_run *run = &group->runs[group->count];
        *run = (struct fit_run){.lock = -1};
        group->count++;
        TRY(cell_options(sweep, cell, &run->options, err));
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
    bool ignored;
    struct fit fit = {.data = data, .runs = group->runs, .count = group->count, .progress = progress};
    char name[64];
    snprintf(name, sizeof name, "checkpoint-%04d-%d", first + 1, group->count);
    checkpoint = path_join(sweep->options.out, name);
    if (!checkpoint)
        return error_no_memory(err, sizeof name, "a path");
    fit.checkpoint = checkpoint;
    for (int k = 0; k < group->count; k++)
        TRY(fit_run_folder(&group->runs[k], &ignored, err));
    TRY(fit_train(&fit, file_exists(checkpoint), err));
    for (int k = 0; k < group->count; k++) {
        run_metrics_release(&sweep->metrics[first + k]);
        TRY(run_metrics_read(&sweep->metrics[first + k], sweep->folders[first + k], err));
    }
    TRY(sweep_report(sweep, err));
    unlink(checkpoint);
cleanup:
    free(checkpoint);
    return status;
}

static enum status train_all(struct sweep *sweep, struct fit_data *data, struct progress *progress, struct error *err)
{
    const bool gpu = strcmp(data->compute.backend->name, "cpu") != 0;
    const int limit = sweep->parallel > 0 ? sweep->parallel : gpu ? PARALLEL_ON_GPU : 1;
    enum status status = STATUS_OK;
    struct group *group = calloc(1, sizeof *group);
    if (!group)
        return error_no_memory(err, sizeof *group, "a sweep");
    for (int first = 0; first < sweep->grid.cells;) {
        TRY(open_group(sweep, data, first, limit, group, err));
        const int count = group->count;
        if (!is_done(sweep, first, count)) {
            progress_note(progress, "runs %d to %d of %d", first + 1, first + count, sweep->grid.cells);
            TRY(train_group(sweep, data, first, group, progress, err));
        }
        group_release(group);
        first += count;
    }
cleanup:
    group_release(group);
    free(group);
    return status;
}

/* ---- the folder ---- */

/* Names the first line in which two resolved configurations differ. */
static enum status compare(const char *path, const char *kept, const char *asked, struct error *err)
{
    while (*kept || *asked) {
        const int a = (int)strcspn(kept, "\n"), b = (int)strcspn(asked, "\n");
        if (a != b || memcmp(kept, asked, (size_t)a) != 0)
            return error_set(
                err, STATUS_CONFIG, path,
                "cannot go on with other options: the sweep has '%.*s', asked is '%.*s'; use another --out", a, kept, b,
                asked);
        kept += a + (kept[a] != 0);
        asked += b + (asked[b] != 0);
    }
    return STATUS_OK;
}

static enum status open_folder(struct sweep *sweep, int *lock, struct error *err)
{
    enum status status = STATUS_OK;
    const char *out = sweep->options.out;
    char *path = path_join(out, "sweep.ini"), *lock_path = path_join(out, ".lock"), *runs = path_join(out, "runs");
    char *text = fit_options_fingerprint(&sweep->options.table);
    unsigned char *kept = NULL;
    size_t size;
    if (!path || !lock_path || !runs || !text)
        TRY(error_no_memory(err, strlen(out), "a path"));
    TRY(folder_make(out, err));
    TRY(folder_make(runs, err));
    TRY(file_lock(lock_path, lock, err));
    if (file_exists(path) && !sweep->options.overwrite) {
        if (!sweep->options.resume)
            TRY(error_set(err, STATUS_CANT_CREATE, out,
                          "holds a sweep already; --resume goes on with it, --overwrite replaces it"));
        TRY(file_read(path, 1 << 20, &kept, &size, err));
        char *whole = calloc(size + 1, 1);
        if (!whole)
            TRY(error_no_memory(err, size, "sweep.ini"));
        memcpy(whole, kept, size);
        status = compare(path, whole, text, err);
        free(whole);
        TRY(status);
    }
    TRY(file_publish(path, text, strlen(text), err));
cleanup:
    free(path);
    free(lock_path);
    free(runs);
    free(text);
    free(kept);
    return status;
}

/* Results of an earlier start; with --overwrite they are removed. */
static void find_finished(struct sweep *sweep)
{
    for (int cell = 0; cell < sweep->grid.cells; cell++) {
        char *path = path_join(sweep->folders[cell], "metrics.json");
        if (path && sweep->options.overwrite)
            unlink(path);
        else if (path && file_exists(path) &&
                 run_metrics_read(&sweep->metrics[cell], sweep->folders[cell], NULL) != STATUS_OK)
            run_metrics_release(&sweep->metrics[cell]);
        free(path);
    }
}

static enum status run(struct sweep *sweep, struct error *err)
{
    struct fit_options first = {0};
    struct progress progress;
    enum status status = STATUS_OK;
    int lock = -1;
    TRY(grid_parse(&sweep->grid, &sweep->grids, &sweep->options.table, err));
    if (!sweep->options.student && !grid_option(&sweep->grid, 0, "student"))
        TRY(error_set(err, STATUS_USAGE, NULL, "--student is missing; see student_train sweep --help"));
    TRY(name_folders(sweep, err));
    for (int cell = 0; cell < sweep->grid.cells; cell++) { /* every cell's options are checked before anything runs */
        struct fit_options options = {0};
        status = cell_options(sweep, cell, &options, err);
        options_release(&options.table);
        TRY(status);
    }
    TRY(cell_options(sweep, 0, &first, err));
    progress_init(&progress, stderr, sweep->options.quiet);
    TRY(fit_data_open(&sweep->data, &first, err));
    TRY(open_folder(sweep, &lock, err));
    find_finished(sweep);
    TRY(compute_open(&sweep->data.compute, &sweep->options.compute, &progress, err));
    TRY(train_all(sweep, &sweep->data, &progress, err));
    TRY(sweep_report(sweep, err));
    TRY(sweep_print(sweep, err));
cleanup:
    fit_data_release(&sweep->data);
    options_release(&first.table);
    if (lock >= 0)
        file_unlock(lock);
    return status;
}

static void release(struct sweep *sweep)
{
    for (int cell = 0; sweep->metrics && cell < sweep->grid.cells; cell++)
        run_metrics_release(&sweep->metrics[cell]);
    free(sweep->metrics);
    grid_release(&sweep->grid);
    options_release(&sweep->options.table);
}

enum status sweep_command(int argc, char **argv, struct error *err)
{
    enum status status = STATUS_OK;
    struct sweep sweep = {.argc = argc, .argv = argv};
    const struct option_spec more[] = {
        {"grid", OPTION_LIST, &sweep.grids, "KEY=VALUES", NULL,
         "an option of fit, or a variable {KEY} of --loss, and its values: lr=1e-3,3e-4 or T=1:10 or alpha=0.1:1:0.1",
         .required = true},
        {"parallel", OPTION_INT, &sweep.parallel, "N", "0",
         "students trained side by side; 0: 8 on a GPU, 1 on the CPU; changes no result", .minimum = 0,
         .maximum = TRAINING_MAX_STUDENTS},
    };
    TRY(fit_options_table(&sweep.options, "student_train sweep", "trains a student for every cell of a grid", more,
                          sizeof more / sizeof *more, err));
    TRY(options_parse(&sweep.options.table, argc, argv, err));
    if (sweep.options.table.help)
        options_print_help(&sweep.options.table, stdout);
    else
        status = run(&sweep, err);
cleanup:
    release(&sweep);
    return status;
}
