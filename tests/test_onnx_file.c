/* What today's exporters write: weights in files beside the model, nodes in any order, long names, a batch of 1 that
 * was frozen into a Reshape, and sizes that are computed from constants. */
#define _GNU_SOURCE
#include "formats/onnx/onnx_file.h"
#include "formats/onnx/onnx_read.h"
#include "shared/base/files.h"
#include "tests/helper_protobuf.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { CHANNELS = 3 };

/* ---- models in code ---- */
static void put_value(struct proto *graph, int field, const char *name, const int64_t *dims, int rank)
{
    struct proto value = {0}, type = {0}, tensor = {0}, shape = {0};
    for (int i = 0; i < rank; i++) {
        struct proto dim = {0};
        if (dims[i] > 0)
            proto_int(&dim, DIM_VALUE, dims[i]);
        else
            proto_text(&dim, DIM_PARAM, "batch");
        proto_message(&shape, SHAPE_DIM, &dim);
    }
    proto_int(&tensor, TENSOR_TYPE_ELEMENT, ONNX_FLOAT);
    proto_message(&tensor, TENSOR_TYPE_SHAPE, &shape);
    proto_message(&type, TYPE_TENSOR, &tensor);
    proto_text(&value, VALUE_NAME, name);
    proto_message(&value, VALUE_TYPE, &type);
    proto_message(graph, field, &value);
}

static void put_ends(struct proto *graph, const char *output)
{
    put_value(graph, GRAPH_INPUT, "x", (const int64_t[]){-1, CHANNELS, 1, 1}, 4);
    put_value(graph, GRAPH_OUTPUT, output, NULL, 0);
}

static void put_tensor(struct proto *graph, const char *name, int type, const int64_t *dims, int rank, const void *data,
                       size_t bytes)
{
    struct proto tensor = {0};
    for (int i = 0; i < rank; i++)
        proto_int(&tensor, TENSOR_DIMS, dims[i]);
    proto_int(&tensor, TENSOR_DATA_TYPE, type);
    proto_text(&tensor, TENSOR_NAME, name);
    proto_bytes(&tensor, TENSOR_RAW_DATA, data, bytes);
    proto_message(graph, GRAPH_INITIALIZER, &tensor);
}

static void put_entry(struct proto *tensor, const char *key, const char *value)
{
    struct proto entry = {0};
    proto_text(&entry, ENTRY_KEY, key);
    proto_text(&entry, ENTRY_VALUE, value);
    proto_message(tensor, TENSOR_EXTERNAL_DATA, &entry);
}

/* inputs are separated by spaces */
static void put_node(struct proto *graph, const char *op, const char *inputs, const char *output)
{
    struct proto node = {0};
    while (*inputs) {
        size_t length = strcspn(inputs, " ");
        proto_bytes(&node, NODE_INPUT, inputs, length);
        inputs += length + (inputs[length] == ' ');
    }
    proto_text(&node, NODE_OUTPUT, output);
    proto_text(&node, NODE_OP_TYPE, op);
    if (strcmp(op, "Cast") == 0) {
        struct proto to = {0};
        proto_text(&to, ATTRIBUTE_NAME, "to");
        proto_int(&to, ATTRIBUTE_INT, ONNX_FLOAT);
        proto_message(&node, NODE_ATTRIBUTE, &to);
    }
    proto_message(graph, GRAPH_NODE, &node);
}

/* The graph is released. */
static void make_model(struct proto *model, struct proto *graph, int opset)
{
    struct proto set = {0};
    proto_int(&set, OPSET_VERSION, opset);
    proto_int(model, MODEL_IR_VERSION, 10);
    proto_message(model, MODEL_OPSET, &set);
    proto_message(model, MODEL_GRAPH, graph);
}

static enum status read_model(struct proto *graph, struct graph *result, struct error *err)
{
    struct proto model = {0};
    make_model(&model, graph, 25);
    enum status status = onnx_read(result, model.bytes, model.size, "model.onnx", NULL, err);
    proto_release(&model);
    return status;
}

/* ---- weights in other files ---- */
struct folder {
    char path[64], model[96], data[96];
};

static int setup(void **state)
{
    struct folder *f = calloc(1, sizeof *f);
    strcpy(f->path, "/tmp/onnx_file_XXXXXX");
    assert_non_null(mkdtemp(f->path));
    snprintf(f->model, sizeof f->model, "%s/model.onnx", f->path);
    snprintf(f->data, sizeof f->data, "%s/model.onnx.data", f->path);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct folder *f = *state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", f->path);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* y = x * w, whose w is `length` bytes of `location` from `offset` on. */
static void write_model(const struct folder *f, const char *location, const char *offset, const char *length)
{
    struct proto graph = {0}, tensor = {0}, model = {0};
    struct error err = {0};
    put_ends(&graph, "y");
    proto_int(&tensor, TENSOR_DIMS, CHANNELS);
    proto_int(&tensor, TENSOR_DIMS, 1);
    proto_int(&tensor, TENSOR_DIMS, 1);
    proto_int(&tensor, TENSOR_DATA_TYPE, ONNX_FLOAT);
    proto_text(&tensor, TENSOR_NAME, "w");
    put_entry(&tensor, "location", location);
    if (offset)
        put_entry(&tensor, "offset", offset);
    if (length)
        put_entry(&tensor, "length", length);
    proto_int(&tensor, TENSOR_DATA_LOCATION, 1);
    proto_message(&graph, GRAPH_INITIALIZER, &tensor);
    put_node(&graph, "Mul", "x w", "y");
    make_model(&model, &graph, 18);
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
    assert_int_equal(mkdir(strcat(strcpy((char[96]){0}, f->path), "/folder"), 0700), 0);
    write_model(f, "folder", "4", "12");
    expect_refused(f->model, STATUS_BAD_DATA, "not a file");
}

static void test_locations_that_leave_the_folder(void **state)
{
    const struct folder *f = *state;
    char outside[160], inside[160], link[192];
    snprintf(outside, sizeof outside, "%s/outside", f->path);
    snprintf(inside, sizeof inside, "%s/inside", f->path);
    assert_int_equal(mkdir(outside, 0700), 0);
    assert_int_equal(mkdir(inside, 0700), 0);
    struct folder g = *f;
    snprintf(g.model, sizeof g.model, "%.60s/inside/model.onnx", f->path);
    write_data(strcat(outside, "/w"));
    write_model(&g, "../outside/w", "4", "12");
    expect_refused(g.model, STATUS_BAD_DATA, "leaves the model's folder");
    write_model(&g, "a/../../outside/w", "4", "12");
    expect_refused(g.model, STATUS_BAD_DATA, "leaves the model's folder");
    write_model(&g, outside, "4", "12");
    expect_refused(g.model, STATUS_BAD_DATA, "leaves the model's folder");
    snprintf(link, sizeof link, "%s/link", inside);
    assert_int_equal(symlink(outside, link), 0);
    write_model(&g, "link", "4", "12");
    expect_refused(g.model, STATUS_BAD_DATA, "a link that leaves the model's folder");
    write_data(strcat(inside, "/w"));
    write_model(&g, "w", "4", "12");
    expect_weights(g.model);
}

/* A model hub's cache has both files as links into one folder of blobs. */
static void test_both_files_are_links(void **state)
{
    const struct folder *f = *state;
    char snapshot[160], blob_model[160], blob_data[160], model[192], data[192];
    struct folder g = *f;
    snprintf(blob_model, sizeof blob_model, "%s/blobs", f->path);
    assert_int_equal(mkdir(blob_model, 0700), 0);
    strcat(blob_model, "/0a1b");
    snprintf(blob_data, sizeof blob_data, "%s/blobs/2c3d", f->path);
    snprintf(snapshot, sizeof snapshot, "%s/snapshot", f->path);
    assert_int_equal(mkdir(snapshot, 0700), 0);
    snprintf(g.model, sizeof g.model, "%.60s/blobs/0a1b", f->path);
    write_model(&g, "model.onnx.data", "4", "12");
    write_data(blob_data);
    snprintf(model, sizeof model, "%s/model.onnx", snapshot);
    snprintf(data, sizeof data, "%s/model.onnx.data", snapshot);
    assert_int_equal(symlink(blob_model, model), 0);
    assert_int_equal(symlink(blob_data, data), 0);
    expect_weights(model);
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
        put_node(&graph, "Relu", from, to);
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
    put_tensor(&graph, "w", ONNX_FLOAT, (const int64_t[]){CHANNELS, 1, 1}, 3, weights, sizeof weights);
    put_node(&graph, "Relu", "x", first);
    put_node(&graph, "Sigmoid", "x", second);
    snprintf(inputs, sizeof inputs, "%s %s", first, second);
    put_node(&graph, "Add", inputs, "sum");
    put_node(&graph, "Mul", "sum w", "y");
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
    put_tensor(&graph, "shape", ONNX_INT64, (const int64_t[]){count}, 1, dims, (size_t)count * sizeof *dims);
    put_node(&graph, "Reshape", "x shape", "y");
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
    put_tensor(graph, name, operand->type, operand->dims, rank, is_float ? (void *)floats : (void *)ints,
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
        put_tensor(&graph, "shape", ONNX_INT64, (const int64_t[]){3}, 1, channels, sizeof channels);
        put_node(&graph, folds[i].op, inputs, "folded");
        put_node(&graph, "Cast", "folded", "cast");
        put_node(&graph, "Reshape", "cast shape", "w");
        put_node(&graph, "Mul", "x w", "y");
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
        put_node(&graph, bad[i].op, bad[i].inputs[1].type ? "a b" : "a", "folded");
        put_node(&graph, "Cast", "folded", "w");
        put_node(&graph, "Mul", "x w", "y");
        if (read_model(&graph, &result, &err) != STATUS_CONFIG || !strstr(err.message, bad[i].text))
            fail_msg("%s: '%s', expected '%s'", bad[i].op, err.message, bad[i].text);
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
    put_tensor(&graph, "one", ONNX_INT64, NULL, 0, &one, sizeof one);
    put_tensor(&graph, "minus", ONNX_INT64, NULL, 0, &minus, sizeof minus);
    put_node(&graph, "Shape", "x", "shape");
    put_node(&graph, "Equal", "shape minus", "open");
    put_node(&graph, "Where", "open one shape", "chosen");
    put_node(&graph, "Div", "chosen one", "same");
    put_node(&graph, "Mul", "same one", "again");
    put_node(&graph, "Reshape", "x again", "y");
    if (read_model(&graph, &result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    graph_release(&result);
    put_ends(&graph, "y");
    put_tensor(&graph, "two", ONNX_INT64, NULL, 0, &two, sizeof two);
    put_node(&graph, "Shape", "x", "shape");
    put_node(&graph, "Mul", "shape two", "twice");
    put_node(&graph, "Reshape", "x twice", "y");
    assert_int_equal(read_model(&graph, &result, &err), STATUS_CONFIG);
    assert_non_null(strstr(err.message, "batch size"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_weights_beside_the_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_digest_of_both_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_and_short_data, setup, teardown),
        cmocka_unit_test_setup_teardown(test_locations_that_leave_the_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_both_files_are_links, setup, teardown),
        cmocka_unit_test(test_nodes_in_any_order),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_batch_of_one_frozen_into_a_reshape),
        cmocka_unit_test(test_constants_are_folded),
        cmocka_unit_test(test_constants_that_cannot_be_folded),
        cmocka_unit_test(test_batch_size_among_constants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
