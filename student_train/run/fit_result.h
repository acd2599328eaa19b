/* The result of a run: metrics.json, report.html, and a summary on stdout. */
#ifndef STUDENT_TRAIN_RUN_FIT_RESULT_H
#define STUDENT_TRAIN_RUN_FIT_RESULT_H

#include "student_train/run/fit.h"
#include <cjson/cJSON.h>
#include <stdio.h>

/* Evaluates the best weights of every run, writes metrics.json and report.html. */
enum status fit_result(struct fit *fit, struct error *err);

/* The result of a run after fit_result: the content of metrics.json (the caller frees it), or text. */
cJSON *fit_result_json(const struct fit *fit, int run);
void fit_result_print(const struct fit *fit, int run, FILE *out);

#endif
