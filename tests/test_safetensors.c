/* safetensors: types, names and shapes that must fit, headers that lie. */
#include "formats/export/safetensors.h"
#include "tests/helper_exports.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A file of the given header and `data_size` bytes of data. */
static uint8_t *make_file(const char *header, const void *data, size_t data_size, size_t *size)
{
    size_t length = strlen(header);
    *size = 8 + length + data_size;
    uint8_t *bytes = calloc(*size, 1);
    assert_non_null(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)length >> 8 * i);
    memcpy(bytes + 8, header, length);
    if (data)
        memcpy(bytes + 8 + length, data, data_size);
    return bytes;
}

static void expect_refusal(const char *header, size_t data_size, const char *text)
{
    struct safetensors file;
    struct error err = {0};
    size_t size;
    uint8_t *bytes = make_file(header, NULL, data_size, &size);
    enum status status = safetensors_open(&file, bytes, size, "bad.safetensors", &err);
    if (status != STATUS_BAD_DATA || !strstr(err.message, text))
        fail_msg("%s: status %d, '%s'", header, status, err.message);
    assert_string_equal(err.path, "bad.safetensors");
    free(bytes);
}

static void test_headers_that_lie(void **state)
{
    (void)state;
    struct safetensors file;
    struct error err = {0};
    uint8_t huge[16];
    memset(huge, 0xff, sizeof huge);
    assert_int_equal(safetensors_open(&file, huge, sizeof huge, "huge", &err), STATUS_BAD_DATA);
    assert_int_equal(safetensors_open(&file, huge, 3, "short", &err), STATUS_BAD_DATA);
    expect_refusal("", 0, "JSON");
    expect_refusal("[1]", 0, "JSON");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", 8, "JSON");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, "do not fit");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "do not fit");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "do not fit");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8,
                   "data_offsets is missing or wrong");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[2.5],\"data_offsets\":[0,8]}}", 8, "shape is wrong");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[9007199254740992,4503599627370496],\"data_offsets\":[0,0]}}",
                   0, "do not fit");
    expect_refusal("{\"a\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "dtype is unknown");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, "too many");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                   "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
                   12, "overlaps");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, "leaves a gap");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 12, "do not belong to a tensor");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                   "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
                   8, "twice");
    expect_refusal("{\"a\":7}", 0, "dtype, shape or data_offsets");
}

static void test_types(void **state)
{
    (void)state;
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                                 "\"half\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]},"
                                 "\"brain\":{\"dtype\":\"BF16\",\"shape\":[1,2],\"data_offsets\":[4,8]},"
                                 "\"double\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[8,16]},"
                                 "\"count\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[16,24]}}  ";
    static const uint16_t data[12] = {0x3c00, 0xc100, 0x3f80, 0xc020, 0, 0, 0, 0x3ff8}; /* 1 -2.5; 1 -2.5; 1.5; 0 */
    struct safetensors file;
    struct error err = {0};
    float out[2];
    size_t size;
    uint8_t *bytes = make_file(header, data, sizeof data, &size);
    assert_int_equal(safetensors_open(&file, bytes, size, "types", &err), STATUS_OK);
    assert_int_equal(file.count, 4);
    assert_null(safetensors_find(&file, "__metadata__"));
    assert_int_equal(safetensors_floats(safetensors_find(&file, "half"), "types", out, &err), STATUS_OK);
    assert_true(out[0] == 1 && out[1] == -2.5f);
    assert_int_equal(safetensors_floats(safetensors_find(&file, "brain"), "types", out, &err), STATUS_OK);
    assert_true(out[0] == 1 && out[1] == -2.5f);
    assert_int_equal(safetensors_floats(safetensors_find(&file, "double"), "types", out, &err), STATUS_OK);
    assert_true(out[0] == 1.5f);
    assert_int_equal(safetensors_floats(safetensors_find(&file, "count"), "types", out, &err), STATUS_CONFIG);
    safetensors_close(&file);
    free(bytes);
}

/* The weights of graph `from` read into graph `to` are refused with the text. */
static void expect_mismatch(struct graph *from, struct graph *to, enum status expected, const char *text)
{
    struct error err = {0};
    uint8_t *bytes;
    size_t size;
    assert_int_equal(safetensors_write_weights(from, &bytes, &size, &err), STATUS_OK);
    enum status status = safetensors_read_weights(to, bytes, size, "other.safetensors", &err);
    if (status != expected || !strstr(err.message, text))
        fail_msg("status %d, '%s'; expected %d, '%s'", status, err.message, expected, text);
    free(bytes);
}

static void test_other_networks(void **state)
{
    (void)state;
    struct graph residual, other;
    int index;
    struct error err = {0};
    export_graph_make(&residual, 0);
    export_graph_make(&other, 0);
    assert_int_equal(graph_add_weight(&other, "more.weight", (const int[]){3}, 1, true, &index, &err), STATUS_OK);
    expect_mismatch(&residual, &other, STATUS_CONFIG, "1 missing (more.weight), 0 extra (), 0 of another shape ()");
    expect_mismatch(&other, &residual, STATUS_CONFIG, "0 missing (), 1 extra (more.weight)");
    other.weights[0].dims[0] = 4; /* [8, 3, 3, 3] becomes [4, 6, 3, 3] */
    other.weights[0].dims[1] = 6;
    expect_mismatch(&other, &residual, STATUS_CONFIG, "1 of another shape (conv1.weight)");
    residual.weights[1].data[3] = INFINITY;
    graph_release(&other);
    export_graph_make(&other, 0);
    expect_mismatch(&residual, &other, STATUS_BAD_DATA, "'bn1.weight' is not finite at element 3");
    graph_release(&residual);
    graph_release(&other);
}

/* x, in 8 bits: the only weight is the range. */
static void quantised_input(struct graph *graph, float low, float high)
{
    struct node input = node_default(OP_INPUT), quantise = node_default(OP_QUANTISE);
    struct error err = {0};
    graph_init(graph);
    input.shape = (struct shape){1, 1, 1};
    assert_int_equal(graph_add(graph, &input, "x", NULL, 0, NULL, &err), STATUS_OK);
    assert_int_equal(graph_add_weight(graph, "range", (const int[]){2}, 1, false, &quantise.weight, &err), STATUS_OK);
    graph->weights[quantise.weight].literal = true;
    graph->weights[quantise.weight].data[0] = low;
    graph->weights[quantise.weight].data[1] = high;
    assert_int_equal(graph_add(graph, &quantise, "x.int8", (const int[]){0}, 1, NULL, &err), STATUS_OK);
}

static void expect_ranges(const char *text, enum status expected, float low, float high)
{
    struct graph graph;
    struct error err = {0};
    char header[300];
    size_t size;
    snprintf(header, sizeof header, "{\"__metadata__\":{\"int8_ranges\":\"%s\"}}", text);
    uint8_t *bytes = make_file(header, NULL, 0, &size);
    quantised_input(&graph, 5, 6);
    const enum status status = safetensors_read_weights(&graph, bytes, size, "ranges", &err);
    const float *range = graph.weights[0].data;
    if (status != expected || (status == STATUS_OK && (range[0] != low || range[1] != high)))
        fail_msg("'%s': status %d, '%s', [%g, %g]", text, status, err.message, (double)range[0], (double)range[1]);
    graph_release(&graph);
    free(bytes);
}

/* Ranges are in the metadata, exactly; where there are none, they are not known. */
static void test_ranges(void **state)
{
    (void)state;
    const float low = -0.1f, high = 1.0f / 3;
    struct graph from, to;
    struct error err = {0};
    uint8_t *bytes;
    size_t size;
    quantised_input(&from, low, high);
    quantised_input(&to, 1, -1);
    assert_int_equal(safetensors_write_weights(&from, &bytes, &size, &err), STATUS_OK);
    assert_int_equal(safetensors_read_weights(&to, bytes, size, "file", &err), STATUS_OK);
    assert_true(to.weights[0].data[0] == low && to.weights[0].data[1] == high);
    free(bytes);
    graph_release(&from);
    graph_release(&to);
    expect_ranges("{\\\"x.int8\\\":[-1,2]}", STATUS_OK, -1, 2);
    expect_ranges("{\\\"y.int8\\\":[-1,2]}", STATUS_OK, 1, -1);
    expect_ranges("{}", STATUS_OK, 1, -1);
    static const char *const bad[] = {"[2,-1]", "[1]", "[1,2,3]", "[1,1e39]", "[-1e400,1]", "[null,1]", "7", "{}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[100];
        snprintf(text, sizeof text, "{\\\"x.int8\\\":%s}", bad[i]);
        expect_ranges(text, STATUS_BAD_DATA, 0, 0);
    }
    expect_ranges("", STATUS_BAD_DATA, 0, 0);
    expect_ranges("x", STATUS_BAD_DATA, 0, 0);
}

static void test_missing_file(void **state)
{
    (void)state;
    struct graph graph;
    struct error err = {0};
    export_graph_make(&graph, 0);
    assert_int_equal(safetensors_read_weights_file(&graph, "/nowhere/w.safetensors", &err), STATUS_NO_INPUT);
    graph_release(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers_that_lie), cmocka_unit_test(test_types),
        cmocka_unit_test(test_other_networks),   cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_missing_file),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
