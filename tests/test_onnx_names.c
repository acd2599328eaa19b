/* A student's way home: which constants are parameters, their names in the module that was exported, and batch norms
 * that the exporter has folded away. */
#include "formats/export/safetensors.h"
#include "formats/onnx/onnx_read.h"
#include "tests/helper_exports.h"
#include "tests/helper_failing_calls.h"
#include "tests/helper_onnx_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CHANNELS = 8, HEIGHT = 6, WIDTH = 4 };

static void put_named_node(struct proto *graph, const char *op, const char *name, const char *const *inputs,
                           const char *output)
{
    struct proto node = {0};
    for (int i = 0; inputs[i]; i++)
        proto_text(&node, NODE_INPUT, inputs[i]);
    proto_text(&node, NODE_OUTPUT, output);
    proto_text(&node, NODE_NAME, name);
    proto_text(&node, NODE_OP_TYPE, op);
    proto_message(graph, GRAPH_NODE, &node);
}

/* The TorchScript exporter has folded a batch norm, transposed a matrix, and joined two parameters of equal values. */
static void test_names_of_folded_weights(void **state)
{
    (void)state;
    static const char *const right[] = {"features.1.conv.0.weight", "features.1.conv.0.bias", "head.weight",
                                        "head.bias"};
    struct proto graph = {0}, file = {0};
    struct graph result;
    struct error err = {0};
    const float numbers[CHANNELS * CHANNELS] = {1, 2, 3};
    model_put_value(&graph, GRAPH_INPUT, "x", ONNX_FLOAT, (const int64_t[]){-1, CHANNELS, HEIGHT, WIDTH}, 4);
    model_put_value(&graph, GRAPH_OUTPUT, "y", ONNX_FLOAT, NULL, 0);
    model_put_tensor(&graph, "onnx::Conv_12", ONNX_FLOAT, (const int64_t[]){CHANNELS, CHANNELS, 1, 1}, 4, numbers,
                     sizeof numbers);
    model_put_tensor(&graph, "head.bias", ONNX_FLOAT, (const int64_t[]){CHANNELS}, 1, numbers,
                     CHANNELS * sizeof *numbers);
    model_put_tensor(&graph, "onnx::MatMul_14", ONNX_FLOAT, (const int64_t[]){CHANNELS, CHANNELS}, 2, numbers,
                     sizeof numbers);
    put_named_node(&graph, "Identity", "Identity_0", (const char *const[]){"head.bias", NULL}, "onnx::Conv_13");
    put_named_node(&graph, "Conv", "/features/features.1/conv/conv.0/Conv",
                   (const char *const[]){"x", "onnx::Conv_12", "onnx::Conv_13", NULL}, "a");
    put_named_node(&graph, "GlobalAveragePool", "/pool/GlobalAveragePool", (const char *const[]){"a", NULL}, "b");
    put_named_node(&graph, "Flatten", "/Flatten", (const char *const[]){"b", NULL}, "c");
    put_named_node(&graph, "MatMul", "/head/MatMul", (const char *const[]){"c", "onnx::MatMul_14", NULL}, "d");
    put_named_node(&graph, "Add", "/head/Add", (const char *const[]){"head.bias", "d", NULL}, "y");
    model_make(&file, &graph, 17);
    if (onnx_read(&result, file.bytes, file.size, "model.onnx", NULL, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        if (graph_find_weight(&result, right[i]) < 0)
            fail_msg("no weight '%s'", right[i]);
    assert_int_equal(result.weight_count, 4);
    assert_int_equal(result.folded_norms, 1);
    const float *head = result.weights[graph_find_weight(&result, "head.weight")].data; /* [out, in] */
    assert_float_equal(head[CHANNELS], 2, 0);
    graph_release(&result);
    proto_release(&file);
}

/* ---- fused batch norms ---- */

/* What the dynamo exporter says about a fused convolution. NULL: it does not say it. */
struct fused {
    const char *rule, *scopes, *classes, *call;
    const char *weight, *bias; /* names of initialisers; a bias of NULL: none */
};
static const struct fused whole = {
    .rule = "RemoveOptionalBiasFromConv, FuseBatchNormIntoConv",
    .scopes = "['', 'a', 'a.norm', '_native_batch_norm_legit']",
    .classes = "['M', 'Block', 'torch.nn.modules.batchnorm.BatchNorm2d', 'aten._native_batch_norm_legit.default']",
    .call = "%_native_batch_norm_legit : call_function[target=x](args = (%conv2d, %p_w, %p_b, %b_m, %b_v, True, 0.05, "
            "0.001), kwargs = {})",
    .weight = "a.conv.weight",
    .bias = "a.conv.weight_bias",
};

static void put_metadata(struct proto *to, int field, const char *key, const char *value)
{
    struct proto entry = {0};
    if (!value)
        return;
    proto_text(&entry, ENTRY_KEY, key);
    proto_text(&entry, ENTRY_VALUE, value);
    proto_message(to, field, &entry);
}

static void put_ends(struct proto *graph)
{
    model_put_value(graph, GRAPH_INPUT, "x", ONNX_FLOAT, (const int64_t[]){-1, CHANNELS, HEIGHT, WIDTH}, 4);
    model_put_value(graph, GRAPH_OUTPUT, "y", ONNX_FLOAT, NULL, 0);
}

static void put_floats(struct proto *graph, const char *name, const int64_t *dims, int rank)
{
    float values[CHANNELS * CHANNELS];
    size_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= (size_t)dims[i];
    assert_true(count <= sizeof values / sizeof *values);
    export_fill(values, count);
    model_put_tensor(graph, name, ONNX_FLOAT, dims, rank, values, count * sizeof *values);
}

/* Reads and releases a file. */
static void read_file(struct proto *file, bool student, struct graph *result)
{
    struct error err = {0};
    if (onnx_read(result, file->bytes, file->size, "model.onnx", &(struct onnx_read_options){.student = student},
                  &err) != STATUS_OK)
        fail_msg("%s", err.message);
    proto_release(file);
}

static void finish(struct proto *graph, bool student, struct graph *result)
{
    struct proto file = {0};
    model_make(&file, graph, 20);
    read_file(&file, student, result);
}

static void make_fused(const struct fused *fused, bool shared, struct proto *file)
{
    struct proto graph = {0}, node = {0};
    put_ends(&graph);
    put_floats(&graph, fused->weight, (const int64_t[]){CHANNELS, CHANNELS, 1, 1}, 4);
    proto_text(&node, NODE_INPUT, "x");
    proto_text(&node, NODE_INPUT, fused->weight);
    if (fused->bias) {
        put_floats(&graph, fused->bias, (const int64_t[]){CHANNELS}, 1);
        proto_text(&node, NODE_INPUT, fused->bias);
    }
    proto_text(&node, NODE_OUTPUT, "getitem");
    proto_text(&node, NODE_OP_TYPE, "Conv");
    put_metadata(&node, NODE_METADATA, "pkg.torch.onnx.name_scopes", fused->scopes);
    put_metadata(&node, NODE_METADATA, "pkg.onnxscript.rewriter.rule_name", fused->rule);
    put_metadata(&node, NODE_METADATA, "pkg.torch.onnx.class_hierarchy", fused->classes);
    put_metadata(&node, NODE_METADATA, "pkg.torch.onnx.fx_node", fused->call);
    proto_message(&graph, GRAPH_NODE, &node);
    if (shared) {
        const char *const inputs[] = {"getitem", fused->weight, NULL};
        put_named_node(&graph, "Conv", "other", inputs, "z");
    }
    put_named_node(&graph, "Relu", "relu", (const char *const[]){shared ? "z" : "getitem", NULL}, "y");
    model_make(file, &graph, 20);
}

static void read_fused(const struct fused *fused, bool student, bool shared, struct graph *result)
{
    struct proto file = {0};
    make_fused(fused, shared, &file);
    read_file(&file, student, result);
}

static const struct weight *weight_of(const struct graph *graph, const char *name)
{
    const int i = graph_find_weight(graph, name);
    if (i < 0)
        fail_msg("no weight '%s'", name);
    return &graph->weights[i];
}

static void test_fused_norms_are_norms_again(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) { /* a fused bias, none, and one that the convolution had */
        struct fused fused = whole;
        struct graph plain, student;
        fused.bias = k == 0 ? whole.bias : k == 1 ? NULL : "a.conv.bias";
        read_fused(&fused, false, false, &plain);
        read_fused(&fused, true, false, &student);
        assert_int_equal(plain.folded_norms, 1);
        assert_int_equal(plain.restored_norms, 0);
        assert_int_equal(student.folded_norms, 0);
        assert_int_equal(student.restored_norms, 1);
        assert_int_equal(student.weight_count, k == 2 ? 6 : 5);
        const struct node *norm = &student.nodes[graph_find(&student, "getitem")];
        assert_int_equal(norm->op, OP_BATCH_NORM);
        assert_float_equal(norm->momentum, 0.05, 1e-7);
        assert_float_equal(norm->epsilon, 0.001, 1e-7);
        assert_true(weight_of(&student, "a.norm.weight")->trained);
        assert_true(weight_of(&student, "a.norm.bias")->trained);
        assert_false(weight_of(&student, "a.norm.running_mean")->trained);
        assert_float_equal(weight_of(&student, "a.norm.running_var")->data[3], 0.999, 1e-6);
        assert_true(weight_of(&student, "a.conv.weight")->trained);
        if (k == 2)
            assert_float_equal(weight_of(&student, "a.conv.bias")->data[1], 0, 0);
        float *a = export_forward(&plain, plain.output, 2), *b = export_forward(&student, student.output, 2);
        assert_true(export_relative_error(b, a, 2 * export_elements(&plain, plain.output)) < 1e-6);
        free(a);
        free(b);
        graph_release(&plain);
        graph_release(&student);
    }
}

/* What is not certain stays folded, and is counted. */
static void test_fused_norms_in_doubt(void **state)
{
    (void)state;
    struct fused cases[9];
    for (size_t i = 0; i < 9; i++)
        cases[i] = whole;
    cases[0].scopes = "['', 'a', 'a.norm', 'relu']";
    cases[1].classes = "['M', 'Block', 'aten._native_batch_norm_legit.default']"; /* a function of the block */
    cases[2].call = "%batch_norm : x(args = (%conv2d, None, None, %m, %v, True, 0.05, 0.001), kwargs = {})";
    cases[3].call = "%batch_norm : x(args = (%conv2d, %w, %b, %m, %v, True, momentum, 0.001), kwargs = {})";
    cases[4].call = NULL;
    cases[5].bias = "of.another.bias";
    cases[6].weight = "val_7";
    cases[7].weight = "a.norm.weight";
    cases[8].rule = "SomethingElse";
    for (size_t i = 0; i < 10; i++) {
        struct graph graph;
        read_fused(i < 9 ? &cases[i] : &whole, true, i == 9, &graph);
        if (graph.restored_norms != 0 || graph.folded_norms != 1)
            fail_msg("case %zu: %d restored, %d folded", i, graph.restored_norms, graph.folded_norms);
        graph_release(&graph);
    }
}

/* The length of an entry is a byte before it: 34 and 39 look like quotes. */
static void test_lengths_that_are_quotes(void **state)
{
    (void)state;
    for (int length = 30; length <= 60; length++) {
        struct proto graph = {0}, node = {0};
        struct graph result;
        char scopes[96], path[64];
        snprintf(path, sizeof path, "block.%.*s", length - 26, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
        snprintf(scopes, sizeof scopes, "['', '%s', 'conv2d']", path);
        put_ends(&graph);
        put_floats(&graph, "val_1", (const int64_t[]){CHANNELS, CHANNELS, 1, 1}, 4);
        proto_text(&node, NODE_INPUT, "x");
        proto_text(&node, NODE_INPUT, "val_1");
        proto_text(&node, NODE_OUTPUT, "y");
        proto_text(&node, NODE_OP_TYPE, "Conv");
        put_metadata(&node, NODE_METADATA, "pkg.torch.onnx.name_scopes", scopes);
        proto_message(&graph, GRAPH_NODE, &node);
        finish(&graph, false, &result);
        assert_int_equal(result.weight_count, 1);
        if (strncmp(result.weights[0].name, path, strlen(path)) != 0 ||
            strcmp(result.weights[0].name + strlen(path), ".weight") != 0)
            fail_msg("%zu bytes: '%s'", strlen(scopes), result.weights[0].name);
        graph_release(&result);
    }
}

/* ---- parameters, buffers, literals ---- */
static const char listed[] =
    "\n# inputs\np_gamma: PARAMETER target='gamma'\nb_m: BUFFER target='mean' persistent=True\n"
    "b_f: BUFFER target='filter' persistent=False\ninput: USER_INPUT\n";

/* y = x + mean, through a convolution with `filter`, times gamma, times three. */
static void read_kinds(bool list, const char *prefix, struct graph *result)
{
    struct proto graph = {0};
    char name[3][32];
    static const char *const leaves[3] = {"mean", "filter", "gamma"};
    for (int i = 0; i < 3; i++)
        snprintf(name[i], sizeof name[i], "%s%s", prefix, leaves[i]);
    put_ends(&graph);
    put_floats(&graph, name[0], (const int64_t[]){1, CHANNELS, 1, 1}, 4);
    put_floats(&graph, name[1], (const int64_t[]){CHANNELS, 1, 1, 1}, 4);
    put_floats(&graph, name[2], (const int64_t[]){CHANNELS, 1, 1}, 3);
    put_floats(&graph, "val_3", (const int64_t[]){1}, 1);
    put_named_node(&graph, "Add", "add", (const char *const[]){"x", name[0], NULL}, "a");
    put_named_node(&graph, "Relu", "relu", (const char *const[]){"a", NULL}, "b");
    put_named_node(&graph, "Mul", "mul", (const char *const[]){"b", name[2], NULL}, "c");
    put_named_node(&graph, "Mul", "mul3", (const char *const[]){"c", "val_3", NULL}, "y");
    if (list)
        put_metadata(&graph, GRAPH_METADATA, "pkg.torch.export.ExportedProgram.graph_signature", listed);
    finish(&graph, true, result);
}

static void test_kinds_of_constants(void **state)
{
    (void)state;
    for (int list = 0; list < 2; list++) {
        struct graph graph, again;
        struct error err = {0};
        uint8_t *bytes;
        size_t size;
        char gamma[32], mean[32];
        snprintf(gamma, sizeof gamma, list ? "gamma" : "m.gamma");
        snprintf(mean, sizeof mean, list ? "mean" : "m.mean");
        read_kinds(list, list ? "" : "m.", &graph);
        read_kinds(list, list ? "" : "m.", &again);
        int literals = 0;
        for (int i = 0; i < graph.weight_count; i++)
            literals += graph.weights[i].literal;
        assert_true(literals >= 2); /* the factor, and the mean as the graph has it */
        assert_true(weight_of(&graph, gamma)->trained);
        assert_int_equal(weight_of(&graph, gamma)->saved_rank, 3);
        assert_false(weight_of(&graph, mean)->trained);
        assert_false(weight_of(&graph, mean)->literal);
        assert_int_equal(weight_of(&graph, mean)->rank, 4);
        assert_int_equal(safetensors_write_weights(&graph, &bytes, &size, &err), STATUS_OK);
        struct safetensors file;
        assert_int_equal(safetensors_open(&file, bytes, size, "w", &err), STATUS_OK);
        assert_int_equal(file.count, 2);
        assert_non_null(safetensors_find(&file, gamma));
        assert_non_null(safetensors_find(&file, mean));
        safetensors_close(&file);
        assert_int_equal(safetensors_read_weights(&again, bytes, size, "w", &err), STATUS_OK);
        free(bytes);
        graph_release(&graph);
        graph_release(&again);
    }
}

static void put_mul(struct proto *graph, const char *weight, const char *scope, const char *call, const char *from,
                    const char *to)
{
    struct proto node = {0};
    char scopes[64], fx[128];
    snprintf(scopes, sizeof scopes, "['', '%s', 'mul']", scope);
    snprintf(fx, sizeof fx, "%%mul : call_function[target=x](args = (%%%s, %%y), kwargs = {})", call);
    proto_text(&node, NODE_INPUT, from);
    proto_text(&node, NODE_INPUT, weight);
    proto_text(&node, NODE_OUTPUT, to);
    proto_text(&node, NODE_OP_TYPE, "Mul");
    put_metadata(&node, NODE_METADATA, "pkg.torch.onnx.name_scopes", scopes);
    put_metadata(&node, NODE_METADATA, "pkg.torch.onnx.fx_node", fx);
    proto_message(graph, GRAPH_NODE, &node);
}

/* The exporter joins parameters that have equal numbers, and writes parameters that are one under one name, too. Only
 * the operators' calls tell. */
static void make_equal_parameters(bool same, struct proto *file)
{
    static const char list[] = "\np_1: PARAMETER target='a.gamma'\np_12: PARAMETER target='b.gamma'\n"
                               "p_3: PARAMETER target='c.weight'\np_4: PARAMETER target='d.weight'\n";
    struct proto graph = {0};
    const char *const first = same ? "c.weight" : "a.gamma";
    put_ends(&graph);
    put_floats(&graph, first, (const int64_t[]){CHANNELS, 1, 1}, 3);
    put_named_node(&graph, "Relu", "relu", (const char *const[]){"x", NULL}, "r");
    put_mul(&graph, first, same ? "c" : "a", same ? "p_3" : "p_1", "r", "s");
    put_named_node(&graph, "Relu", "relu2", (const char *const[]){"s", NULL}, "t");
    put_mul(&graph, first, same ? "d" : "b", same ? "p_3" : "p_12", "t", "y");
    put_metadata(&graph, GRAPH_METADATA, "pkg.torch.export.ExportedProgram.graph_signature", list);
    model_make(file, &graph, 20);
}

static void test_equal_and_same_parameters(void **state)
{
    (void)state;
    for (int same = 0; same < 2; same++) {
        struct proto file = {0};
        struct graph result;
        const char *const first = same ? "c.weight" : "a.gamma";
        make_equal_parameters(same, &file);
        read_file(&file, true, &result);
        assert_int_equal(result.weight_count, 2);
        const struct weight *other = weight_of(&result, same ? "d.weight" : "b.gamma");
        assert_true(weight_of(&result, first)->trained);
        assert_int_equal(other->trained, !same);
        assert_int_equal(other->copy_of != NULL, same);
        assert_int_equal(result.nodes[2].weight == result.nodes[4].weight, same);
        graph_release(&result);
    }
}

/* PyTorch's softplus in pieces; with a low threshold it is another function. */
static void test_softplus_in_pieces(void **state)
{
    (void)state;
    for (int low = 0; low < 2; low++) {
        struct proto graph = {0}, file = {0};
        struct graph result;
        struct error err = {0};
        const float threshold = low ? 2 : 20;
        put_ends(&graph);
        model_put_tensor(&graph, "k", ONNX_FLOAT, NULL, 0, &threshold, sizeof threshold);
        put_named_node(&graph, "Softplus", "a", (const char *const[]){"x", NULL}, "soft");
        put_named_node(&graph, "Greater", "b", (const char *const[]){"x", "k", NULL}, "far");
        put_named_node(&graph, "Where", "c", (const char *const[]){"far", "x", "soft", NULL}, "y");
        model_make(&file, &graph, 20);
        const enum status status = onnx_read(&result, file.bytes, file.size, "model.onnx", NULL, &err);
        assert_int_equal(status, low ? STATUS_CONFIG : STATUS_OK);
        if (low)
            assert_non_null(strstr(err.message, "threshold of 2"));
        else
            assert_int_equal(result.nodes[result.output].activation, ACTIVATION_SOFTPLUS);
        graph_release(&result);
        proto_release(&file);
    }
}

/* A convolution whose weight is a buffer must not train it. */
static void test_buffers_are_not_trained(void **state)
{
    (void)state;
    for (int list = 0; list < 2; list++) {
        struct proto graph = {0};
        struct graph result;
        put_ends(&graph);
        put_floats(&graph, "filter", (const int64_t[]){CHANNELS, CHANNELS, 1, 1}, 4);
        put_named_node(&graph, "Conv", "conv", (const char *const[]){"x", "filter", NULL}, "y");
        if (list)
            put_metadata(&graph, GRAPH_METADATA, "pkg.torch.export.ExportedProgram.graph_signature", listed);
        finish(&graph, true, &result);
        assert_int_equal(weight_of(&result, "filter")->trained, !list);
        assert_int_equal(weight_of(&result, "filter")->literal, list);
        graph_release(&result);
    }
}

static void test_one_trained_number_is_refused(void **state)
{
    (void)state;
    for (int student = 0; student < 2; student++) {
        struct proto graph = {0}, file = {0};
        struct graph result;
        struct error err = {0};
        put_ends(&graph);
        put_floats(&graph, "block.alpha", (const int64_t[]){1}, 1);
        put_named_node(&graph, "Relu", "relu", (const char *const[]){"x", NULL}, "a");
        put_named_node(&graph, "Mul", "mul", (const char *const[]){"a", "block.alpha", NULL}, "y");
        model_make(&file, &graph, 20);
        const enum status status = onnx_read(&result, file.bytes, file.size, "model.onnx",
                                             &(struct onnx_read_options){.student = student}, &err);
        assert_int_equal(status, student ? STATUS_CONFIG : STATUS_OK);
        if (student)
            assert_non_null(strstr(err.message, "'block.alpha' is one trained number"));
        graph_release(&result);
        proto_release(&file);
    }
}

/* ---- metadata that is wrong ---- */

/* Reads a model once with each of `others` in the place of each byte of its metadata. None of it is needed: it must be
 * read, and compute the same. */
static void bend_bytes(struct proto *file, const struct proto_field *entry, const float *right, int *restored)
{
    static const char others[] = "'\",):x\n\xff";
    const struct onnx_read_options options = {.student = true};
    for (uint8_t *byte = file->bytes + (entry->bytes - file->bytes), *end = byte + entry->size; byte < end; byte++)
        for (size_t k = 0; k < sizeof others; k++) { /* the last one is 0 */
            struct graph graph;
            struct error err = {0};
            const uint8_t own = *byte;
            *byte = (uint8_t)others[k];
            if (onnx_read(&graph, file->bytes, file->size, "bent", &options, &err) == STATUS_OK) {
                float *found = export_forward(&graph, graph.output, 1);
                if (!(export_relative_error(found, right, export_elements(&graph, graph.output)) < 1e-6))
                    fail_msg("byte %zu as '%c' changes the values", (size_t)(byte - file->bytes), others[k]);
                *restored += graph.restored_norms;
                free(found);
            } else if (!strstr(err.message, "protobuf")) {
                fail_msg("byte %zu as '%c': %s", (size_t)(byte - file->bytes), others[k], err.message);
            }
            graph_release(&graph);
            *byte = own;
        }
}

static void bend_metadata(struct proto *file, int *restored)
{
    struct proto_field model, graph, node;
    struct graph whole_graph;
    assert_int_equal(
        onnx_read(&whole_graph, file->bytes, file->size, "whole", &(struct onnx_read_options){.student = true}, NULL),
        STATUS_OK);
    float *right = export_forward(&whole_graph, whole_graph.output, 1);
    for (size_t a = 0; proto_next(file->bytes, file->size, &a, &model);)
        for (size_t b = 0; model.number == MODEL_GRAPH && proto_next(model.bytes, model.size, &b, &graph);) {
            if (graph.number == GRAPH_METADATA)
                bend_bytes(file, &graph, right, restored);
            for (size_t c = 0; graph.number == GRAPH_NODE && proto_next(graph.bytes, graph.size, &c, &node);)
                if (node.number == NODE_METADATA)
                    bend_bytes(file, &node, right, restored);
        }
    free(right);
    graph_release(&whole_graph);
}

static void test_bent_metadata(void **state)
{
    (void)state;
    struct proto file = {0};
    int restored = 0;
    for (int k = 0; k < 2; k++) {
        struct fused fused = whole;
        fused.bias = k == 0 ? whole.bias : "a.conv.bias";
        make_fused(&fused, false, &file);
        bend_metadata(&file, &restored);
        proto_release(&file);
    }
    assert_true(restored > 100);
    for (int same = 0; same < 2; same++) {
        make_equal_parameters(same, &file);
        bend_metadata(&file, &restored);
        proto_release(&file);
    }
}

/* Names that are longer than a graph's names, and lists that end early. */
static void test_long_metadata(void **state)
{
    (void)state;
    static char path[4 * NODE_MAX_NAME], scopes[5 * NODE_MAX_NAME], call[5 * NODE_MAX_NAME];
    memset(path, 'n', sizeof path - 1);
    for (int length = NODE_MAX_NAME - 16; length < NODE_MAX_NAME + 4; length++) {
        struct fused fused = whole;
        struct graph graph;
        snprintf(scopes, sizeof scopes, "['', '%.*s', '_native_batch_norm_legit']", length, path);
        fused.scopes = scopes;
        read_fused(&fused, true, false, &graph);
        assert_int_equal(graph.restored_norms, length < NODE_MAX_NAME);
        graph_release(&graph);
        fused = whole;
        snprintf(call, sizeof call,
                 "%%batch_norm : %.*s(args = (%%c, %%w, %%b, %%m, %%v, True, 0.05, 0.001), kwargs = {})", length, path);
        fused.call = call;
        read_fused(&fused, true, false, &graph);
        assert_int_equal(graph.restored_norms, 1);
        graph_release(&graph);
        snprintf(scopes, sizeof scopes, "%.*s.weight", length - 7, path);
        fused.weight = scopes;
        fused.bias = NULL;
        read_fused(&fused, true, false, &graph);
        graph_release(&graph);
    }
    static const char *const calls[] = {"",
                                        "%batch_norm(args = (",
                                        "%batch_norm(args = (%c), kwargs",
                                        "%batch_norm(args = (1, 2), kwargs",
                                        "%batch_norm(args = (%c, %w, %b, %m, %v, True, 0.05, ), kwargs",
                                        "%batch_norm(args = (%c, 0.05, 1e-3x), kwargs",
                                        "%batch_norm(args = (%c, 0.05, -1), kwargs",
                                        "%batch_norm(args = (%c, 0.05, 1), kwargs",
                                        "%batch_norm(args = (%c, -1, 0.001), kwargs",
                                        "%batch_norm(args = (%c, 1.5, 0.001), kwargs",
                                        "%batch_norm(args = (%c, nan, 0.001), kwargs",
                                        "%batch_norm(args = (%c, 0.1, nan), kwargs",
                                        "%other(args = (%c, %w, %b, %m, %v, True, 0.05, 0.001), kwargs = {})"};
    static const char *const lists[] = {"", "[", "['", "['a']", "['', '', 'batch_norm']", "['a', \"batch_norm']"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls + sizeof lists / sizeof *lists; i++) {
        struct fused fused = whole;
        struct graph graph;
        if (i < sizeof calls / sizeof *calls)
            fused.call = calls[i];
        else
            fused.scopes = lists[i - sizeof calls / sizeof *calls];
        read_fused(&fused, true, false, &graph);
        assert_int_equal(graph.restored_norms, 0);
        assert_int_equal(graph.folded_norms, 1);
        graph_release(&graph);
    }
}

/* ---- memory ---- */

static enum status read_student(const void *what, uint64_t *sum, struct error *err)
{
    const struct proto *file = what;
    struct graph graph;
    const enum status status =
        onnx_read(&graph, file->bytes, file->size, "model", &(struct onnx_read_options){.student = true}, err);
    for (int i = 0; i < graph.weight_count; i++)
        attempt_add(sum, graph.weights[i].name, strlen(graph.weights[i].name));
    graph_release(&graph);
    return status;
}

static void test_memory_ends(void **state)
{
    (void)state;
    struct proto file = {0};
    for (int k = 0; k < 5; k++) {
        struct fused fused = whole;
        fused.bias = k == 0 ? whole.bias : k == 1 ? NULL : "a.conv.bias";
        if (k < 3)
            make_fused(&fused, false, &file);
        else
            make_equal_parameters(k == 3, &file);
        attempt_new_ways(read_student, &file, "a student");
        proto_release(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_folded_weights),
        cmocka_unit_test(test_fused_norms_are_norms_again),
        cmocka_unit_test(test_fused_norms_in_doubt),
        cmocka_unit_test(test_lengths_that_are_quotes),
        cmocka_unit_test(test_kinds_of_constants),
        cmocka_unit_test(test_buffers_are_not_trained),
        cmocka_unit_test(test_one_trained_number_is_refused),
        cmocka_unit_test(test_bent_metadata),
        cmocka_unit_test(test_long_metadata),
        cmocka_unit_test(test_memory_ends),
        cmocka_unit_test(test_equal_and_same_parameters),
        cmocka_unit_test(test_softplus_in_pieces),
    };
    return cmocka_run_group_tests_name("onnx_names", tests, NULL, NULL);
}
