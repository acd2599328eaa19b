/* torchvision's ResNet-18, VGG-11-BN and MobileNetV2 as PyTorch exports them: the reference gives PyTorch's logits and
 * inner maps. Narrow ones are committed (tests/golden/onnx_models); the full sizes run with
 * SOFTCACHE_FULL_MODELS=folder of `make_onnx_models.py --full folder` (make test-parity). */
#include "formats/onnx/onnx_read.h"
#include "formats/export/safetensors.h"
#include "shared/base/files.h"
#include "tests/helper_exports.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double TOLERANCE = 1e-4; /* of the largest magnitude; measured: 1e-6 */
static const char *const models[] = {"resnet18", "vgg11_bn", "mobilenet_v2"};
enum { MODEL_COUNT = sizeof models / sizeof *models };

/* The node of a tensor of the golden file: "logits" or the inner map. */
static void compare(const struct graph *graph, const struct safetensors_entry *entry, const char *path)
{
    struct error err = {0};
    int node = graph_find(graph, entry->name), n = (int)entry->dims[0];
    if (node < 0)
        fail_msg("%s: no node '%s'", path, entry->name);
    assert_int_equal((size_t)n * export_elements(graph, node), entry->count);
    float *expected = malloc(entry->count * sizeof *expected), *found = export_forward(graph, node, n);
    assert_non_null(expected);
    assert_int_equal(safetensors_floats(entry, path, expected, &err), STATUS_OK);
    double error = export_relative_error(found, expected, entry->count);
    print_message("# %s %s: relative error %.1e\n", path, entry->name, error);
    if (!(error <= TOLERANCE))
        fail_msg("%s: '%s' differs from PyTorch by %g", path, entry->name, error);
    free(expected);
    free(found);
}

static void check_model(const char *folder, const char *model, size_t values)
{
    char path[1024];
    struct graph graph;
    struct safetensors golden;
    struct error err = {0};
    unsigned char *bytes;
    size_t size;
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, model);
    if (file_read(path, 64 << 20, &bytes, &size, &err) != STATUS_OK ||
        safetensors_open(&golden, bytes, size, path, &err) != STATUS_OK)
        fail_msg("%s: %s", path, err.message);
    assert_int_equal(golden.count, values);
    snprintf(path, sizeof path, "%s/%s.onnx", folder, model);
    const struct onnx_read_options options = {.height = 16, .width = 16};
    if (onnx_read_file(&graph, path, &options, &err) != STATUS_OK)
        fail_msg("%s: %s", path, err.message);
    for (size_t i = 0; i < golden.count; i++)
        compare(&graph, &golden.entries[i], path);
    safetensors_close(&golden);
    graph_release(&graph);
    free(bytes);
}

static void test_narrow_models(void **state)
{
    (void)state;
    for (int i = 0; i < MODEL_COUNT; i++)
        check_model("tests/golden/onnx_models", models[i], 2);
}

/* What exporters write around layers (tests/golden/make_onnx_idioms.py). */
static void test_idioms(void **state)
{
    (void)state;
    check_model("tests/golden/onnx_models", "idioms_pytorch", 1);
    check_model("tests/golden/onnx_models", "idioms_keras", 1);
    check_model("tests/golden/onnx_models", "idioms_gates", 1);
}

static void test_full_models(void **state)
{
    (void)state;
    const char *folder = getenv("SOFTCACHE_FULL_MODELS");
    if (!folder) {
        print_message("# SOFTCACHE_FULL_MODELS is not set: make test-parity makes the models with PyTorch\n");
        skip();
    }
    for (int i = 0; i < MODEL_COUNT; i++)
        check_model(folder, models[i], 2);
}

/* Layers in training form come as layers, so that a student can be trained from an untrained export. */
static void test_training_export_keeps_layers(void **state)
{
    (void)state;
    struct graph graph;
    struct error err = {0};
    int counts[OP_COUNT] = {0};
    assert_int_equal(onnx_read_file(&graph, "tests/golden/onnx_models/vgg11_bn.onnx", NULL, &err), STATUS_OK);
    for (int i = 0; i < graph.node_count; i++)
        counts[graph.nodes[i].op]++;
    assert_int_equal(counts[OP_BATCH_NORM], 8);
    assert_int_equal(counts[OP_DROPOUT], 2);
    assert_int_equal(counts[OP_LINEAR], 3);
    const struct node *norm = &graph.nodes[0];
    while (norm->op != OP_BATCH_NORM)
        norm++;
    assert_float_equal(norm->momentum, 0.1, 1e-6);
    assert_string_equal(graph.weights[norm->running_mean].name, "features.1.running_mean");
    assert_false(graph.weights[norm->running_mean].trained);
    assert_true(graph_find_weight(&graph, "features.0.weight") >= 0);
    graph_release(&graph);
}

static void expect_shape(const struct graph *graph, const char *name, int c, int h, int w)
{
    int node = graph_find(graph, name);
    assert_true(node >= 0);
    struct shape s = graph->nodes[node].shape;
    assert_int_equal(s.c, c);
    assert_int_equal(s.h, h);
    assert_int_equal(s.w, w);
}

static void test_real_teacher(void **state)
{
    (void)state;
    char path[1024];
    struct graph graph;
    struct error err = {0};
    const char *shared = getenv("SOFTCACHE_SHARED");
    snprintf(path, sizeof path, "%s/data/mobilenetv2-imagenette.onnx", shared ? shared : "../shared");
    if (!file_exists(path)) {
        print_message("# %s is absent\n", path);
        skip();
    }
    if (onnx_read_file(&graph, path, NULL, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(graph.node_count, 101);
    assert_int_equal(graph_parameter_count(&graph), 2219626);
    assert_string_equal(graph.nodes[graph.output].name, "logits");
    expect_shape(&graph, "input", 3, 224, 224);
    expect_shape(&graph, "conv0", 32, 112, 112);
    expect_shape(&graph, "conv61.relu6", 1280, 7, 7);
    expect_shape(&graph, "embedding", 1280, 1, 1);
    expect_shape(&graph, "logits", 10, 1, 1);
    const struct node *stem = &graph.nodes[graph_find(&graph, "conv0")]; /* TensorFlow's SAME */
    assert_int_equal(stem->pad_top, 0);
    assert_int_equal(stem->pad_bottom, 1);
    graph_release(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_narrow_models), cmocka_unit_test(test_idioms),
        cmocka_unit_test(test_full_models),   cmocka_unit_test(test_training_export_keeps_layers),
        cmocka_unit_test(test_real_teacher),
    };
    return cmocka_run_group_tests_name("onnx_models", tests, NULL, NULL);
}
