#include "tests/helper_sources.h"

#include "tests/helper_images.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

int source_folder_setup(void **state)
{
    *state = temporary_folder();
    return 0;
}

int source_folder_teardown(void **state)
{
    remove_folder(*state);
    free(*state);
    return 0;
}

void open_source(struct image_source *source, const char *path)
{
    struct error err = {0};
    if (image_source_open(source, path, NULL, &err) != STATUS_OK)
        fail_msg("%s: %s", err.path, err.message);
}

void expect_refusal(const char *path, enum status status, const char *words)
{
    struct image_source source;
    struct error err = {0};
    assert_int_equal(image_source_open(&source, path, NULL, &err), status);
    if (!strstr(err.message, words))
        fail_msg("the message has no '%s': %s", words, err.message);
    assert_null(source.path);
}

void photo(const char *folder, const char *name)
{
    write_photo(folder, name, 8, 8, 0, 0);
}

void expect_sample(const struct image_source *source, enum split split, size_t index, const char *name, int label)
{
    assert_true(index < source->sets[split].count);
    assert_string_equal(source->sets[split].samples[index].name, name);
    assert_int_equal(source->sets[split].samples[index].label, label);
}
