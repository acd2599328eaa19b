/* ONNX's own operator tests (Debian: libonnx-testdata): every case is either read and gives the expected values, or is
 * refused with a reason. The first input is the network's; the others become initialisers. What our reader refuses is
 * tried in onnxruntime's engine too, where onnxruntime is installed, as `teacher_dump run` would. */
#include "formats/onnx/onnx_read.h"
#include "formats/onnx/onnx_tensor.h"
#include "shared/base/files.h"
#include "shared/graph/graph_reference.h"
#include "teacher_dump/foreign_model.h"
#include "teacher_dump/teacher.h"
#include "tests/helper_exports.h"
#include "tests/helper_images.h"
#include "tests/helper_protobuf.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char data_folder[] = "/usr/share/libonnx-testdata/data";
static const double TOLERANCE = 1e-5; /* of the largest magnitude */

/* Their values are those of a training step, but layers are read in inference form. */
static const char *const training_cases[] = {
    "test_batchnorm_epsilon_training_mode",
    "test_batchnorm_example_training_mode",
    "test_training_dropout",
    "test_dropout_random_old",
};

struct counts {
    int passed, refused, other;
};

/* A tensor file as bytes, and its numbers as floats if it has numbers of a float type. */
struct tensor {
    unsigned char *bytes;
    size_t size, count;
    int type;
    float *floats; /* [count] or NULL */
};

static bool read_tensor(struct tensor *tensor, const char *folder, const char *kind, int number)
{
    char path[1024];
    struct error err = {0};
    struct onnx_array header;
    *tensor = (struct tensor){0};
    snprintf(path, sizeof path, "%s/test_data_set_0/%s_%d.pb", folder, kind, number);
    if (!file_exists(path) || file_read(path, 64 << 20, &tensor->bytes, &tensor->size, &err) != STATUS_OK)
        return false;
    Onnx__TensorProto *proto = onnx__tensor_proto__unpack(NULL, tensor->size, tensor->bytes);
    if (!proto)
        return true;
    tensor->type = proto->data_type;
    if (onnx_tensor_header(proto, path, &header, &err) == STATUS_OK && header.is_float) {
        tensor->count = header.count;
        tensor->floats = calloc(header.count + 1, sizeof *tensor->floats);
        assert_non_null(tensor->floats);
        onnx_tensor_floats(proto, header.count, tensor->floats);
    }
    onnx__tensor_proto__free_unpacked(proto, NULL);
    return true;
}

static void free_tensor(struct tensor *tensor)
{
    free(tensor->bytes);
    free(tensor->floats);
}

/* The graph computes in float: results that the model rounds to a shorter type differ by half of its last bit. */
static double tolerance_of(int type)
{
    return type == ONNX_FLOAT16 ? 0x1p-11 : type == ONNX_BFLOAT16 ? 0x1p-8 : TOLERANCE;
}

/* The name of input `number` of a model's graph; empty where there is none. */
static void input_name(const unsigned char *bytes, size_t size, int number, char *name, size_t capacity)
{
    struct proto_field model, graph, value;
    name[0] = 0;
    for (size_t a = 0; proto_next(bytes, size, &a, &model);) {
        for (size_t b = 0; model.number == MODEL_GRAPH && proto_next(model.bytes, model.size, &b, &graph);) {
            if (graph.number != GRAPH_INPUT || number-- != 0)
                continue;
            for (size_t c = 0; proto_next(graph.bytes, graph.size, &c, &value);)
                if (value.number == VALUE_NAME)
                    snprintf(name, capacity, "%.*s", (int)value.size, (const char *)value.bytes);
        }
    }
}

/* Appends inputs 1, 2, ... as initialisers: messages that are concatenated are merged. */
static void add_initialisers(struct proto *model, const char *folder)
{
    struct tensor tensor;
    char name[200];
    for (int i = 1; read_tensor(&tensor, folder, "input", i); i++) {
        struct proto initialiser = {0}, graph = {0};
        input_name(model->bytes, model->size, i, name, sizeof name);
        initialiser.bytes = tensor.bytes;
        initialiser.size = initialiser.capacity = tensor.size;
        proto_text(&initialiser, TENSOR_NAME, name);
        proto_message(&graph, GRAPH_INITIALIZER, &initialiser);
        proto_message(model, MODEL_GRAPH, &graph);
        free(tensor.floats);
    }
    free_tensor(&tensor);
}

static bool is_comparable(const char *folder, const char *name)
{
    struct tensor input, output;
    for (size_t i = 0; i < sizeof training_cases / sizeof *training_cases; i++)
        if (strncmp(name, training_cases[i], strlen(training_cases[i])) == 0)
            return false;
    const bool input_is = read_tensor(&input, folder, "input", 0) && input.floats;
    bool output_is = read_tensor(&output, folder, "output", 0) && output.floats;
    for (size_t i = 0; output_is && i < output.count; i++) /* some doubles of these files are beyond float */
        output_is = isfinite(output.floats[i]);
    free_tensor(&input);
    free_tensor(&output);
    return input_is && output_is;
}

/* Runs the graph on the case's input and compares with its output. */
static void compare(const struct graph *graph, const char *folder, const char *name)
{
    struct tensor input, expected;
    struct error err = {0};
    if (!read_tensor(&input, folder, "input", 0) || !read_tensor(&expected, folder, "output", 0))
        fail_msg("%s: no input or output", name);
    size_t in = export_elements(graph, graph->input), out = export_elements(graph, graph->output);
    int n = (int)(input.count / in);
    if (input.count != (size_t)n * in || expected.count != (size_t)n * out)
        fail_msg("%s: the output has another size", name);
    float *values = malloc((expected.count + 1) * sizeof *values);
    assert_non_null(values);
    assert_int_equal(graph_forward_reference(graph, input.floats, n, graph->output, values, &err), STATUS_OK);
    double error = export_relative_error(values, expected.floats, expected.count);
    if (!(error <= tolerance_of(expected.type)))
        fail_msg("%s: relative error %g", name, error);
    free(values);
    free_tensor(&input);
    free_tensor(&expected);
}

static void run_case(const char *folder, const char *name, struct counts *counts)
{
    char path[1024];
    struct proto model = {0};
    struct graph graph;
    struct error err = {0};
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    if (!file_exists(path) || file_read(path, 64 << 20, &model.bytes, &model.size, &err) != STATUS_OK)
        return;
    model.capacity = model.size;
    add_initialisers(&model, folder);
    enum status status = onnx_read(&graph, model.bytes, model.size, path, NULL, &err);
    if (status != STATUS_OK) {
        counts->refused++;
        assert_true(status == STATUS_CONFIG || status == STATUS_BAD_DATA);
        assert_true(strlen(err.message) > 10);
    } else if (!is_comparable(folder, name)) {
        print_message("# not compared: %s\n", name);
        counts->other++;
    } else {
        compare(&graph, folder, name);
        counts->passed++;
    }
    graph_release(&graph);
    proto_release(&model);
}

/* Runs `count` samples of a teacher, whose input is in the file's order, and compares with the expected values. */
static enum status run_foreign(struct teacher *teacher, const struct tensor *input, const struct tensor *expected,
                               double *difference, struct error *err)
{
    enum status status = STATUS_OK;
    const struct shape in = teacher->input;
    const size_t size = (size_t)in.c * (size_t)in.h * (size_t)in.w;
    const int count = (int)(input->count / size);
    const bool last = teacher->members[0].model.foreign->input.channels_last;
    struct teacher_engine engine = {.device = "cpu", .threads = 1, .batch = count, .in_flight = 1};
    const struct cache_manifest manifest = {0};
    const float *outputs[TEACHER_MAX_OUTPUTS];
    float *pixels = malloc((input->count + 1) * sizeof *pixels);
    assert_non_null(pixels);
    for (size_t i = 0; i < input->count; i++) { /* [n, c, h, w] to [n, h, w, c] */
        const size_t sample = i / size, c = i % size / (size_t)(in.h * in.w), at = i % (size_t)(in.h * in.w);
        pixels[last ? i : sample * size + at * (size_t)in.c + c] = input->floats[i];
    }
    const struct engine_batch batch = {.count = count, .input = pixels};
    TRY(teacher_choose(teacher, &engine, err));
    if (engine.batch != count || input->count % size != 0 ||
        expected->count != (size_t)count * (size_t)teacher->classes)
        FAIL(error_set(err, STATUS_CONFIG, NULL, "its input or output is not one row for each sample"));
    TRY(teacher_start(teacher, &engine, &manifest, err));
    TRY(teacher_submit(teacher, 0, &batch, err));
    TRY(teacher_collect(teacher, 0, outputs, err));
    *difference = export_relative_error(outputs[0], expected->floats, expected->count);
cleanup:
    free(pixels);
    return status;
}

static void foreign_case(const char *folder, const char *name, struct counts *counts)
{
    char path[1024];
    struct proto model = {0};
    struct graph graph;
    struct error err = {0};
    struct tensor input, expected;
    struct teacher teacher = {0};
    double difference = 0;
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    if (!file_exists(path) || file_read(path, 64 << 20, &model.bytes, &model.size, &err) != STATUS_OK)
        return;
    model.capacity = model.size;
    add_initialisers(&model, folder);
    const bool native = onnx_read(&graph, model.bytes, model.size, path, NULL, NULL) == STATUS_OK;
    graph_release(&graph);
    if (!native && is_comparable(folder, name)) {
        char *place = temporary_folder(), *copy = path_join(place, "model.onnx");
        const char *file = copy;
        write_file(place, "model.onnx", model.bytes, model.size);
        assert_true(read_tensor(&input, folder, "input", 0) && read_tensor(&expected, folder, "output", 0));
        const struct teacher_request request = {
            .teachers = {&file, 1}, .kind = TEACHER_ENGINE_ONNXRUNTIME, .size = 224};
        enum status status = teacher_open(&teacher, &request, &err);
        if (status == STATUS_OK)
            status = run_foreign(&teacher, &input, &expected, &difference, &err);
        if (status != STATUS_OK) {
            counts->refused++;
            assert_true(status == STATUS_CONFIG || status == STATUS_BAD_DATA);
            assert_true(strlen(err.message) > 10);
        } else if (!(difference <= tolerance_of(expected.type))) {
            fail_msg("%s: relative error %g in onnxruntime's engine", name, difference);
        } else {
            counts->passed++;
        }
        teacher_release(&teacher);
        remove_folder(place);
        free(place);
        free(copy);
        free_tensor(&input);
        free_tensor(&expected);
    } else if (!native) {
        counts->other++;
    }
    proto_release(&model);
}

static struct counts every_case(void (*run)(const char *folder, const char *name, struct counts *counts))
{
    static const char *const groups[] = {"node", "pytorch-converted", "pytorch-operator", "simple"};
    struct counts counts = {0};
    if (!folder_exists(data_folder)) {
        print_message("# %s is absent: apt-get install libonnx-testdata\n", data_folder);
        skip();
    }
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        struct folder_entry *entries;
        struct error err = {0};
        size_t count;
        char group[256], folder[512];
        snprintf(group, sizeof group, "%s/%s", data_folder, groups[i]);
        assert_int_equal(folder_list(group, &entries, &count, &err), STATUS_OK);
        for (size_t k = 0; k < count; k++) {
            snprintf(folder, sizeof folder, "%s/%s", group, entries[k].name);
            run(folder, entries[k].name, &counts);
        }
        folder_list_free(entries, count);
    }
    return counts;
}

static void native_cases(void **state)
{
    (void)state;
    const struct counts counts = every_case(run_case);
    print_message("# %d cases give the expected values, %d are refused with a reason, %d are training steps or have "
                  "numbers beyond "
                  "float\n",
                  counts.passed, counts.refused, counts.other);
    assert_true(counts.passed >= 130);
    assert_true(counts.other <= 11);
}

static void foreign_cases(void **state)
{
    (void)state;
    const struct onnxruntime_ops *ops;
    const char *version, *library;
    struct error err = {0};
    if (foreign_model_library(&ops, &version, &library, &err) != STATUS_OK) {
        print_message("# %s\n", err.message);
        skip();
    }
    const struct counts counts = every_case(foreign_case);
    print_message("# of those refused, %d give the expected values in onnxruntime %s, %d are refused with a reason, %d "
                  "have no float input and output\n",
                  counts.passed, version, counts.refused, counts.other);
    assert_true(counts.passed >= 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(native_cases),
        cmocka_unit_test(foreign_cases),
    };
    return cmocka_run_group_tests_name("onnx_nodes", tests, NULL, NULL);
}
