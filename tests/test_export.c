/* Exports of every operator: ONNX and safetensors written and read again give the same values. Called with a folder,
 * it writes the exports there for tests/test_export.sh, which compares them with PyTorch and onnxruntime. */
#include "formats/onnx/onnx_read.h"
#include "formats/onnx/onnx_write.h"
#include "formats/export/safetensors.h"
#include "formats/export/student_py.h"
#include "shared/base/files.h"
#include "tests/helper_exports.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SAMPLES = 2 };

static void expect_same_values(const struct graph *found, const struct graph *expected, int found_node,
                               int expected_node)
{
    size_t count = SAMPLES * export_elements(expected, expected_node);
    assert_int_equal(count, SAMPLES * export_elements(found, found_node));
    float *a = export_forward(found, found_node, SAMPLES), *b = export_forward(expected, expected_node, SAMPLES);
    assert_memory_equal(a, b, count * sizeof *a);
    free(a);
    free(b);
}

static void test_onnx_round_trip(void **state)
{
    (void)state;
    for (int which = 0; which < EXPORT_GRAPH_COUNT; which++) {
        struct graph graph, again;
        struct error err = {0};
        uint8_t *bytes;
        size_t size;
        export_graph_make(&graph, which);
        assert_int_equal(onnx_write(&graph, &bytes, &size, &err), STATUS_OK);
        if (onnx_read(&again, bytes, size, "export.onnx", NULL, &err) != STATUS_OK)
            fail_msg("%s: %s", export_graph_name(which), err.message);
        assert_string_equal(again.nodes[again.output].name, "logits");
        assert_string_equal(again.nodes[again.input].name, "input");
        expect_same_values(&again, &graph, again.output, graph.output);
        for (int i = 0; i < again.weight_count; i++)
            assert_true(graph_find_weight(&graph, again.weights[i].name) >= 0);
        for (int i = 0; i < graph.node_count; i++) { /* inner values, by name */
            int node = graph_find(&again, graph.nodes[i].name);
            if (node >= 0 && i != graph.output && strcmp(graph.nodes[i].name, "logits") != 0)
                expect_same_values(&again, &graph, node, i);
        }
        free(bytes);
        graph_release(&graph);
        graph_release(&again);
    }
}

static void test_onnx_is_deterministic(void **state)
{
    (void)state;
    struct graph graph;
    struct error err = {0};
    uint8_t *first, *second;
    size_t first_size, second_size;
    export_graph_make(&graph, 1);
    assert_int_equal(onnx_write(&graph, &first, &first_size, &err), STATUS_OK);
    assert_int_equal(onnx_write(&graph, &second, &second_size, &err), STATUS_OK);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    free(first);
    free(second);
    graph_release(&graph);
}

static void test_folded_graph_is_written(void **state)
{
    (void)state;
    struct graph graph, folded, again;
    struct error err = {0};
    uint8_t *bytes;
    size_t size;
    export_graph_make(&graph, 0);
    assert_int_equal(graph_fold(&graph, &folded, NULL, 0, NULL, &err), STATUS_OK);
    assert_int_equal(onnx_write(&folded, &bytes, &size, &err), STATUS_OK);
    if (onnx_read(&again, bytes, size, "export.onnx", NULL, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    expect_same_values(&again, &folded, again.output, folded.output);
    free(bytes);
    graph_release(&graph);
    graph_release(&folded);
    graph_release(&again);
}

static void test_safetensors_round_trip(void **state)
{
    (void)state;
    for (int which = 0; which < EXPORT_HOME_COUNT; which++) {
        struct graph graph, again;
        struct error err = {0};
        uint8_t *bytes;
        size_t size;
        export_graph_make(&graph, which);
        export_graph_make(&again, which);
        graph_initialise(&again, 8);
        assert_int_equal(safetensors_write_weights(&graph, &bytes, &size, &err), STATUS_OK);
        if (safetensors_read_weights(&again, bytes, size, "student.safetensors", &err) != STATUS_OK)
            fail_msg("%s: %s", export_graph_name(which), err.message);
        for (int i = 0; i < graph.weight_count; i++)
            assert_memory_equal(graph.weights[i].data, again.weights[i].data, graph.weights[i].count * sizeof(float));
        free(bytes);
        graph_release(&graph);
        graph_release(&again);
    }
}

static void test_names_without_module_are_refused(void **state)
{
    (void)state;
    struct graph graph;
    struct error err = {0};
    char *text;
    size_t size;
    int index;
    export_graph_make(&graph, 0);
    assert_int_equal(graph_add_weight(&graph, "a..b", (const int[]){1}, 1, true, &index, &err), STATUS_OK);
    assert_int_equal(student_py_write(&graph, NULL, &text, &size, &err), STATUS_CONFIG);
    assert_non_null(strstr(err.message, "'a..b'"));
    graph_release(&graph);
}

/* ---- for tests/test_export.sh ---- */
static int write_file(const char *folder, const char *name, const char *ending, const void *bytes, size_t size)
{
    char path[1024];
    struct error err = {0};
    snprintf(path, sizeof path, "%s/%s%s", folder, name, ending);
    if (file_publish(path, bytes, size, &err) == STATUS_OK)
        return 0;
    fprintf(stderr, "%s: %s\n", path, err.message);
    return 1;
}

static int write_exports(const char *folder, int which)
{
    struct graph graph;
    struct error err = {0};
    uint8_t *onnx, *weights;
    char *python;
    size_t onnx_size, weights_size, python_size;
    int failed = 0;
    export_graph_make(&graph, which);
    const char *name = export_graph_name(which);
    float *output = export_forward(&graph, graph.output, SAMPLES);
    if (onnx_write(&graph, &onnx, &onnx_size, &err) != STATUS_OK ||
        safetensors_write_weights(&graph, &weights, &weights_size, &err) != STATUS_OK ||
        student_py_write(&graph, NULL, &python, &python_size, &err) != STATUS_OK) {
        fprintf(stderr, "%s: %s\n", name, err.message);
        return 1;
    }
    failed |= write_file(folder, name, ".onnx", onnx, onnx_size);
    failed |= write_file(folder, name, ".safetensors", weights, weights_size);
    failed |= write_file(folder, name, ".py", python, python_size);
    failed |=
        write_file(folder, name, ".f32", output, SAMPLES * export_elements(&graph, graph.output) * sizeof *output);
    free(onnx);
    free(weights);
    free(python);
    free(output);
    graph_release(&graph);
    return failed;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_onnx_round_trip),
        cmocka_unit_test(test_onnx_is_deterministic),
        cmocka_unit_test(test_folded_graph_is_written),
        cmocka_unit_test(test_safetensors_round_trip),
        cmocka_unit_test(test_names_without_module_are_refused),
    };
    int failed = 0;
    if (argc == 1)
        return cmocka_run_group_tests_name("export", tests, NULL, NULL);
    for (int which = 0; which < EXPORT_HOME_COUNT; which++)
        failed |= write_exports(argv[1], which);
    return failed;
}
