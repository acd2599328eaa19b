/* A sweep from its grid to its results: folders, what an earlier start left, training, reports. */
#include "student_train/sweep/sweep.h"

#include "shared/base/files.h"
#include "student_train/run/fit_identity.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* SWEEP/runs/0007_T=4,_alpha=0.5, without characters that are awkward in a file name. */
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
                          "already holds a sweep; --resume resumes it, --overwrite replaces it"));
        TRY(file_read(path, 1 << 20, &kept, &size, err));
        char *whole = calloc(size + 1, 1);
        if (!whole)
            TRY(error_no_memory(err, size, "sweep.ini"));
        memcpy(whole, kept, size);
        status = fit_identity_check(path, whole, text, err);
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

/* Reads the results of an earlier start; with --overwrite removes them. */
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

enum status sweep_run(struct sweep *sweep, struct progress *progress, struct error *err)
{
    struct fit_options first = {0};
    enum status status = STATUS_OK;
    int lock = -1;
    TRY(grid_parse(&sweep->grid, &sweep->grids, &sweep->options.table, err));
    if (!sweep->options.student && !grid_option(&sweep->grid, 0, "student"))
        TRY(error_set(err, STATUS_USAGE, NULL, "--student is missing; see student_train sweep --help"));
    TRY(name_folders(sweep, err));
    for (int cell = 0; cell < sweep->grid.cells; cell++) { /* check every cell's options before anything runs */
        struct fit_options options = {0};
        status = sweep_cell_options(sweep, cell, &options, err);
        options_release(&options.table);
        TRY(status);
    }
    TRY(sweep_cell_options(sweep, 0, &first, err));
    TRY(fit_data_open(&sweep->data, &first, err));
    TRY(open_folder(sweep, &lock, err));
    find_finished(sweep);
    TRY(compute_open(&sweep->data.compute, &sweep->options.compute, progress, err));
    TRY(sweep_train(sweep, progress, err));
    TRY(sweep_report(sweep, err));
cleanup:
    fit_data_release(&sweep->data);
    options_release(&first.table);
    if (lock >= 0)
        file_unlock(lock);
    return status;
}

void sweep_release(struct sweep *sweep)
{
    for (int cell = 0; sweep->metrics && cell < sweep->grid.cells; cell++)
        run_metrics_release(&sweep->metrics[cell]);
    free(sweep->metrics);
    grid_release(&sweep->grid);
}
