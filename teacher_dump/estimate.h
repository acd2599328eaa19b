/* --dry-run: how much space and time a run would take, measured on a few images. Writes nothing. */
#ifndef TEACHER_DUMP_ESTIMATE_H
#define TEACHER_DUMP_ESTIMATE_H

#include "teacher_dump/dump_job.h"
#include "teacher_dump/view_batch.h"

struct measurement {
    double image_seconds; /* read, decode, resize, on one thread */
    double view_seconds;  /* render and teacher, all threads */
    double image_bytes;   /* mean size of a stored image */
    int images, failures;
};

/* From here on to the end of estimate_measure there are 30 seconds: a file of a few hundred bytes may be a teacher that
 * computes for days. Ends the program otherwise, with STATUS_CONFIG. */
void estimate_begin(void);
/* job: opened, not scanned. Takes some seconds, or as long as a few views take. */
enum status estimate_measure(struct dump_job *job, struct view_batch *views, struct measurement *m, struct error *err);
/* To stdout. */
enum status estimate_print(struct dump_job *job, const struct measurement *m, struct error *err);

#endif
