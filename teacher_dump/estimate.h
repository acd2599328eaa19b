/* --dry-run: how much space and time a run would take, measured on a few images. Writes nothing. */
#ifndef TEACHER_DUMP_ESTIMATE_H
#define TEACHER_DUMP_ESTIMATE_H

#include "teacher_dump/dump_job.h"
#include "teacher_dump/view_batch.h"

/* job: opened, not scanned. Prints to stdout. */
enum status estimate_print(struct dump_job *job, struct view_batch *views, struct error *err);

#endif
