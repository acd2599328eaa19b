/* What exporters write around a network: nodes in any order, long names, a batch of 1 that was frozen into a Reshape,
 * and sizes that are computed from constants. */
#include "formats/onnx/onnx_read.h"
#include "tests/helper_onnx_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CHANNELS = 3 };

static void put_ends(struct proto *graph, const char *output)
{
    model_put_value(graph, GRAPH_INPUT, "x", ONNX_FLOAT, (const int64_t[]){-1, CHANNELS, 1, 1}, 4);
    model_put_value(graph, GRAPH_OUTPUT, output, ONNX_FLOAT, NULL, 0);
}

static void put_cast(struct proto *graph, const char *input, const char *output)
{
    struct proto node = {0}, to = {0};
    proto_text(&to, ATTRIBUTE_NAME, "to");
    proto_int(&to, ATTRIBUTE_INT, ONNX_FLOAT);
    proto_text(&node, NODE_INPUT, input);
    proto_text(&node, NODE_OUTPUT, output);
    proto_text(&node, NODE_OP_TYPE, "Cast");
    proto_message(&node, NODE_ATTRIBUTE, &to);
    proto_message(graph, GRAPH_NODE, &node);
}

static enum status read_model(struct proto *graph, struct graph *result, struct error *err)
{
    struct proto model = {0};
    model_make(&model, graph, 25);
    enum status status = onnx_read(result, model.bytes, model.size, "model.onnx", NULL, err);
    proto_release(&model);
    return status;
}

/* ---- order, names, batch ---- */
static void test_nodes_in_any_order(void **state)
{
    (void)state;
    enum { DEPTH = 5000 };
    struct proto graph = {0};
    struct graph result;
    struct error err = {0};
    put_ends(&graph, "t5000");
    for (int i = DEPTH; i > 0; i--) { /* the last one first, deeper than any recursion should go */
        char from[16], to[16];
        snprintf(from, sizeof from, i == 1 ? "x" : "t%d", i - 1);
        snprintf(to, sizeof to, "t%d", i);
        model_put_node(&graph, "Relu", from, to);
    }
    if (read_model(&graph, &result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(result.node_count, DEPTH + 1);
    assert_string_equal(result.nodes[1].name, "t1");
    assert_string_equal(result.nodes[result.output].name, "t5000");
    graph_release(&result);
}

static void test_long_names(void **state)
{
    (void)state;
    struct proto graph = {0};
    struct graph result;
    struct error err = {0};
    char first[600], second[600], inputs[1300];
    const float weights[CHANNELS] = {1, 2, 3};
    memset(first, 'n', sizeof first);
    strcpy(first + 500, "/the_module/Relu_output");
    strcpy(second, first);
    second[0] = 'm'; /* differ at the far end only */
    put_ends(&graph, "y");
    model_put_tensor(&graph, "w", ONNX_FLOAT, (const int64_t[]){CHANNELS, 1, 1}, 3, weights, sizeof weights);
    model_put_node(&graph, "Relu", "x", first);
    model_put_node(&graph, "Sigmoid", "x", second);
    snprintf(inputs, sizeof inputs, "%s %s", first, second);
    model_put_node(&graph, "Add", inputs, "sum");
    model_put_node(&graph, "Mul", "sum w", "y");
    if (read_model(&graph, &result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_true(strlen(result.nodes[1].name) < NODE_MAX_NAME);
    assert_non_null(strstr(result.nodes[1].name, "/the_module/Relu_output"));
    assert_string_not_equal(result.nodes[1].name, result.nodes[2].name);
    graph_release(&result);
}

static enum status reshape_to(const int64_t *dims, int count, struct error *err)
{
    struct proto graph = {0};
    struct graph result;
    put_ends(&graph, "y");
    model_put_tensor(&graph, "shape", ONNX_INT64, (const int64_t[]){count}, 1, dims, (size_t)count * sizeof *dims);
    model_put_node(&graph, "Reshape", "x shape", "y");
    const enum status status = read_model(&graph, &result, err);
    graph_release(&result);
    return status;
}

static void test_batch_of_one_frozen_into_a_reshape(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(reshape_to((const int64_t[]){1, CHANNELS}, 2, &err), STATUS_OK);
    assert_int_equal(reshape_to((const int64_t[]){1, -1}, 2, &err), STATUS_OK);
    assert_int_equal(reshape_to((const int64_t[]){1, CHANNELS, 1, 1}, 4, &err), STATUS_OK);
    assert_int_equal(reshape_to((const int64_t[]){2, CHANNELS}, 2, &err), STATUS_CONFIG);
    assert_int_equal(reshape_to((const int64_t[]){1, CHANNELS + 1}, 2, &err), STATUS_CONFIG);
}

/* ---- constants ---- */
struct operand {
    int type;        /* ONNX_FLOAT, ONNX_INT64; 0: absent */
    int64_t dims[3]; /* a zero ends them */
    double numbers[6];
};

static void put_operand(struct proto *graph, const char *name, const struct operand *operand)
{
    float floats[6];
    int64_t ints[6];
    size_t count = 1;
    int rank = 0;
    for (; rank < 3 && operand->dims[rank]; rank++)
        count *= (size_t)operand->dims[rank];
    for (size_t i = 0; i < count; i++) {
        floats[i] = (float)operand->numbers[i];
        ints[i] = (int64_t)operand->numbers[i];
    }
    const bool is_float = operand->type == ONNX_FLOAT;
    model_put_tensor(graph, name, operand->type, operand->dims, rank, is_float ? (void *)floats : (void *)ints,
                     count * (is_float ? 4 : 8));
}

#define F(...)                  \
    {                           \
        ONNX_FLOAT, __VA_ARGS__ \
    }
#define I(...)                  \
    {                           \
        ONNX_INT64, __VA_ARGS__ \
    }
#define SCALAR \
    {          \
        0      \
    }
#define VECTOR         \
    {                  \
        CHANNELS, 1, 1 \
    }

static const struct {
    const char *op;
    struct operand inputs[3];
    double right[CHANNELS];
} folds[] = {
    {"Add", {F(VECTOR, {1, 2, 3}), F(SCALAR, {0.5})}, {1.5, 2.5, 3.5}},
    {"Sub", {I(SCALAR, {7}), I(VECTOR, {1, 2, 9})}, {6, 5, -2}},
    {"Mul", {I(VECTOR, {1, -2, 3}), I(VECTOR, {4, 5, 6})}, {4, -10, 18}},
    {"Div", {I(VECTOR, {7, -7, 224}), I(SCALAR, {2})}, {3, -3, 112}},
    {"Div", {F(VECTOR, {7, -7, 224}), F(SCALAR, {2})}, {3.5, -3.5, 112}},
    {"Mod", {I(VECTOR, {7, -7, 224}), I(SCALAR, {3})}, {1, 2, 2}},
    {"Mod", {I(VECTOR, {7, -7, 6}), I(SCALAR, {-3})}, {-2, -1, 0}},
    {"Pow", {F(VECTOR, {2, 3, 4}), F(SCALAR, {2})}, {4, 9, 16}},
    {"Min", {I(VECTOR, {7, -7, 2}), I(SCALAR, {3}), I(SCALAR, {0})}, {0, -7, 0}},
    {"Max", {I(VECTOR, {7, -7, 2}), I(SCALAR, {3})}, {7, 3, 3}},
    {"Max", {F(VECTOR, {7, -7, 2}), F(SCALAR, {0})}, {7, 0, 2}},
    {"Equal", {I(VECTOR, {1, 2, 3}), I(SCALAR, {2})}, {0, 1, 0}},
    {"Less", {F(VECTOR, {1, 2, 3}), F(SCALAR, {2})}, {1, 0, 0}},
    {"LessOrEqual", {I(VECTOR, {1, 2, 3}), I(SCALAR, {2})}, {1, 1, 0}},
    {"Greater", {I(VECTOR, {1, 2, 3}), I(SCALAR, {2})}, {0, 0, 1}},
    {"GreaterOrEqual", {F(VECTOR, {1, 2, 3}), F(SCALAR, {2})}, {0, 1, 1}},
    {"And", {I(VECTOR, {1, 0, 1}), I(VECTOR, {1, 1, 0})}, {1, 0, 0}},
    {"Or", {I(VECTOR, {1, 0, 0}), I(VECTOR, {1, 1, 0})}, {1, 1, 0}},
    {"Not", {I(VECTOR, {1, 0, 1})}, {0, 1, 0}},
    {"Neg", {I(VECTOR, {1, 0, -4})}, {-1, 0, 4}},
    {"Abs", {F(VECTOR, {1, 0, -4})}, {1, 0, 4}},
    {"Sign", {F(VECTOR, {7, 0, -4})}, {1, 0, -1}},
    {"Ceil", {F(VECTOR, {1.25, -1.25, 2})}, {2, -1, 2}},
    {"Floor", {F(VECTOR, {1.25, -1.25, 2})}, {1, -2, 2}},
    {"Round", {F(VECTOR, {1.5, 2.5, -0.75})}, {2, 2, -1}},
    {"Sqrt", {F(VECTOR, {1, 4, 9})}, {1, 2, 3}},
    {"Reciprocal", {F(VECTOR, {1, 4, -2})}, {1, 0.25, -0.5}},
    {"Exp", {F(VECTOR, {0, 0, 0})}, {1, 1, 1}},
    {"Log", {F(VECTOR, {1, 1, 1})}, {0, 0, 0}},
    {"Where", {I(VECTOR, {1, 0, 1}), F(SCALAR, {5}), F(VECTOR, {6, 7, 8})}, {5, 7, 5}},
    {"Expand", {F(SCALAR, {5}), I({CHANNELS}, {CHANNELS, 1, 1})}, {5, 5, 5}},
    {"Range", {I(SCALAR, {2}), I(SCALAR, {9}), I(SCALAR, {3})}, {2, 5, 8}},
    {"Range", {F(SCALAR, {2}), F(SCALAR, {-1}), F(SCALAR, {-1})}, {2, 1, 0}},
    {"Shape", {F({3, 1, 2}, {0})}, {3, 1, 2}},
    {"Clip", {F(VECTOR, {-1, 0.5, 9}), F(SCALAR, {0}), F(SCALAR, {6})}, {0, 0.5, 6}},
    {"Clip", {I(VECTOR, {-1, 1, 9}), I(SCALAR, {0}), I(SCALAR, {6})}, {0, 1, 6}},
    {"ReduceMean", {F({3, 2}, {1, 2, 3, 4, 5, 6}), I({1}, {1})}, {1.5, 3.5, 5.5}},
    {"ReduceSum", {F({2, 3}, {1, 2, 3, 4, 5, 6}), I({1}, {0})}, {5, 7, 9}},
    {"ReduceProd", {I({3, 2}, {1, 2, 3, 4, 5, 6}), I({1}, {-1})}, {2, 12, 30}},
    {"ReduceMax", {F({3, 2}, {1, 2, 3, 4, 5, -6}), I({1}, {1})}, {2, 4, 5}},
    {"ReduceMin", {I({3, 2}, {1, 2, 3, 4, 5, -6}), I({1}, {1})}, {1, 3, -6}},
    {"ReduceL1", {F({3, 2}, {1, -2, 3, 4, 5, -6}), I({1}, {1})}, {3, 7, 11}},
    {"ReduceL2", {F({3, 2}, {3, 4, 6, 8, 5, 12}), I({1}, {1})}, {5, 10, 13}},
    {"ReduceSumSquare", {F({3, 2}, {3, 4, 6, 8, 0, 1}), I({1}, {1})}, {25, 100, 1}},
    {"Gather", {F({6}, {1, 2, 3, 4, 5, 6}), I({3}, {5, 0, -2})}, {6, 1, 5}},
    {"Gather", {F({2, 3}, {1, 2, 3, 4, 5, 6}), I(SCALAR, {1})}, {4, 5, 6}},
    {"Concat", {F({1}, {1}), F({2}, {2, 3})}, {1, 2, 3}},
};

/* y = x * reshape(cast(op(constants)), [channels, 1, 1]): the numbers become a weight. */
static void test_constants_are_folded(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c"};
    static const int64_t channels[] = {CHANNELS, 1, 1};
    for (size_t i = 0; i < sizeof folds / sizeof *folds; i++) {
        struct proto graph = {0};
        struct graph result;
        struct error err = {0};
        char inputs[8] = "";
        put_ends(&graph, "y");
        for (int k = 0; k < 3 && folds[i].inputs[k].type; k++) {
            put_operand(&graph, names[k], &folds[i].inputs[k]);
            strcat(strcat(inputs, k ? " " : ""), names[k]);
        }
        model_put_tensor(&graph, "shape", ONNX_INT64, (const int64_t[]){3}, 1, channels, sizeof channels);
        model_put_node(&graph, folds[i].op, inputs, "folded");
        put_cast(&graph, "folded", "cast");
        model_put_node(&graph, "Reshape", "cast shape", "w");
        model_put_node(&graph, "Mul", "x w", "y");
        if (read_model(&graph, &result, &err) != STATUS_OK)
            fail_msg("%s: %s", folds[i].op, err.message);
        const int w = graph_find_weight(&result, "y.scale");
        assert_true(w >= 0);
        for (int k = 0; k < CHANNELS; k++)
            if (fabs((double)result.weights[w].data[k] - folds[i].right[k]) > 1e-6)
                fail_msg("%s, row %zu: element %d is %g instead of %g", folds[i].op, i, k,
                         (double)result.weights[w].data[k], folds[i].right[k]);
        graph_release(&result);
    }
}

static void test_constants_that_cannot_be_folded(void **state)
{
    (void)state;
    static const struct {
        const char *op;
        struct operand inputs[2];
        const char *text;
    } bad[] = {
        {"Div", {I(VECTOR, {1, 2, 3}), I(SCALAR, {0})}, "cannot be combined"},
        {"Mod", {I(VECTOR, {1, 2, 3}), I(SCALAR, {0})}, "cannot be combined"},
        {"Add", {I(VECTOR, {1, 2, 3}), F(SCALAR, {0})}, "types"},
        {"And", {F(VECTOR, {1, 2, 3}), F(SCALAR, {0})}, "types"},
        {"Add", {I({CHANNELS}, {1, 2, 3}), I({2}, {1, 2})}, "do not fit"},
        {"Ceil", {I(VECTOR, {1, 2, 3})}, "type"},
        {"Add", {I(VECTOR, {1, 2, 3})}, "two inputs"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct proto graph = {0};
        struct graph result;
        struct error err = {0};
        put_ends(&graph, "y");
        put_operand(&graph, "a", &bad[i].inputs[0]);
        if (bad[i].inputs[1].type)
            put_operand(&graph, "b", &bad[i].inputs[1]);
        model_put_node(&graph, bad[i].op, bad[i].inputs[1].type ? "a b" : "a", "folded");
        put_cast(&graph, "folded", "w");
        model_put_node(&graph, "Mul", "x w", "y");
        if (read_model(&graph, &result, &err) != STATUS_CONFIG || !strstr(err.message, bad[i].text))
            fail_msg("%s: '%s', expected '%s'", bad[i].op, err.message, bad[i].text);
    }
}

/* A file can say of an empty constant that it has 2^40 rows: nothing may walk through them or allocate them. */
static void test_empty_constants_are_refused(void **state)
{
    (void)state;
    static const char *const ops[] = {"Gather", "Concat", "ReduceSum", "Add", "Where"};
    static const char *const inputs[] = {"empty zero", "empty empty", "empty", "empty empty", "empty empty empty"};
    const int64_t dims[] = {(int64_t)1 << 40, 0}, zero = 0;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        struct proto graph = {0};
        struct graph result;
        struct error err = {0};
        put_ends(&graph, "y");
        model_put_tensor(&graph, "empty", ONNX_INT64, dims, 2, &zero, 0);
        model_put_tensor(&graph, "zero", ONNX_INT64, NULL, 0, &zero, sizeof zero);
        model_put_node(&graph, ops[i], inputs[i], "folded");
        put_cast(&graph, "folded", "w");
        model_put_node(&graph, "Mul", "x w", "y");
        if (read_model(&graph, &result, &err) != STATUS_CONFIG || !strstr(err.message, "empty"))
            fail_msg("%s: '%s'", ops[i], err.message);
    }
}

/* The batch size is not known, but shapes that hold it are used: Where(Equal(shape, -1), 1, shape) / 1. */
static void test_batch_size_among_constants(void **state)
{
    (void)state;
    struct proto graph = {0};
    struct graph result;
    struct error err = {0};
    const int64_t one = 1, minus = -1, two = 2;
    put_ends(&graph, "y");
    model_put_tensor(&graph, "one", ONNX_INT64, NULL, 0, &one, sizeof one);
    model_put_tensor(&graph, "minus", ONNX_INT64, NULL, 0, &minus, sizeof minus);
    model_put_node(&graph, "Shape", "x", "shape");
    model_put_node(&graph, "Equal", "shape minus", "open");
    model_put_node(&graph, "Where", "open one shape", "chosen");
    model_put_node(&graph, "Div", "chosen one", "same");
    model_put_node(&graph, "Mul", "same one", "again");
    model_put_node(&graph, "Reshape", "x again", "y");
    if (read_model(&graph, &result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    graph_release(&result);
    put_ends(&graph, "y");
    model_put_tensor(&graph, "two", ONNX_INT64, NULL, 0, &two, sizeof two);
    model_put_node(&graph, "Shape", "x", "shape");
    model_put_node(&graph, "Mul", "shape two", "twice");
    model_put_node(&graph, "Reshape", "x twice", "y");
    assert_int_equal(read_model(&graph, &result, &err), STATUS_CONFIG);
    assert_non_null(strstr(err.message, "batch size"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nodes_in_any_order),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_batch_of_one_frozen_into_a_reshape),
        cmocka_unit_test(test_constants_are_folded),
        cmocka_unit_test(test_constants_that_cannot_be_folded),
        cmocka_unit_test(test_empty_constants_are_refused),
        cmocka_unit_test(test_batch_size_among_constants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
