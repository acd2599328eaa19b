/* Overviews of many runs: sweep.csv, search.html and their like. */
#ifndef STUDENT_TRAIN_RUN_OVERVIEW_FILE_H
#define STUDENT_TRAIN_RUN_OVERVIEW_FILE_H

#include "shared/base/error.h"
#include <stdio.h>

/* Writes the overview of `source`. */
typedef void overview_writer(const void *source, FILE *out);

/* Publishes FOLDER/NAME, which is whole or absent. */
enum status overview_publish(const char *folder, const char *name, overview_writer *write, const void *source,
                             struct error *err);

/* A comma and the number; nothing after the comma if it was not measured (NAN). */
void overview_csv_number(FILE *out, double number);

#endif
