/* ONNX models in which one field of protobuf is changed, at any depth: it is left out, twice there, empty, another
 * number or text, or stands where none was. The readers make something of it, or say what is wrong. */
#include "formats/onnx/onnx_file.h"
#include "formats/onnx/onnx_outline.h"
#include "formats/onnx/onnx_read.h"
#include "tests/helper_images.h"
#include "tests/helper_onnx_cases.h"
#include "tests/helper_onnx_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- changes ---- */

enum message { MODEL, GRAPH, NODE, ATTRIBUTE, TENSOR, VALUE, TYPE, TENSOR_TYPE, SHAPE, DIM, OPSET, ENTRY, LEAF };

/* What a field of a message is. */
static enum message below(enum message message, int field)
{
    static const struct {
        enum message message;
        int field;
        enum message below;
    } fields[] = {{MODEL, MODEL_GRAPH, GRAPH},
                  {MODEL, MODEL_OPSET, OPSET},
                  {GRAPH, GRAPH_NODE, NODE},
                  {GRAPH, GRAPH_INITIALIZER, TENSOR},
                  {GRAPH, GRAPH_INPUT, VALUE},
                  {GRAPH, GRAPH_OUTPUT, VALUE},
                  {NODE, NODE_ATTRIBUTE, ATTRIBUTE},
                  {ATTRIBUTE, 5, TENSOR},
                  {VALUE, VALUE_TYPE, TYPE},
                  {TYPE, TYPE_TENSOR, TENSOR_TYPE},
                  {TENSOR_TYPE, TENSOR_TYPE_SHAPE, SHAPE},
                  {SHAPE, SHAPE_DIM, DIM},
                  {TENSOR, TENSOR_EXTERNAL_DATA, ENTRY}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].message == message && fields[i].field == field)
            return fields[i].below;
    return LEAF;
}

static const int64_t numbers[] = {0, 1, 2, 3, 6, 7, 9, 10, -1, (int64_t)1 << 31, INT64_MAX, INT64_MIN};
static const char *const texts[] = {
    "", "x", "..", "../x", "a/../../x", "/x", "5", "12x", "-1", "99999999999999999999", "ai.onnx", "Shape"};
static const char *const inserted[] = {"x", "", "ai.onnx"};
enum { INSERTED_TEXTS = sizeof inserted / sizeof *inserted };
enum { NUMBERS = sizeof numbers / sizeof *numbers, TEXTS = sizeof texts / sizeof *texts, INSERTED = 16 };
enum {
    LEAVE_OUT,
    TWICE,
    MANY,
    AS_NUMBER,
    AS_TEXT = AS_NUMBER + NUMBERS,
    INSERT_NUMBER = AS_TEXT + TEXTS,        /* a field before it */
    INSERT_TEXT = INSERT_NUMBER + INSERTED, /* each of the inserted texts */
    CHANGES = INSERT_TEXT + INSERTED_TEXTS * INSERTED
};

struct change {
    int field, how; /* how: LEAVE_OUT ... */
    int at;         /* fields so far */
};

static void put_raw(struct proto *out, const uint8_t *bytes, size_t size)
{
    out->bytes = realloc(out->bytes, out->size + size + 1);
    assert_non_null(out->bytes);
    memcpy(out->bytes + out->size, bytes, size);
    out->size += size;
    out->capacity = out->size + 1;
}

static void put_changed(struct proto *out, const uint8_t *raw, size_t size, const struct proto_field *field, int how)
{
    const int copies = how == LEAVE_OUT ? 0 : how == TWICE ? 2 : how == MANY ? 70 : how >= INSERT_NUMBER ? 1 : 0;
    if (how >= INSERT_TEXT)
        proto_text(out, (how - INSERT_TEXT) % INSERTED + 1, inserted[(how - INSERT_TEXT) / INSERTED]);
    else if (how >= INSERT_NUMBER)
        proto_int(out, how - INSERT_NUMBER + 1, 1);
    else if (how >= AS_TEXT)
        proto_text(out, field->number, texts[how - AS_TEXT]);
    else if (how >= AS_NUMBER)
        proto_int(out, field->number, numbers[how - AS_NUMBER]);
    for (int i = 0; i < copies; i++)
        put_raw(out, raw, size);
}

/* Copies a message with the change. */
static void change_message(struct proto *out, enum message message, const uint8_t *bytes, size_t size,
                           struct change *change)
{
    struct proto_field field;
    for (size_t at = 0, begin = 0; proto_next(bytes, size, &at, &field); begin = at) {
        const enum message inner = field.bytes ? below(message, field.number) : LEAF;
        if (change->at++ == change->field) {
            put_changed(out, bytes + begin, at - begin, &field, change->how);
        } else if (inner == LEAF) {
            put_raw(out, bytes + begin, at - begin);
        } else {
            struct proto part = {0};
            change_message(&part, inner, field.bytes, field.size, change);
            proto_message(out, field.number, &part);
        }
    }
}

/* ---- reading ---- */

static int read_well, refused;

static void check(enum status status, const struct error *err, const char *reader, const struct change *change)
{
    const bool right =
        status == STATUS_OK || ((status == STATUS_BAD_DATA || status == STATUS_CONFIG || status == STATUS_NO_INPUT) &&
                                strlen(err->message) > 5);
    if (!right)
        fail_msg("%s: change %d of field %d: status %d, '%s'", reader, change->how, change->field, (int)status,
                 err->message);
    *(status == STATUS_OK ? &read_well : &refused) += 1;
}

static void read_outline(const struct proto *model, const struct change *change)
{
    struct onnx_outline outline = {0}, again = {0};
    struct error err = {0};
    uint8_t *more;
    size_t size;
    const enum status status = onnx_outline_read(&outline, model->bytes, model->size, "changed", &err);
    check(status, &err, "outline", change);
    if (status == STATUS_OK && outline.tensor_count > 0) {
        const char *const name = outline.tensors[0].name, *const names[] = {name, outline.output, name};
        assert_int_equal(onnx_with_outputs(&outline, model->bytes, model->size, names, 3, &more, &size, &err),
                         STATUS_OK);
        assert_int_equal(onnx_outline_read(&again, more, size, "with outputs", &err), STATUS_OK);
        const bool own = strcmp(name, outline.outputs[0]) == 0;
        if (again.output_count < outline.output_count || (outline.output_count == 1 && !own && again.output_count != 2))
            fail_msg("%d outputs of %d and '%s'", again.output_count, outline.output_count, name);
        free(more);
    }
    onnx_outline_release(&outline);
    onnx_outline_release(&again);
}

static void read_model(const struct proto *model, const char *path, const struct change *change)
{
    struct graph graph;
    struct error err = {0};
    const struct onnx_read_options options = {.height = 8, .width = 8, .student = change->how % 2};
    if (path)
        check(onnx_read_file(&graph, path, &options, &err), &err, "file", change);
    else
        check(onnx_read(&graph, model->bytes, model->size, "changed", &options, &err), &err, "model", change);
    graph_release(&graph);
}

/* Every change of every field of a model; with a folder, of a file in it. */
static void change_all(const struct proto *model, const char *folder)
{
    struct change change = {.field = -1};
    struct proto same = {0};
    char path[512];
    change_message(&same, MODEL, model->bytes, model->size, &change);
    assert_int_equal(same.size, model->size);
    assert_memory_equal(same.bytes, model->bytes, model->size);
    proto_release(&same);
    const int count = change.at;
    for (change.field = 0; change.field < count; change.field++)
        for (change.how = 0; change.how < CHANGES; change.how++) {
            struct proto changed = {0};
            change.at = 0;
            change_message(&changed, MODEL, model->bytes, model->size, &change);
            if (folder) {
                write_file(folder, "model.onnx", changed.bytes, changed.size);
                snprintf(path, sizeof path, "%s/model.onnx", folder);
            }
            read_model(&changed, folder ? path : NULL, &change);
            read_outline(&changed, &change);
            proto_release(&changed);
        }
}

static void test_models(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "x Conv x f4x3x1x1 f4 strides=2,2 | BatchNormalization p f4 f4 f4 f4 epsilon~0.1 | Relu p",
        "x GlobalAveragePool x | Flatten p axis=1 | Gemm p f2x3 f2 transB=1",
        "x Shape x | Gather p n0 axis=0 | Unsqueeze p i0 | Concat p i-1 axis=0 | Reshape x p",
        "x Constant value@f3x1x1 | Mul x p | Split/2 p i1,2 axis=1 | Concat p second axis=1",
        "x Slice x i0 i3 i1 _ | Clip p v0 v6 | Pad p i0,0,1,0,0,0,1,0 mode:edge",
        "x Resize x _ v1,1,2,2 mode:linear | ReduceMean p axes=2,3 keepdims=0 | Softmax p axis=1",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct proto model = {0};
        onnx_case_model(&model, NULL, lines[i], 0, i == 1 ? 13 : 11);
        change_all(&model, NULL);
        proto_release(&model);
    }
    print_message("%d times read, %d times refused\n", read_well, refused);
    assert_true(read_well > 1000 && refused > 1000);
}

/* y = x * w + a constant of a node, which both lie in another file. */
static void test_weights_apart(void **state)
{
    (void)state;
    static const float weights[] = {1.5f, -2, 4, 1, 2, 3};
    struct proto graph = {0}, model = {0}, constant = {0}, attribute = {0}, node = {0};
    struct proto_field tensor;
    char *folder = memory_folder();
    write_file(folder, "data", weights, sizeof weights);
    model_put_external(&constant, "c", (const int64_t[]){3, 1, 1}, 3, "data", "12", NULL);
    assert_true(proto_next(constant.bytes, constant.size, &(size_t){0}, &tensor));
    proto_text(&attribute, ATTRIBUTE_NAME, "value");
    proto_bytes(&attribute, 5, tensor.bytes, tensor.size);
    proto_int(&attribute, 20, 4); /* its type: a tensor */
    proto_message(&node, NODE_ATTRIBUTE, &attribute);
    proto_text(&node, NODE_OUTPUT, "c");
    proto_text(&node, NODE_OP_TYPE, "Constant");
    model_put_value(&graph, GRAPH_INPUT, "x", ONNX_FLOAT, (const int64_t[]){-1, 3, 1, 1}, 4);
    model_put_value(&graph, GRAPH_OUTPUT, "y", ONNX_FLOAT, NULL, 0);
    model_put_external(&graph, "w", (const int64_t[]){3, 1, 1}, 3, "data", "0", "12");
    proto_message(&graph, GRAPH_NODE, &node);
    model_put_node(&graph, "Mul", "x w", "z");
    model_put_node(&graph, "Add", "z c", "y");
    model_make(&model, &graph, 13);
    change_all(&model, folder);
    proto_release(&constant);
    proto_release(&model);
    remove_folder(folder);
    free(folder);
}

/* What kind of model it is, as its operators and its exporter say. */
static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *ops, *producer, *kind;
    } cases[] = {{"Relu", "pytorch", ""},
                 {"Relu", NULL, ""},
                 {"Relu", "tf2onnx", "converted by tf2onnx"},
                 {"Relu", "keras 3", "converted by keras 3"},
                 {"QuantizeLinear DequantizeLinear", "", "quantised model (1 "},
                 {"MatMulInteger ConvInteger", "", "quantised model (2 "},
                 {"MultiHeadAttention", "", "transformer (1 "},
                 {"MatMul MatMul MatMul Softmax MatMul", "", "transformer (1 "},
                 {"MatMul Softmax MatMul", "", ""},
                 {"LayerNormalization LayerNormalization", "", "2 layer normalisations"},
                 {"If", "", "branches or loops"},
                 {"Loop", "tf2onnx", "branches or loops"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int form = 0; form < 4; form++) {
            static const int64_t dims[4][4] = {{-1, 3, 8, 8}, {-1, 8, 8, 1}, {-1, -1, 8, 8}, {-1, 1, 8, 8}};
            struct onnx_outline outline;
            struct error err = {0};
            struct proto graph = {0}, model = {0};
            char before[16] = "x", after[16];
            int count = 0;
            model_put_value(&graph, GRAPH_INPUT, "x", form == 3 ? ONNX_FLOAT16 : ONNX_FLOAT, dims[form], 4);
            for (const char *op = cases[i].ops; *op; op += strcspn(op, " ") + (op[strcspn(op, " ")] == ' ')) {
                char name[32];
                snprintf(name, sizeof name, "%.*s", (int)strcspn(op, " "), op);
                snprintf(after, sizeof after, "t%d", count++);
                model_put_node(&graph, name, before, after);
                strcpy(before, after);
            }
            model_put_value(&graph, GRAPH_OUTPUT, before, ONNX_FLOAT, NULL, 0);
            if (cases[i].producer)
                proto_text(&model, 2, cases[i].producer);
            model_make(&model, &graph, 13);
            if (onnx_outline_read(&outline, model.bytes, model.size, "kind", &err) != STATUS_OK)
                fail_msg("%s: %s", cases[i].ops, err.message);
            if (cases[i].kind[0] ? !strstr(outline.kind, cases[i].kind) : outline.kind[0] != 0)
                fail_msg("%s: '%s'", cases[i].ops, outline.kind);
            assert_int_equal(outline.half, form == 3);
            assert_int_equal(outline.channels_last, form == 1);
            assert_int_equal(outline.dims[1], form == 1 ? 8 : form == 3 ? 1 : 3);
            onnx_outline_release(&outline);
            proto_release(&model);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_models), cmocka_unit_test(test_weights_apart),
                                       cmocka_unit_test(test_kinds)};
    return cmocka_run_group_tests_name("onnx_fields", tests, NULL, NULL);
}
