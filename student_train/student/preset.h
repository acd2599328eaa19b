/* The presets, built into the program: the .net files of student_train/presets, and the files of predictions that
 * competitions want, the .ini files of student_train/submissions. */
#ifndef STUDENT_TRAIN_STUDENT_PRESET_H
#define STUDENT_TRAIN_STUDENT_PRESET_H

#include "shared/base/options.h"

struct preset {
    const char *name, *text;
};
extern const struct preset presets[]; /* sorted by name */
extern const int preset_count;
extern const struct option_preset submissions[]; /* sorted by name */
extern const int submission_count;

enum { PRESET_SMALL_SIZE = 64 };

/* The preset NAME; for images of at most PRESET_SMALL_SIZE pixels NAME-small, if there is one.
 * STATUS_USAGE, with a suggestion and the list of presets. */
enum status preset_find(const char *name, int size, const struct preset **preset, struct error *err);

#endif
