/* What the epochs of a run have logged. */
#ifndef STUDENT_TRAIN_RUN_RUN_CURVE_H
#define STUDENT_TRAIN_RUN_RUN_CURVE_H

/* A column of FOLDER/summary.csv, NAN where a field is empty: malloc'ed [*count], the epochs from 1 on; NULL if there
 * is no such file or column. */
double *run_curve(const char *folder, const char *column, int *count);

#endif
