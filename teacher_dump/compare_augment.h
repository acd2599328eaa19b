/* `run --compare-augment`: what the teacher says about views of every preset, so that nobody guesses a recipe. */
#ifndef TEACHER_DUMP_COMPARE_AUGMENT_H
#define TEACHER_DUMP_COMPARE_AUGMENT_H

#include "teacher_dump/dump_job.h"

enum { COMPARE_PHOTOS = 200, COMPARE_VIEWS = 4 };

/* Prints a table of all presets and of the run's own recipe: COMPARE_VIEWS views of COMPARE_PHOTOS training photos of
 * all classes alike. job: its teacher is started, and nothing is in flight. Writes nothing. STATUS_CONFIG: there is no
 * teacher, or no training photo has a label. */
enum status compare_augment(struct dump_job *job, struct progress *progress, struct error *err);

#endif
