/* The presets: the .net files of student_train/presets, embedded when the program is built. */
#ifndef STUDENT_TRAIN_STUDENT_PRESET_H
#define STUDENT_TRAIN_STUDENT_PRESET_H

#include "shared/base/error.h"

struct preset {
    const char *name, *text;
};
extern const struct preset presets[]; /* in order of their names */
extern const int preset_count;

enum { PRESET_SMALL_SIZE = 64 };

/* The preset NAME; for images of at most PRESET_SMALL_SIZE pixels NAME-small where there is one.
 * STATUS_USAGE with a suggestion or the list. */
enum status preset_find(const char *name, int size, const struct preset **preset, struct error *err);

#endif
