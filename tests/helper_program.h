/* Runs the programs as a user does: a folder with a synthetic photo set, a teacher with random weights, and a cache
 * that teacher_dump has made from them. The programs are in $BUILD (default: build). */
#ifndef TESTS_HELPER_PROGRAM_H
#define TESTS_HELPER_PROGRAM_H

#include <cjson/cJSON.h>

extern char *folder;       /* of this test program */
extern char program[4096]; /* student_train */
extern char dumper[4096];  /* teacher_dump */
extern char output[65536]; /* of the last command */

/* cmocka's group setup and teardown. The folder has photos/ (3 classes), teacher.onnx, tiny.net (with dropout) and
 * cache/ (3 views of 72 training photos, 24 for validation). */
int program_setup(void **state);
int program_teardown(void **state);

/* Runs a shell command in the folder, keeps its output and returns its exit code. */
__attribute__((format(printf, 1, 2))) int shell(const char *format, ...);
/* Fails unless got is code and the output of the last command contains text. */
void expect(int code, const char *text, int got);
/* The JSON in a file of the folder; the caller deletes it. */
cJSON *json_of(const char *name);
/* Fails unless the file `name` has the same bytes in both folders. */
void same_file(const char *a, const char *b, const char *name);
void same_run(const char *a, const char *b);

#endif
