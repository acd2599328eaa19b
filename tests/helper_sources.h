/* Data sets that are opened, and what is expected of them. Failures are cmocka failures. */
#ifndef TESTS_HELPER_SOURCES_H
#define TESTS_HELPER_SOURCES_H

#include "formats/datasets/image_source.h"

/* A test with an empty folder as its state. */
int source_folder_setup(void **state);
int source_folder_teardown(void **state);
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, source_folder_setup, source_folder_teardown)

void open_source(struct image_source *source, const char *path);
/* Opening must fail with this status and a message that has these words. */
void expect_refusal(const char *path, enum status status, const char *words);
/* Writes a photo of 8 x 8 to folder/name. */
void photo(const char *folder, const char *name);
void expect_sample(const struct image_source *source, enum split split, size_t index, const char *name, int label);

#endif
