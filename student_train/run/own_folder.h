/* Folders that this program makes: of a run, of a sweep and of a search. Their mark is the text in .lock. Nothing is
 * written into a folder that holds anything else: files with our names could be the user's. */
#ifndef STUDENT_TRAIN_RUN_OWN_FOLDER_H
#define STUDENT_TRAIN_RUN_OWN_FOLDER_H

#include "shared/base/error.h"
#include <stdbool.h>

struct own_folder_kind {
    const char *name, *mark;
    const char *earlier;   /* a file that marks the folders of the first versions, which left .lock empty */
    const char *files[12]; /* published in it, NULL at the end; "checkpoint*": all that begin so */
};
extern const struct own_folder_kind own_folder_run, own_folder_sweep, own_folder_search;

/* Makes the folder if it is missing, locks and marks it, and removes the temporary files that killed processes left.
 * STATUS_CANT_CREATE lists what is not ours; STATUS_LOCKED. */
enum status own_folder_lock(const char *path, const struct own_folder_kind *kind, int *lock, struct error *err);
/* The same for a folder in which other processes work, too: waits while one of them has the lock, and leaves temporary
 * files alone. STATUS_INTERRUPTED. */
enum status own_folder_join(const char *path, const struct own_folder_kind *kind, int *lock, struct error *err);
/* *ours: the folder exists and has the mark. */
enum status own_folder_is_ours(const char *path, const struct own_folder_kind *kind, bool *ours, struct error *err);

#endif
