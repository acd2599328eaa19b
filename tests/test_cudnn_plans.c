#define _GNU_SOURCE
/* cuDNN has a plan for every convolution of ResNet-18, MobileNetV2 and VGG-11, on GPUs that this machine does not have
 * (cuDNN plans for a description of a GPU); and plans can be stored on disk. */
#include "formats/onnx/onnx_read.h"
#include "shared/inference/cuda/teacher_planner.h"
#include "shared/base/files.h"
#include "shared/base/library.h"
#include "tests/helper_graphs.h"
#include "tests/helper_images.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 64 };

/* GPUs as cuDNN describes them (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION), from NVIDIA's data sheets. */
struct gpu {
    const char *name;
    int capability, processors, blocks_per_processor, threads_per_processor, shared_memory, clock, memory_clock, cache;
    long memory;
};
static const struct gpu gpus[] = {
    {"Tesla T4", 750, 40, 16, 1024, 65536, 1590000, 5001000, 4194304, 15843721216},
    {"NVIDIA A100-SXM4-40GB", 800, 108, 32, 2048, 166912, 1410000, 1215000, 41943040, 42298834944},
    {"NVIDIA H100 80GB HBM3", 900, 132, 32, 2048, 232448, 1980000, 2619000, 52428800, 84978434048},
};
enum { GPUS = sizeof gpus / sizeof *gpus };

static const struct teacher_planner_ops *planner;

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK)
        fail_msg("%s", err->message);
}

static void describe(const struct gpu *gpu, char *json, size_t capacity)
{
    snprintf(json, capacity,
             "{\"cudaDeviceId\":0,\"deviceVer\":%d,\"driverVer\":13000,\"maxGridSize\":[2147483647,65535,65535],"
             "\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,\"multiProcessorCount\":%d,\"warpSize\":32,"
             "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":%d,"
             "\"reservedSharedMemoryPerBlock\":%d,\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":%d,"
             "\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":%d,\"pciDeviceId\":0,\"isTccDriver\":0,"
             "\"supportCoopLaunch\":1,\"smClockRateKHz\":%d,\"memClockRateKHz\":%d,\"l2CacheSize\":%d,"
             "\"totalGlobalMem\":%ld,\"deviceName\":\"%s\"}",
             gpu->capability, gpu->processors, gpu->shared_memory, gpu->capability < 800 ? 0 : 1024,
             gpu->blocks_per_processor, gpu->threads_per_processor, gpu->clock, gpu->memory_clock, gpu->cache,
             gpu->memory, gpu->name);
}

static struct teacher_plan_report plan(const struct graph *graph, const struct gpu *gpu, enum precision precision,
                                       const char *folder)
{
    char json[1024];
    struct error err = {0};
    struct teacher_plan_report report = {0};
    const struct teacher_runner_options options = {
        .batch = BATCH, .outputs = &graph->output, .output_count = 1, .precision = precision, .plan_folder = folder};
    describe(gpu, json, sizeof json);
    must(planner->plan(graph, &options, json, &report, &err), &err);
    return report;
}

/* Every precision of every GPU. */
static void plan_everywhere(const char *name, const struct graph *graph, int convolutions)
{
    static const enum precision precisions[] = {PRECISION_FP16, PRECISION_BF16, PRECISION_TF32, PRECISION_FP32};
    int total = 0, fused = 0, kinds = 0;
    for (int i = 0; i < GPUS; i++)
        for (size_t k = 0; k < sizeof precisions / sizeof *precisions; k++) {
            const enum precision precision = precisions[k];
            if (gpus[i].capability < 800 && (precision == PRECISION_BF16 || precision == PRECISION_TF32))
                continue;
            const struct teacher_plan_report report = plan(graph, &gpus[i], precision, NULL);
            assert_int_equal(report.convolutions, convolutions);
            if (report.planned != report.convolutions)
                fail_msg("%s in %s on %s: %d of %d convolutions have a plan", name, precision_name(precision),
                         gpus[i].name, report.planned, report.convolutions);
            total += report.planned, fused += report.fused, kinds++;
        }
    assert_true(kinds > 0);
    print_message("# %s: %d plans, %d of them whole: %d convolutions, %d pairs of GPU and precision, batch %d\n", name,
                  total, fused, convolutions, kinds, BATCH);
}

static void resnet18(void **state)
{
    (void)state;
    struct graph_builder builder;
    build_resnet18(&builder, 1, 224, 11);
    plan_everywhere("ResNet-18", &builder.graph, 20);
    build_release(&builder);
}

static void mobilenet_v2(void **state)
{
    (void)state;
    struct graph_builder builder;
    build_mobilenet_v2(&builder, 1, 224, 11);
    plan_everywhere("MobileNetV2", &builder.graph, 35); /* the 17 depthwise ones are computed by our own kernel */
    build_release(&builder);
}

/* torchvision's vgg11: eight convolutions with biases. The classifier is small, since linear layers are not tested
 * here. */
static void vgg11(void **state)
{
    static const int channels[] = {64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0}; /* 0: a pool */
    (void)state;
    struct graph_builder builder;
    build_init(&builder, 1, 3, 224, 224);
    struct node conv = node_default(OP_CONV);
    conv.kernel_h = conv.kernel_w = 3;
    conv.pad_top = conv.pad_left = conv.pad_bottom = conv.pad_right = 1;
    int x = 0;
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        x = channels[i] ? build_relu(&builder, build_conv_node(&builder, conv, x, channels[i], true))
                        : build_max_pool(&builder, x, 2, 2, 0);
    build_linear(&builder, build_op1(&builder, OP_FLATTEN, x), 11);
    plan_everywhere("VGG-11", &builder.graph, 8);
    build_release(&builder);
}

/* Keras' MobileNetV2 with TensorFlow's SAME padding: more padding after the image than before it. */
static void keras_mobilenet_v2(void **state)
{
    const char *shared = getenv("SOFTCACHE_SHARED");
    char path[1024];
    struct graph graph;
    struct error err = {0};
    (void)state;
    snprintf(path, sizeof path, "%s/data/mobilenetv2-imagenette.onnx", shared ? shared : "../shared");
    if (!file_exists(path)) {
        print_message("# SKIP %s is missing\n", path);
        skip();
    }
    must(onnx_read_file(&graph, path, &(struct onnx_read_options){.height = 224, .width = 224}, &err), &err);
    plan_everywhere("a MobileNetV2 of Keras", &graph, 35);
    graph_release(&graph);
}

/* cuDNN computes groups of whole vectors. The added channels would split other groups: our own kernel computes those.
 */
static void grouped(void **state)
{
    (void)state;
    struct graph_builder builder;
    build_init(&builder, 1, 128, 28, 28);
    build_relu(&builder, build_conv(&builder, 0, 128, 3, 1, 1, 32));
    plan_everywhere("a block of ResNeXt", &builder.graph, 1);
    build_release(&builder);
    build_init(&builder, 1, 10, 28, 28);
    build_conv(&builder, 0, 15, 3, 1, 1, 5);
    plan_everywhere("small groups", &builder.graph, 0);
    build_release(&builder);
}

/* ---- plans on disk ---- */

static void unlink_file(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

/* Changes every file of a folder. Returns their number. */
static size_t change_files(const char *folder, void (*change)(const char *path))
{
    struct folder_entry *entries = NULL;
    size_t count = 0;
    struct error err = {0};
    must(folder_list(folder, &entries, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        char *path = path_join(folder, entries[i].name);
        change(path);
        free(path);
    }
    folder_list_free(entries, count);
    return count;
}

static void cut_short(const char *path)
{
    assert_int_equal(truncate(path, 1000), 0);
}

/* Makes a file claim that only the bias is fused. */
static void unfuse(const char *path)
{
    enum { LIMIT = 1 << 20 };
    unsigned char *bytes = NULL;
    size_t size;
    struct error err = {0};
    must(file_read(path, LIMIT, &bytes, &size, &err), &err);
    char *fused = strstr((char *)bytes, "\nfused ");
    assert_non_null(fused);
    fused[7] = '0';
    must(file_publish(path, bytes, size, &err), &err);
    free(bytes);
}

static void plans_on_disk(void **state)
{
    (void)state;
    char *folder = temporary_folder();
    struct graph_builder builder;
    build_init(&builder, 1, 3, 64, 64);
    int x = build_relu(&builder, build_conv(&builder, 0, 64, 3, 2, 1, 1));
    x = build_relu(&builder, build_op2(&builder, OP_ADD, build_conv(&builder, x, 64, 3, 1, 1, 1), x));
    x = build_activation(&builder, build_conv(&builder, x, 64, 3, 1, 1, 1), ACTIVATION_HARD_SWISH, 0, 0);
    const struct teacher_plan_report made = plan(&builder.graph, &gpus[2], PRECISION_FP16, folder);
    assert_int_equal(made.planned, 3);
    assert_int_equal(made.fused, 2); /* cuDNN does not have hard swish */
    assert_int_equal(change_files(folder, unfuse), 3);
    const struct teacher_plan_report read = plan(&builder.graph, &gpus[2], PRECISION_FP16, folder);
    assert_int_equal(read.planned, 3);
    assert_int_equal(read.fused, 0); /* so the claim came from the files */
    assert_int_equal(change_files(folder, cut_short), 3);
    const struct teacher_plan_report again = plan(&builder.graph, &gpus[2], PRECISION_FP16, folder);
    assert_int_equal(again.planned, 3);
    assert_int_equal(again.fused, 2);
    assert_int_equal(plan(&builder.graph, &gpus[2], PRECISION_FP16, "/proc/softcache").planned,
                     3); /* a folder that cannot be made */
    build_release(&builder);
    assert_int_equal(change_files(folder, unlink_file), 3);
    rmdir(folder);
    free(folder);
}

static void refuses(void **state)
{
    (void)state;
    struct graph_builder builder;
    struct error err = {0};
    struct teacher_plan_report report;
    build_init(&builder, 1, 3, 8, 8);
    const int node = build_conv(&builder, 0, 8, 3, 1, 1, 1);
    const struct teacher_runner_options options = {.batch = 1, .outputs = &node, .output_count = 1};
    assert_int_equal(planner->plan(&builder.graph, &options, "{\"deviceVer\":900}", &report, &err), STATUS_INTERNAL);
    assert_non_null(strstr(err.message, "cuDNN"));
    build_release(&builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resnet18), cmocka_unit_test(mobilenet_v2),       cmocka_unit_test(vgg11),
        cmocka_unit_test(grouped),  cmocka_unit_test(keras_mobilenet_v2), cmocka_unit_test(plans_on_disk),
        cmocka_unit_test(refuses),
    };
    struct error err = {0};
    const void *symbol = NULL;
    if (library_symbol(TEACHER_CUDNN_LIBRARY, TEACHER_PLANNER_SYMBOL, &symbol, &err) != STATUS_OK) {
        printf("ok cudnn_plans # SKIP %s\n", err.message);
        return 0;
    }
    planner = symbol;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
