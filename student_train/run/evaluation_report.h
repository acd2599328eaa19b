/* An evaluation as JSON and as text. */
#ifndef STUDENT_TRAIN_RUN_EVALUATION_REPORT_H
#define STUDENT_TRAIN_RUN_EVALUATION_REPORT_H

#include "student_train/trainer/evaluation.h"
#include <cjson/cJSON.h>
#include <stdio.h>

/* names: of the classes. Adds the evaluation to a JSON object; numbers that were not measured are null. */
void evaluation_json(const struct evaluation *evaluation, const char *const *names, cJSON *object);
void evaluation_print(const struct evaluation *evaluation, const char *const *names, FILE *out);

/* A JSON number, or null if it was not measured (NAN). */
cJSON *json_number_or_null(double number);

#endif
