/* Broken and hostile ONNX: every one is refused with a message that names the place, within bounds of time and memory.
 */
#include "formats/onnx/onnx_read.h"
#include "formats/onnx/onnx_write.h"
#include "tests/helper_exports.h"
#include "tests/helper_onnx_cases.h"
#include "tests/helper_onnx_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- models in code ---- */
/* A tensor [dims] with `bytes` bytes of raw data: floats of 0.5 or, for integers, `number` in every element. */
static void put_filled(struct proto *graph, const char *name, int type, const int64_t *dims, int rank, size_t bytes,
                       int64_t number)
{
    uint8_t *raw = calloc(bytes + 8, 1);
    const float half = 0.5f;
    assert_non_null(raw);
    for (size_t i = 0; i + (type == ONNX_FLOAT ? 4 : 8) <= bytes; i += type == ONNX_FLOAT ? 4 : 8)
        memcpy(raw + i, type == ONNX_FLOAT ? (const void *)&half : (const void *)&number, type == ONNX_FLOAT ? 4 : 8);
    model_put_tensor(graph, name, type, dims, rank, raw, bytes);
    free(raw);
}

static void put_input(struct proto *graph)
{
    model_put_value(graph, GRAPH_INPUT, "x", ONNX_FLOAT, (const int64_t[]){-1, 3, 8, 8}, 4);
}

static void put_output(struct proto *graph, const char *name)
{
    model_put_value(graph, GRAPH_OUTPUT, name, ONNX_FLOAT, NULL, 0);
}

/* Makes a model of the graph (released) and reads it: expects the status, and the text in the message. */
static void expect(struct proto *graph, int opset, enum status expected, const char *text)
{
    struct proto model = {0};
    struct graph result;
    struct error err = {0};
    model_make(&model, graph, opset);
    enum status status = onnx_read(&result, model.bytes, model.size, "hostile.onnx", NULL, &err);
    if (status != expected || !strstr(err.message, text))
        fail_msg("status %d, message '%s'; expected %d and '%s'", status, err.message, expected, text);
    if (status != STATUS_OK)
        assert_string_equal(err.path, "hostile.onnx");
    assert_true(status == STATUS_OK || result.node_count == 0);
    graph_release(&result);
    proto_release(&model);
}

/* ---- files ---- */
static void test_no_model(void **state)
{
    (void)state;
    struct graph graph;
    struct error err = {0};
    const uint8_t noise[] = "this is not protobuf";
    assert_int_equal(onnx_read(&graph, noise, 0, "empty.onnx", NULL, &err), STATUS_BAD_DATA);
    assert_non_null(strstr(err.message, "no graph"));
    err = (struct error){0};
    assert_int_equal(onnx_read(&graph, noise, sizeof noise, "noise.onnx", NULL, &err), STATUS_BAD_DATA);
    assert_non_null(strstr(err.message, "protobuf"));
    err = (struct error){0};
    assert_int_equal(onnx_read_file(&graph, "/nowhere/model.onnx", NULL, &err), STATUS_NO_INPUT);
}

/* A graph in an attribute of a node in a graph in ...: unpacking recurses, and the stack is finite. */
static void test_deep_nesting(void **state)
{
    (void)state;
    struct proto graph = {0};
    for (int depth = 0; depth < 5000; depth++) {
        struct proto attribute = {0}, node = {0}, outer = {0};
        proto_message(&attribute, ATTRIBUTE_GRAPH, &graph);
        proto_message(&node, NODE_ATTRIBUTE, &attribute);
        proto_message(&outer, GRAPH_NODE, &node);
        graph = outer;
    }
    expect(&graph, 13, STATUS_BAD_DATA, "nest deeper");
}

/* Two bytes in the file, some 150 in memory. */
static void test_many_empty_messages(void **state)
{
    (void)state;
    static const int fields[] = {GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT};
    for (int i = 0; i < 3; i++) {
        struct proto graph = {0};
        model_put_node(&graph, "Relu", "x", "y");
        for (int k = 0; k < 1000000; k++) {
            struct proto empty = {0};
            proto_message(&graph, fields[i], &empty);
        }
        expect(&graph, 13, STATUS_BAD_DATA, "");
    }
}

static void test_opsets(void **state)
{
    (void)state;
    static const int refused[] = {0, 5, 26, 1000};
    for (int i = 0; i < 4; i++) {
        struct proto graph = {0};
        put_input(&graph);
        model_put_node(&graph, "Relu", "x", "y");
        put_output(&graph, "y");
        expect(&graph, refused[i], STATUS_CONFIG, "operator set");
    }
}

/* ---- operators and names ---- */
static void test_unknown_operator(void **state)
{
    (void)state;
    struct proto graph = {0};
    put_input(&graph);
    model_put_node(&graph, "Einsum", "x", "mixed");
    model_put_node(&graph, "Relu", "mixed", "y");
    put_output(&graph, "y");
    expect(
        &graph, 13, STATUS_CONFIG,
        "operator 'Einsum' (node 'the_node', output 'mixed') is not supported; supported are: Abs, Add, AveragePool, ");
}

static void test_unneeded_operator_is_not_read(void **state)
{
    (void)state;
    struct proto graph = {0};
    put_input(&graph);
    model_put_node(&graph, "Relu", "x", "logits");
    model_put_node(&graph, "ArgMax", "logits", "label");
    put_output(&graph, "label");
    put_output(&graph, "logits");
    expect(&graph, 13, STATUS_OK, "");
}

static void test_order_and_cycles(void **state)
{
    (void)state;
    struct proto graph = {0};
    put_input(&graph);
    model_put_node(&graph, "Relu", "later", "y");
    model_put_node(&graph, "Relu", "x", "later");
    put_output(&graph, "y");
    expect(&graph, 13, STATUS_OK, ""); /* files need not list nodes in order */
    put_input(&graph);
    model_put_node(&graph, "Add", "x b", "a");
    model_put_node(&graph, "Relu", "a", "b");
    put_output(&graph, "b");
    expect(&graph, 13, STATUS_BAD_DATA, "'a' depends on itself");
    put_input(&graph);
    model_put_node(&graph, "Add", "x nothing", "y");
    put_output(&graph, "y");
    expect(&graph, 13, STATUS_BAD_DATA, "reads 'nothing'");
    put_input(&graph);
    model_put_node(&graph, "Relu", "x", "y");
    model_put_node(&graph, "Relu", "x", "y");
    put_output(&graph, "y");
    expect(&graph, 13, STATUS_BAD_DATA, "'y' is computed twice");
    put_input(&graph);
    model_put_node(&graph, "Relu", "x", "y");
    put_output(&graph, "z");
    expect(&graph, 13, STATUS_BAD_DATA, "no node computes the output 'z'");
    put_input(&graph);
    model_put_node(&graph, "Relu", "", "y");
    put_output(&graph, "y");
    expect(&graph, 13, STATUS_BAD_DATA, "does not depend on an input");
}

static void test_inputs(void **state)
{
    (void)state;
    struct proto graph = {0};
    model_put_value(&graph, GRAPH_INPUT, "x", ONNX_FLOAT, (const int64_t[]){1, 3, -1, -1}, 4);
    model_put_node(&graph, "Relu", "x", "y");
    put_output(&graph, "y");
    expect(&graph, 13, STATUS_CONFIG, "has dynamic height and width");
    model_put_value(&graph, GRAPH_INPUT, "x", ONNX_UINT8, (const int64_t[]){1, 3, 8, 8}, 4);
    model_put_node(&graph, "Relu", "x", "y");
    put_output(&graph, "y");
    expect(&graph, 13, STATUS_CONFIG, "must be floats");
    model_put_value(&graph, GRAPH_INPUT, "x", ONNX_FLOAT, (const int64_t[]){1, 3, 1 << 20, 1 << 20}, 4);
    model_put_node(&graph, "Relu", "x", "y");
    put_output(&graph, "y");
    expect(&graph, 13, STATUS_BAD_DATA, "out of range");
    put_input(&graph);
    model_put_value(&graph, GRAPH_INPUT, "mask", ONNX_FLOAT, (const int64_t[]){1, 3, 8, 8}, 4);
    model_put_node(&graph, "Add", "x mask", "y");
    put_output(&graph, "y");
    expect(&graph, 13, STATUS_CONFIG, "more than one input: 'x' and 'mask'");
    model_put_value(&graph, GRAPH_INPUT, "x", ONNX_FLOAT, (const int64_t[]){1, 16000, 1}, 3);
    model_put_node(&graph, "Relu", "x", "y");
    put_output(&graph, "y");
    expect(&graph, 13, STATUS_CONFIG, "[batch, channels, height, width]");
}

/* ---- weights ---- */
static void put_conv(struct proto *graph)
{
    put_input(graph);
    model_put_node(graph, "Conv", "x w", "y");
    put_output(graph, "y");
}

static void test_weights(void **state)
{
    (void)state;
    struct proto graph = {0}, tensor = {0};
    put_conv(&graph);
    put_filled(&graph, "w", ONNX_FLOAT, (const int64_t[]){4, 3, 3, 3}, 4, 4 * 27 * 4, 0);
    expect(&graph, 13, STATUS_OK, "");
    put_conv(&graph);
    put_filled(&graph, "w", ONNX_FLOAT, (const int64_t[]){4, 3, 3, 3}, 4, 4 * 27 * 4 - 4, 0);
    expect(&graph, 13, STATUS_BAD_DATA, "tensor 'w' must have 432 bytes of data, but has 428");
    put_conv(&graph);
    put_filled(&graph, "w", ONNX_FLOAT, (const int64_t[]){4, 2, 3, 3}, 4, 4 * 18 * 4, 0);
    expect(&graph, 13, STATUS_CONFIG, "does not fit 3 input channels");
    put_conv(&graph);
    put_filled(&graph, "w", ONNX_FLOAT, (const int64_t[]){4, 3, 3}, 3, 4 * 9 * 4, 0);
    expect(&graph, 13, STATUS_CONFIG, "has 3 dimensions, expected 4");
    put_conv(&graph);
    put_filled(&graph, "w", ONNX_FLOAT, (const int64_t[]){-4, 3, 3, 3}, 4, 4 * 27 * 4, 0);
    expect(&graph, 13, STATUS_BAD_DATA, "negative dimension");
    put_conv(&graph);
    put_filled(&graph, "w", ONNX_FLOAT, (const int64_t[]){(int64_t)1 << 62, 4, 1, 1}, 4, 0, 0);
    expect(&graph, 13, STATUS_BAD_DATA, "tensor 'w' must have");
    put_conv(&graph);
    put_filled(&graph, "w", ONNX_FLOAT, (const int64_t[]){0, 3, 1, 1}, 4, 0, 0);
    expect(&graph, 13, STATUS_CONFIG, "dimension out of range");
    put_conv(&graph);
    proto_text(&tensor, TENSOR_NAME, "w");
    proto_int(&tensor, TENSOR_DATA_TYPE, ONNX_FLOAT);
    proto_int(&tensor, TENSOR_DATA_LOCATION, 1);
    proto_message(&graph, GRAPH_INITIALIZER, &tensor);
    expect(&graph, 13, STATUS_CONFIG, "has its data in another file");
    put_input(&graph);
    model_put_node(&graph, "Conv", "x x", "y");
    put_output(&graph, "y");
    expect(&graph, 13, STATUS_CONFIG, "must be a constant");
}

/* 1, -2.5 and 1.5 in every type that weights come in, raw and (half floats) in int32_data: [1, 3, 1, 1]. */
static void test_element_types(void **state)
{
    (void)state;
    static const uint8_t singles[] = {0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0, 0, 0, 0xc0, 0x3f};
    static const uint8_t halves[] = {0, 0x3c, 0, 0xc1, 0, 0x3e}, brains[] = {0x80, 0x3f, 0x20, 0xc0, 0xc0, 0x3f};
    static const uint8_t doubles[] = {0, 0, 0, 0,    0, 0, 0xf0, 0x3f, 0, 0, 0,    0,
                                      0, 0, 4, 0xc0, 0, 0, 0,    0,    0, 0, 0xf8, 0x3f};
    static const uint8_t packed[] = {0x80, 0x78, 0x80, 0x82, 3, 0x80, 0x7c}; /* the halves as varints */
    static const struct {
        int type, field;
        const uint8_t *bytes;
        size_t size;
    } cases[] = {
        {ONNX_FLOAT, TENSOR_RAW_DATA, singles, sizeof singles},
        {ONNX_FLOAT, TENSOR_FLOAT_DATA, singles, sizeof singles},
        {ONNX_FLOAT16, TENSOR_RAW_DATA, halves, sizeof halves},
        {ONNX_FLOAT16, TENSOR_INT32_DATA, packed, sizeof packed},
        {ONNX_BFLOAT16, TENSOR_RAW_DATA, brains, sizeof brains},
        {ONNX_DOUBLE, TENSOR_RAW_DATA, doubles, sizeof doubles},
        {ONNX_DOUBLE, TENSOR_DOUBLE_DATA, doubles, sizeof doubles},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct proto graph = {0}, tensor = {0}, model = {0};
        struct graph result;
        struct error err = {0};
        put_conv(&graph);
        for (int k = 0; k < 4; k++)
            proto_int(&tensor, TENSOR_DIMS, k == 1 ? 3 : 1);
        proto_int(&tensor, TENSOR_DATA_TYPE, cases[i].type);
        proto_text(&tensor, TENSOR_NAME, "w");
        proto_bytes(&tensor, cases[i].field, cases[i].bytes, cases[i].size);
        proto_message(&graph, GRAPH_INITIALIZER, &tensor);
        model_make(&model, &graph, 13);
        if (onnx_read(&result, model.bytes, model.size, "types.onnx", NULL, &err) != STATUS_OK)
            fail_msg("case %zu: %s", i, err.message);
        const float *found = result.weights[0].data;
        assert_true(found[0] == 1 && found[1] == -2.5f && found[2] == 1.5f);
        graph_release(&result);
        proto_release(&model);
    }
}

/* The same of integers, raw and in int32_data or int64_data: y = x * w. */
static void test_integer_types(void **state)
{
    (void)state;
    enum { INT8 = 3, INT32 = 6, BOOL = 9, INT64_DATA = 7 };
    static const struct {
        int type, bytes;
        int64_t numbers[3];
    } cases[] = {{ONNX_UINT8, 1, {1, 200, 3}},
                 {INT8, 1, {1, -2, 127}},
                 {INT32, 4, {1, -2, 70000}},
                 {ONNX_INT64, 8, {1, -2, 70000}},
                 {BOOL, 1, {1, 0, 1}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int raw = 0; raw < 2; raw++) {
            struct proto graph = {0}, tensor = {0}, model = {0};
            struct graph result;
            struct error err = {0};
            uint8_t bytes[24];
            put_input(&graph);
            proto_int(&tensor, TENSOR_DIMS, 3);
            proto_int(&tensor, TENSOR_DIMS, 1);
            proto_int(&tensor, TENSOR_DIMS, 1);
            proto_int(&tensor, TENSOR_DATA_TYPE, cases[i].type);
            proto_text(&tensor, TENSOR_NAME, "w");
            for (int k = 0; k < 3; k++) {
                memcpy(bytes + k * cases[i].bytes, &cases[i].numbers[k], (size_t)cases[i].bytes);
                if (!raw)
                    proto_int(&tensor, cases[i].bytes == 8 ? INT64_DATA : TENSOR_INT32_DATA, cases[i].numbers[k]);
            }
            if (raw)
                proto_bytes(&tensor, TENSOR_RAW_DATA, bytes, (size_t)(3 * cases[i].bytes));
            proto_message(&graph, GRAPH_INITIALIZER, &tensor);
            model_put_node(&graph, "Mul", "x w", "y");
            put_output(&graph, "y");
            model_make(&model, &graph, 13);
            if (onnx_read(&result, model.bytes, model.size, "types.onnx", NULL, &err) != STATUS_OK)
                fail_msg("case %zu, raw %d: %s", i, raw, err.message);
            for (int k = 0; k < 3; k++)
                assert_float_equal(result.weights[0].data[k], (float)cases[i].numbers[k], 0);
            graph_release(&result);
            proto_release(&model);
        }
}

static void test_weights_are_finite(void **state)
{
    (void)state;
    struct graph graph, again;
    struct error err = {0};
    uint8_t *bytes;
    size_t size;
    export_graph_make(&graph, 0);
    graph.weights[3].data[2] = NAN;
    assert_int_equal(onnx_write(&graph, &bytes, &size, &err), STATUS_OK);
    assert_int_equal(onnx_read(&again, bytes, size, "nan.onnx", NULL, &err), STATUS_BAD_DATA);
    assert_non_null(strstr(err.message, graph.weights[3].name));
    assert_non_null(strstr(err.message, "not finite at element 2"));
    free(bytes);
    graph_release(&graph);
}

/* ---- constants ---- */

/* 8 bytes of shape ask for 8 TiB; a row of Concats doubles what it gets. */
static void test_constants_are_bounded(void **state)
{
    (void)state;
    struct proto graph = {0};
    char inputs[64], output[32];
    put_input(&graph);
    put_filled(&graph, "huge", ONNX_INT64, (const int64_t[]){1}, 1, 8, (int64_t)1 << 40);
    model_put_node(&graph, "ConstantOfShape", "huge", "zeros");
    model_put_node(&graph, "Add", "x zeros", "y");
    put_output(&graph, "y");
    expect(&graph, 13, STATUS_BAD_DATA, "too much for a file of this size");
    put_input(&graph);
    put_filled(&graph, "c0", ONNX_INT64, (const int64_t[]){1}, 1, 8, 1);
    for (int i = 0; i < 60; i++) {
        snprintf(inputs, sizeof inputs, "c%d c%d", i, i);
        snprintf(output, sizeof output, "c%d", i + 1);
        model_put_node(&graph, "Concat", inputs, output);
    }
    model_put_node(&graph, "Reshape", "x c60", "y");
    put_output(&graph, "y");
    expect(&graph, 13, STATUS_BAD_DATA, "too much for a file of this size");
}

/* One value repeated to INT_MAX channels, which only a list of as many numbers can say: as the output, for a
 * constant that changes behind them, padded and sliced. */
static void test_repeats_are_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *op, *inputs; /* of the node behind the Expand, or NULL */
        int width;
    } cases[] = {{NULL, NULL, 1}, {"Mul", "wide row", 2}, {"Pad", "wide pads", 1}, {"Slice", "wide one two one", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct proto graph = {0};
        const char *const wide = cases[i].op ? "wide" : "y";
        const int64_t shape[4] = {1, INT32_MAX, 1, cases[i].width}, pads[8] = {0, 0, 1, 1, 0, 0, 1, 1};
        const int64_t one[1] = {1}, two[1] = {2};
        const float pair[2] = {1, 2};
        model_put_value(&graph, GRAPH_INPUT, "x", ONNX_FLOAT, (const int64_t[]){-1, 1, 1, 1}, 4);
        model_put_tensor(&graph, "shape", ONNX_INT64, (const int64_t[]){4}, 1, shape, sizeof shape);
        model_put_tensor(&graph, "row", ONNX_FLOAT, (const int64_t[]){1, 1, 1, 2}, 4, pair, sizeof pair);
        model_put_tensor(&graph, "pads", ONNX_INT64, (const int64_t[]){8}, 1, pads, sizeof pads);
        model_put_tensor(&graph, "one", ONNX_INT64, (const int64_t[]){1}, 1, one, sizeof one);
        model_put_tensor(&graph, "two", ONNX_INT64, (const int64_t[]){1}, 1, two, sizeof two);
        model_put_node(&graph, "Relu", "x", "r");
        model_put_node(&graph, "Expand", "r shape", wide);
        if (cases[i].op)
            model_put_node(&graph, cases[i].op, cases[i].inputs, "y");
        put_output(&graph, "y");
        expect(&graph, 13, STATUS_BAD_DATA, "too much for a file of this size");
    }
}

/* What does not fit into a type is named; a float is an integer below 1e15, and true unless it is 0. */
static void test_casts_out_of_range(void **state)
{
    (void)state;
    static const struct {
        const char *line, *text;
    } cases[] = {
        {"c Cast v1,inf to=7", "inf is out of the range of INT64"},
        {"c Cast v1,nan to=3", "nan is out of the range of INT8"},
        {"c Cast v-1e15 to=6", "-1e+15 is out of the range of INT32"},
        {"c Cast i1,-7 to=13", "-7 is out of the range of UINT64"},
        {"c Cast v-2.5 to=13", "-2 is out of the range of UINT64"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct proto model = {0};
        struct graph graph;
        struct error err = {0};
        onnx_case_model(&model, NULL, cases[i].line, 0, 13);
        const enum status status = onnx_read(&graph, model.bytes, model.size, "cast.onnx", NULL, &err);
        if (status != STATUS_CONFIG || !strstr(err.message, cases[i].text))
            fail_msg("'%s': status %d, '%s'; expected '%s'", cases[i].line, status, err.message, cases[i].text);
        proto_release(&model);
    }
}

static void test_arithmetic_overflow(void **state)
{
    (void)state;
    struct proto graph = {0};
    put_input(&graph);
    put_filled(&graph, "a", ONNX_INT64, (const int64_t[]){2}, 1, 16, INT64_MAX);
    model_put_node(&graph, "Mul", "a a", "product");
    model_put_node(&graph, "Reshape", "x product", "y");
    put_output(&graph, "y");
    expect(&graph, 13, STATUS_CONFIG, "overflow");
    put_input(&graph);
    put_filled(&graph, "a", ONNX_INT64, (const int64_t[]){2}, 1, 16, 0);
    model_put_node(&graph, "Div", "a a", "ratio");
    model_put_node(&graph, "Reshape", "x ratio", "y");
    put_output(&graph, "y");
    expect(&graph, 13, STATUS_CONFIG, "cannot be combined");
}

/* Operators whose first input is missing or constant although another one is a value. */
static void test_missing_first_input(void **state)
{
    (void)state;
    static const char *const ops[] = {"ReduceMean", "Erf", "Neg", "Relu", "Softmax", "Split", "Resize", "Pad"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        for (int constant = 0; constant < 2; constant++) {
            struct proto graph = {0}, node = {0};
            put_input(&graph);
            put_filled(&graph, "w", ONNX_FLOAT, (const int64_t[]){3, 1, 1}, 3, 12, 0);
            proto_text(&node, NODE_INPUT, constant ? "w" : "");
            proto_text(&node, NODE_INPUT, "x");
            proto_text(&node, NODE_OUTPUT, "y");
            proto_text(&node, NODE_OP_TYPE, ops[i]);
            proto_message(&graph, GRAPH_NODE, &node);
            put_output(&graph, "y");
            expect(&graph, 17, STATUS_CONFIG, "computed value");
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_model),
        cmocka_unit_test(test_deep_nesting),
        cmocka_unit_test(test_many_empty_messages),
        cmocka_unit_test(test_opsets),
        cmocka_unit_test(test_unknown_operator),
        cmocka_unit_test(test_unneeded_operator_is_not_read),
        cmocka_unit_test(test_order_and_cycles),
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_element_types),
        cmocka_unit_test(test_integer_types),
        cmocka_unit_test(test_weights_are_finite),
        cmocka_unit_test(test_constants_are_bounded),
        cmocka_unit_test(test_repeats_are_bounded),
        cmocka_unit_test(test_missing_first_input),
        cmocka_unit_test(test_casts_out_of_range),
        cmocka_unit_test(test_arithmetic_overflow),
    };
    return cmocka_run_group_tests_name("onnx_hostile", tests, NULL, NULL);
}
