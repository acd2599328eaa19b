/* Models whose weights lie in files beside them, as torch.onnx.export writes them since PyTorch 2.9. */
#define _GNU_SOURCE
#include "formats/onnx/onnx_file.h"
#include "formats/onnx/onnx_read.h"
#include "shared/base/files.h"
#include "tests/helper_images.h"
#include "tests/helper_onnx_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { CHANNELS = 3 };

static void put_ends(struct proto *graph, const char *output)
{
    model_put_value(graph, GRAPH_INPUT, "x", ONNX_FLOAT, (const int64_t[]){-1, CHANNELS, 1, 1}, 4);
    model_put_value(graph, GRAPH_OUTPUT, output, ONNX_FLOAT, NULL, 0);
}

struct folder {
    char *path, *model, *data;
};

static int setup(void **state)
{
    struct folder *f = calloc(1, sizeof *f);
    f->path = temporary_folder();
    f->model = path_join(f->path, "model.onnx");
    f->data = path_join(f->path, "model.onnx.data");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct folder *f = *state;
    remove_folder(f->path);
    free(f->path);
    free(f->model);
    free(f->data);
    free(f);
    return 0;
}

/* A new folder below the test's own, and a file of it. */
static char *below(const struct folder *f, const char *folder, const char *file)
{
    char *path = path_join(f->path, folder), *whole = path_join(path, file);
    assert_true(mkdir(path, 0700) == 0 || folder_exists(path));
    free(path);
    return whole;
}

/* y = x * w, whose w is `length` bytes of `location` from `offset` on. */
static void write_model(const struct folder *f, const char *location, const char *offset, const char *length)
{
    struct proto graph = {0}, model = {0};
    struct error err = {0};
    put_ends(&graph, "y");
    model_put_external(&graph, "w", (const int64_t[]){CHANNELS, 1, 1}, 3, location, offset, length);
    model_put_node(&graph, "Mul", "x w", "y");
    model_make(&model, &graph, 18);
    assert_int_equal(file_publish(f->model, model.bytes, model.size, &err), STATUS_OK);
    proto_release(&model);
}

static const float stored[] = {9, 1.5f, -2, 4, 9};

static void write_data(const char *path)
{
    struct error err = {0};
    assert_int_equal(file_publish(path, stored, sizeof stored, &err), STATUS_OK);
}

static void expect_weights(const char *path)
{
    struct graph graph;
    struct error err = {0};
    if (onnx_read_file(&graph, path, NULL, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    const int w = graph_find_weight(&graph, "y.scale");
    assert_true(w >= 0);
    assert_memory_equal(graph.weights[w].data, stored + 1, CHANNELS * sizeof *stored);
    graph_release(&graph);
}

static void expect_refused(const char *path, enum status expected, const char *text)
{
    struct graph graph;
    struct error err = {0};
    const enum status status = onnx_read_file(&graph, path, NULL, &err);
    if (status != expected || !strstr(err.message, text))
        fail_msg("status %d, message '%s'; expected %d and '%s'", status, err.message, expected, text);
}

static void test_weights_beside_the_model(void **state)
{
    const struct folder *f = *state;
    write_data(f->data);
    write_model(f, "model.onnx.data", "4", "12");
    expect_weights(f->model);
    assert_int_equal(chdir(f->path), 0);
    expect_weights("model.onnx"); /* a path without a folder */
    assert_int_equal(chdir("/"), 0);
    write_model(f, "./model.onnx.data", "4", "12");
    expect_weights(f->model);
    assert_int_equal(truncate(f->data, 16), 0);
    write_model(f, "model.onnx.data", "4", NULL); /* to the file's end */
    expect_weights(f->model);
}

/* What is hashed is what is read: another byte in either file is another teacher. */
static void test_digest_of_both_files(void **state)
{
    const struct folder *f = *state;
    char first[DIGEST_HEX_SIZE], second[DIGEST_HEX_SIZE], whole[DIGEST_HEX_SIZE];
    unsigned char *bytes, *model, *both;
    size_t size, model_size;
    struct error err = {0};
    const float other = 7;
    write_data(f->data);
    write_model(f, "model.onnx.data", "4", "12");
    assert_int_equal(onnx_file_read(f->model, &bytes, &size, first, &err), STATUS_OK);
    free(bytes);
    assert_int_equal(file_read(f->model, 1 << 20, &model, &model_size, &err), STATUS_OK);
    both = malloc(model_size + sizeof stored);
    memcpy(both, model, model_size);
    memcpy(both + model_size, stored, sizeof stored);
    digest_bytes(both, model_size + sizeof stored, whole);
    assert_string_equal(first, whole);
    free(model);
    free(both);
    FILE *file = fopen(f->data, "r+b");
    assert_non_null(file);
    assert_int_equal(fwrite(&other, sizeof other, 1, file), 1);
    fclose(file);
    assert_int_equal(onnx_file_read(f->model, &bytes, &size, second, &err), STATUS_OK);
    free(bytes);
    assert_string_not_equal(first, second);
}

static void test_missing_and_short_data(void **state)
{
    const struct folder *f = *state;
    write_model(f, "model.onnx.data", "4", "12");
    expect_refused(f->model, STATUS_NO_INPUT, "copy it beside the model");
    write_data(f->data);
    write_model(f, "model.onnx.data", "12", "12");
    expect_refused(f->model, STATUS_BAD_DATA, "shorter than the model says");
    write_model(f, "model.onnx.data", "18446744073709551615", "12");
    expect_refused(f->model, STATUS_BAD_DATA, "shorter than the model says");
    write_model(f, "model.onnx.data", "-4", "12");
    expect_refused(f->model, STATUS_BAD_DATA, "shorter than the model says");
    write_model(f, "model.onnx.data", "4", "8");
    expect_refused(f->model, STATUS_BAD_DATA, "must have 12 bytes of data, but has 8");
    write_model(f, "", "4", "12");
    expect_refused(f->model, STATUS_BAD_DATA, "");
    free(below(f, "folder", ""));
    write_model(f, "folder", "4", "12");
    expect_refused(f->model, STATUS_BAD_DATA, "not a file");
}

static void test_locations_that_leave_the_folder(void **state)
{
    const struct folder *f = *state;
    char *outside = below(f, "outside", "w"), *inside = below(f, "inside", "w"), *link = below(f, "inside", "link");
    char *model = below(f, "inside", "model.onnx");
    const struct folder g = {.model = model};
    write_data(outside);
    write_model(&g, "../outside/w", "4", "12");
    expect_refused(model, STATUS_BAD_DATA, "leaves the model's folder");
    write_model(&g, "a/../../outside/w", "4", "12");
    expect_refused(model, STATUS_BAD_DATA, "leaves the model's folder");
    write_model(&g, outside, "4", "12");
    expect_refused(model, STATUS_BAD_DATA, "leaves the model's folder");
    assert_int_equal(symlink(outside, link), 0);
    write_model(&g, "link", "4", "12");
    expect_refused(model, STATUS_BAD_DATA, "a link that leaves the model's folder");
    write_data(inside);
    write_model(&g, "w", "4", "12");
    expect_weights(model);
    free(outside);
    free(inside);
    free(link);
    free(model);
}

/* A model hub's cache has both files as links into one folder of blobs. */
static void test_both_files_are_links(void **state)
{
    const struct folder *f = *state;
    char *blob_model = below(f, "blobs", "0a1b"), *blob_data = below(f, "blobs", "2c3d");
    char *model = below(f, "snapshot", "model.onnx"), *data = below(f, "snapshot", "model.onnx.data");
    write_model(&(struct folder){.model = blob_model}, "model.onnx.data", "4", "12");
    write_data(blob_data);
    assert_int_equal(symlink(blob_model, model), 0);
    assert_int_equal(symlink(blob_data, data), 0);
    expect_weights(model);
    free(blob_model);
    free(blob_data);
    free(model);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_weights_beside_the_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_digest_of_both_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_and_short_data, setup, teardown),
        cmocka_unit_test_setup_teardown(test_locations_that_leave_the_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_both_files_are_links, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
