/* What exporters write for the layers of convolutional networks (tests/golden/make_onnx_patterns.py): each output of
 * one model is a pattern, read alone and compared with onnxruntime's values, before and after graph_fold. */
#include "formats/export/safetensors.h"
#include "formats/onnx/onnx_read.h"
#include "shared/base/files.h"
#include "shared/graph/graph_reference.h"
#include "tests/helper_exports.h"
#include "tests/helper_onnx_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char model[] = "tests/golden/onnx_models/patterns.onnx",
                  golden[] = "tests/golden/onnx_models/patterns.safetensors";
static const double TOLERANCE = 1e-5; /* of the largest magnitude */
enum { SAMPLES = 2, CHANNELS = 8, HEIGHT = 6, WIDTH = 4 };

static void read_pattern(struct graph *graph, const char *output)
{
    struct error err = {0};
    if (onnx_read_file(graph, model, &(struct onnx_read_options){.output = output}, &err) != STATUS_OK)
        fail_msg("%s: %s", output, err.message);
}

static void expect_values(const struct graph *graph, int node, const char *name, const float *right, size_t count)
{
    static float input[SAMPLES * CHANNELS * HEIGHT * WIDTH];
    struct error err = {0};
    float *found = malloc(count * sizeof *found);
    assert_non_null(found);
    assert_int_equal(SAMPLES * export_elements(graph, node), count);
    export_fill(input, sizeof input / sizeof *input);
    for (size_t i = 0; i < sizeof input / sizeof *input; i++)
        input[i] *= 2;
    assert_int_equal(graph_forward_reference(graph, input, SAMPLES, node, found, &err), STATUS_OK);
    const double error = export_relative_error(found, right, count);
    if (!(error <= TOLERANCE))
        fail_msg("%s: relative error %g", name, error);
    free(found);
}

static void test_values(void **state)
{
    (void)state;
    struct safetensors file;
    struct error err = {0};
    unsigned char *bytes;
    size_t size;
    assert_int_equal(file_read(golden, 1 << 20, &bytes, &size, &err), STATUS_OK);
    assert_int_equal(safetensors_open(&file, bytes, size, golden, &err), STATUS_OK);
    assert_true(file.count > 70);
    for (size_t i = 0; i < file.count; i++) {
        const struct safetensors_entry *entry = &file.entries[i];
        struct graph graph, folded;
        int result;
        float *right = malloc(entry->count * sizeof *right);
        assert_non_null(right);
        assert_int_equal(safetensors_floats(entry, golden, right, &err), STATUS_OK);
        read_pattern(&graph, entry->name);
        expect_values(&graph, graph.output, entry->name, right, entry->count);
        assert_int_equal(graph_fold(&graph, &folded, &graph.output, 1, &result, &err), STATUS_OK);
        expect_values(&folded, result, entry->name, right, entry->count);
        graph_release(&folded);
        graph_release(&graph);
        free(right);
    }
    safetensors_close(&file);
    free(bytes);
}

/* Patterns that must become one node of the graph: others would be right, but slow or not trainable. */
static void test_patterns_are_recognised(void **state)
{
    (void)state;
    static const struct {
        const char *output;
        enum op op;
        enum activation activation;
    } right[] = {
        {"gelu_0", OP_ACTIVATION, ACTIVATION_GELU},
        {"gelu_1", OP_ACTIVATION, ACTIVATION_GELU},
        {"gelu_2", OP_ACTIVATION, ACTIVATION_GELU},
        {"gelu_3", OP_ACTIVATION, ACTIVATION_GELU},
        {"gelu_tanh", OP_ACTIVATION, ACTIVATION_GELU_TANH},
        {"silu", OP_ACTIVATION, ACTIVATION_SILU},
        {"silu_1702", OP_ACTIVATION, ACTIVATION_SILU},
        {"silu_exp", OP_ACTIVATION, ACTIVATION_SILU},
        {"mish", OP_ACTIVATION, ACTIVATION_MISH},
        {"mish_log", OP_ACTIVATION, ACTIVATION_MISH},
        {"hard_swish", OP_ACTIVATION, ACTIVATION_HARD_SWISH},
        {"hard_swish_op", OP_ACTIVATION, ACTIVATION_HARD_SWISH},
        {"relu6", OP_ACTIVATION, ACTIVATION_CLIP},
        {"squared_relu", OP_MULTIPLY, ACTIVATION_NONE},
        {"not_gelu", OP_MULTIPLY, ACTIVATION_NONE},
        {"layer_norm_pieces_first", OP_LAYER_NORM, ACTIVATION_NONE},
        {"layer_norm_pieces_last", OP_LAYER_NORM, ACTIVATION_NONE},
        {"group_norm_pieces", OP_GROUP_NORM, ACTIVATION_NONE},
        {"normalize", OP_LP_NORM, ACTIVATION_NONE},
    };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        struct graph graph;
        read_pattern(&graph, right[i].output);
        const struct node *node = &graph.nodes[graph.output];
        if (node->op != right[i].op || (node->op == OP_ACTIVATION && node->activation != right[i].activation))
            fail_msg("%s became %s %s", right[i].output, op_name(node->op), activation_name(node->activation));
        graph_release(&graph);
    }
}

/* The gate of a Swish stays a value of its own, which a loss may compare. */
static void test_pieces_stay_features(void **state)
{
    (void)state;
    struct graph graph;
    bool found = false;
    read_pattern(&graph, "silu");
    for (int i = 0; i < graph.node_count; i++)
        found = found || (graph.nodes[i].op == OP_ACTIVATION && graph.nodes[i].activation == ACTIVATION_SIGMOID);
    assert_true(found);
    graph_release(&graph);
}

/* ---- what cannot be expressed ---- */
static void expect_refused(const char *op, const char *inputs, const char *then, const char *text)
{
    struct proto graph = {0}, file = {0};
    struct graph result;
    struct error err = {0};
    const int64_t axes[1] = {1}, mixed[3] = {0, CHANNELS * WIDTH, HEIGHT}, plane[3] = {0, -1, CHANNELS};
    model_put_value(&graph, GRAPH_INPUT, "x", ONNX_FLOAT, (const int64_t[]){-1, CHANNELS, HEIGHT, WIDTH}, 4);
    model_put_value(&graph, GRAPH_OUTPUT, "y", ONNX_FLOAT, NULL, 0);
    model_put_tensor(&graph, "axes", ONNX_INT64, (const int64_t[]){1}, 1, axes, sizeof axes);
    model_put_tensor(&graph, "mixed", ONNX_INT64, (const int64_t[]){3}, 1, mixed, sizeof mixed);
    model_put_tensor(&graph, "plane", ONNX_INT64, (const int64_t[]){3}, 1, plane, sizeof plane);
    model_put_node(&graph, op, inputs, "t");
    model_put_node(&graph, then, "t", "y");
    model_make(&file, &graph, 18);
    const enum status status = onnx_read(&result, file.bytes, file.size, "model.onnx", NULL, &err);
    if (status != STATUS_CONFIG || !strstr(err.message, text))
        fail_msg("%s: '%s', expected '%s'", op, err.message, text);
    proto_release(&file);
}

/* Elements of a row of all samples, at n * stride + places[] for sample n. */
static void expect_strided_refused(int64_t stride, const int64_t places[3], const char *text)
{
    struct proto graph = {0}, file = {0};
    struct graph result;
    struct error err = {0};
    const int64_t zero = 0, one = 1, row = -1;
    model_put_value(&graph, GRAPH_INPUT, "x", ONNX_FLOAT, (const int64_t[]){-1, 3, 1, 1}, 4);
    model_put_value(&graph, GRAPH_OUTPUT, "y", ONNX_FLOAT, NULL, 0);
    model_put_tensor(&graph, "zero", ONNX_INT64, NULL, 0, &zero, sizeof zero);
    model_put_tensor(&graph, "one", ONNX_INT64, NULL, 0, &one, sizeof one);
    model_put_tensor(&graph, "stride", ONNX_INT64, NULL, 0, &stride, sizeof stride);
    model_put_tensor(&graph, "axis", ONNX_INT64, (const int64_t[]){1}, 1, &one, sizeof one);
    model_put_tensor(&graph, "row", ONNX_INT64, (const int64_t[]){1}, 1, &row, sizeof row);
    model_put_tensor(&graph, "places", ONNX_INT64, (const int64_t[]){1, 3}, 2, places, 3 * sizeof *places);
    model_put_node(&graph, "Shape", "x", "shape");
    model_put_node(&graph, "Gather", "shape zero", "batch");
    model_put_node(&graph, "Range", "zero batch one", "samples");
    model_put_node(&graph, "Mul", "samples stride", "starts");
    model_put_node(&graph, "Unsqueeze", "starts axis", "column");
    model_put_node(&graph, "Add", "column places", "indices");
    model_put_node(&graph, "Reshape", "x row", "flat");
    model_put_node(&graph, "Gather", "flat indices", "y");
    model_make(&file, &graph, 18);
    const enum status status = onnx_read(&result, file.bytes, file.size, "model.onnx", NULL, &err);
    if (text && (status != STATUS_CONFIG || !strstr(err.message, text)))
        fail_msg("stride %d: '%s', expected '%s'", (int)stride, err.message, text);
    if (!text && status != STATUS_OK)
        fail_msg("stride %d: %s", (int)stride, err.message);
    if (!text)
        graph_release(&result);
    proto_release(&file);
}

static void test_places_in_a_row(void **state)
{
    (void)state;
    const char *const text = "other places than those of whole samples";
    expect_strided_refused(3, (const int64_t[]){0, 1, 2}, NULL);
    expect_strided_refused(2, (const int64_t[]){0, 1, 2}, text); /* samples would overlap */
    expect_strided_refused(3, (const int64_t[]){0, 2, 1}, text);
    expect_strided_refused(3, (const int64_t[]){3, 4, 5}, text); /* the next sample */
}

static void test_refusals(void **state)
{
    (void)state;
    expect_refused("Erf", "x", "GlobalAveragePool", "part of activations");
    expect_refused("ReduceMax", "x axes", "GlobalAveragePool", "maximum over channels");
    expect_refused("ReduceL2", "x axes", "GlobalAveragePool", "part of norms");
    expect_refused("Reshape", "x mixed", "GlobalAveragePool", "pieces"); /* 32 x 6 of 8 x 6 x 4 */
    expect_refused("Reshape", "x plane", "GlobalAveragePool", "dimensions");
    expect_refused("Transpose", "x", "Relu", "batch must stay");
    expect_refused("MatMul", "x x", "Relu", "attention");
    expect_refused("Div", "x x", "Relu", "two values");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_patterns_are_recognised),
        cmocka_unit_test(test_pieces_stay_features),
        cmocka_unit_test(test_places_in_a_row),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("onnx_patterns", tests, NULL, NULL);
}
