/* A sweep from its grid to its results: folders, what an earlier start left, training, reports. */
#include "student_train/sweep/sweep.h"

#include "shared/base/folder.h"
#include "student_train/run/fit_identity.h"
#include "student_train/run/own_folder.h"
#include <stdlib.h>
#include <string.h>

/* SWEEP/runs/0007_T=4,_alpha=0.5, without characters that are awkward in a file name. */
static enum status name_folders(struct sweep *sweep, struct error *err)
{
    const int cells = sweep->grid.cells;
    enum status status = STATUS_OK;
    char *runs = path_join(sweep->options.out, "runs");
    sweep->folders = arena_alloc(&sweep->grid.arena, (size_t)cells, sizeof *sweep->folders);
    sweep->metrics = calloc((size_t)cells, sizeof *sweep->metrics);
    if (!runs || !sweep->folders || !sweep->metrics)
        FAIL(error_no_memory(err, (size_t)cells * sizeof *sweep->metrics, "a sweep"));
    for (int cell = 0; cell < cells; cell++) {
        char label[120];
        grid_label(&sweep->grid, cell, label, sizeof label);
        for (char *c = label; *c; c++)
            if (strchr("/ *\"'", *c))
                *c = '_';
        sweep->folders[cell] = arena_printf(&sweep->grid.arena, "%s/%04d_%s", runs, cell + 1, label);
        if (!sweep->folders[cell])
            FAIL(error_no_memory(err, sizeof label, "a sweep"));
    }
cleanup:
    free(runs);
    return status;
}

/* `runs` and the cells' folders in it must be folders: a link would lead out of the sweep. */
static enum status check_folders(const struct sweep *sweep, struct error *err)
{
    enum status status = STATUS_OK;
    struct open_folder out = {-1, NULL}, runs = {-1, NULL}, cell_at;
    TRY(folder_open(&out, sweep->options.out, err));
    TRY(folder_enter(&runs, &out, "runs", true, err));
    for (int cell = 0; cell < sweep->grid.cells; cell++) {
        const char *name = strrchr(sweep->folders[cell], '/') + 1;
        enum file_kind kind;
        TRY(folder_look(&runs, name, &kind, err));
        if (kind == FILE_ABSENT)
            continue;
        TRY(folder_enter(&cell_at, &runs, name, false, err));
        folder_close(&cell_at);
    }
cleanup:
    folder_close(&runs);
    folder_close(&out);
    return status;
}

static enum status lock_sweep(const struct sweep *sweep, int *lock, struct error *err)
{
    const char *out = sweep->options.out;
    return sweep->parts > 1 ? own_folder_join(out, &own_folder_sweep, lock, err)
                            : own_folder_lock(out, &own_folder_sweep, lock, err);
}

static enum status open_folder(struct sweep *sweep, int *lock, struct error *err)
{
    enum status status = STATUS_OK;
    const char *out = sweep->options.out;
    char *path = path_join(out, "sweep.ini");
    char *text = fit_options_fingerprint(&sweep->options.table);
    unsigned char *kept = NULL;
    size_t size;
    enum file_kind kind;
    if (!path || !text)
        FAIL(error_no_memory(err, strlen(out), "a path"));
    TRY(lock_sweep(sweep, lock, err));
    TRY(check_folders(sweep, err));
    TRY(file_look(path, &kind, err));
    if (kind != FILE_ABSENT && !sweep->options.overwrite) {
        if (!sweep->options.resume && sweep->parts == 1)
            FAIL(error_set(err, STATUS_CANT_CREATE, out,
                           "already holds a sweep; --resume resumes it, --overwrite replaces it"));
        TRY(file_read(path, 1 << 20, &kept, &size, err));
        char *whole = calloc(size + 1, 1);
        if (!whole)
            FAIL(error_no_memory(err, size, "sweep.ini"));
        memcpy(whole, kept, size);
        status = fit_identity_check(path, whole, text, err);
        free(whole);
        TRY(status);
    }
    TRY(file_publish(path, text, strlen(text), err));
cleanup:
    free(path);
    free(text);
    free(kept);
    return status;
}

enum status sweep_find_finished(struct sweep *sweep, bool start, struct error *err)
{
    enum status status = STATUS_OK;
    for (int cell = 0; cell < sweep->grid.cells; cell++) {
        const char *name = sweep->folders[cell];
        struct open_folder folder = {-1, NULL};
        struct error bad = {0};
        enum file_kind kind = FILE_ABSENT;
        bool ours;
        if (sweep_finished(sweep, cell))
            continue;
        TRY(own_folder_is_ours(name, &own_folder_run, &ours, err));
        if (!ours)
            continue;
        status = folder_open(&folder, name, err);
        if (status == STATUS_OK && start && sweep->options.overwrite)
            status = folder_remove(&folder, "metrics.json", err);
        else if (status == STATUS_OK)
            status = folder_look(&folder, "metrics.json", &kind, err);
        folder_close(&folder);
        TRY(status);
        if (kind == FILE_ABSENT)
            continue;
        status = run_metrics_read(&sweep->metrics[cell], name, &bad);
        if (status != STATUS_OK)
            run_metrics_release(&sweep->metrics[cell]);
        if (status != STATUS_OK && status != STATUS_BAD_DATA) /* a damaged result is computed again */
            FAIL(error_set(err, status, bad.path, "%s", bad.message));
        status = STATUS_OK;
    }
cleanup:
    return status;
}

enum status sweep_publish(struct sweep *sweep, struct error *err)
{
    enum status status = STATUS_OK;
    int lock = -1;
    if (sweep->parts > 1) {
        TRY(lock_sweep(sweep, &lock, err));
        TRY(sweep_find_finished(sweep, false, err));
    }
    TRY(sweep_report(sweep, err));
cleanup:
    file_unlock(lock);
    return status;
}

enum status sweep_run(struct sweep *sweep, struct progress *progress, struct error *err)
{
    struct fit_options first = {0};
    enum status status = STATUS_OK;
    int lock = -1;
    TRY(option_part(sweep->part_text, &sweep->part, &sweep->parts, err));
    if (sweep->parts > 1 && sweep->options.overwrite)
        FAIL(error_set(err, STATUS_USAGE, NULL,
                       "--overwrite would remove what other parts have trained; choose another "
                       "--out, or overwrite without --part first"));
    TRY(grid_parse(&sweep->grid, &sweep->grids, &sweep->options.table, err));
    if (!sweep->options.student && !grid_option(&sweep->grid, 0, "student"))
        FAIL(error_set(err, STATUS_USAGE, NULL, "--student is missing; see student_train sweep --help"));
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
    TRY(sweep_find_finished(sweep, true, err));
    if (sweep->parts > 1) { /* the other parts begin, too */
        file_unlock(lock);
        lock = -1;
    }
    TRY(compute_open(&sweep->data.compute, &sweep->options.compute, progress, err));
    TRY(sweep_train(sweep, progress, err));
    TRY(sweep_publish(sweep, err));
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
