/* The teacher's engine of the CUDA backend against the reference executor: every operator, odd shapes, fused chains
 * whose middle is recorded, random graphs, networks; in fp16, bf16 and fp32. On the execution shim a plain kernel
 * replaces cuDNN and cuBLASLt; on a GPU the libraries compute. */
#include "shared/inference/cuda/teacher_runner.h"
#include "shared/base/library.h"
#include "shared/graph/graph_reference.h"
#include "shared/tensor/half.h"
#include "tests/helper_device.h"
#include "tests/helper_engine_graphs.h"

#include <dlfcn.h>
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Largest difference over largest magnitude. An operator rounds its inputs, weights and result once each: at
 * most 3 * 2^-11 and 3 * 2^-8; sums of products are float. In networks the errors add up. */
static const double op_tolerance[] = {
    [PRECISION_FP16] = 4e-3, [PRECISION_BF16] = 3e-2, [PRECISION_TF32] = 4e-3, [PRECISION_FP32] = 2e-5};
static const double network_tolerance[] = {
    [PRECISION_FP16] = 1e-2, [PRECISION_BF16] = 8e-2, [PRECISION_TF32] = 1e-2, [PRECISION_FP32] = 1e-4};
enum { MAX_OUTPUTS = 64 };

/* ---- the engine under test ---- */

typedef int copy_function(void *to, const void *from, size_t bytes, int kind);
typedef int copy_in_function(uint64_t to, const void *from, size_t bytes);
typedef int copy_out_function(void *to, uint64_t from, size_t bytes);

static struct {
    const struct teacher_runner_ops *ops;
    copy_function *copy;         /* the shim's cudaMemcpy, or: */
    copy_in_function *copy_in;   /* the driver's */
    copy_out_function *copy_out; /* the driver's */
    enum precision precision;
    bool no_bf16; /* a GPU before Ampere */
} engine;

/* A library's function as a function pointer: ISO C has no cast from an object pointer. */
static void *as_function(const void *symbol)
{
    return (void *)(uintptr_t)symbol;
}

/* Why the engine cannot run on the shim, or NULL. */
static const char *open_shim(void)
{
    static struct error err;
    const void *ops = NULL, *copy = NULL;
    if (library_symbol("shim/" TEACHER_CUDNN_LIBRARY, TEACHER_CUDNN_SYMBOL, &ops, &err) != STATUS_OK ||
        library_symbol("shim/" TEACHER_CUDNN_LIBRARY, "cudaMemcpy", &copy, &err) != STATUS_OK)
        return err.message;
    engine.ops = ops;
    *(void **)&engine.copy = as_function(copy);
    return NULL;
}

/* Why the engine cannot run natively, or NULL. */
static const char *open_native(void)
{
    struct error err = {0};
    const void *ops = NULL;
    int count = 0;
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    memset(&engine, 0, sizeof engine);
    if (!driver)
        return "no NVIDIA driver here";
    int (*initialise)(unsigned), (*count_devices)(int *), (*attribute)(int *, int, int), major = 0;
    *(void **)&initialise = dlsym(driver, "cuInit");
    *(void **)&count_devices = dlsym(driver, "cuDeviceGetCount");
    *(void **)&attribute = dlsym(driver, "cuDeviceGetAttribute");
    *(void **)&engine.copy_in = dlsym(driver, "cuMemcpyHtoD_v2");
    *(void **)&engine.copy_out = dlsym(driver, "cuMemcpyDtoH_v2");
    if (!initialise || !count_devices || !attribute || !engine.copy_in || !engine.copy_out)
        return "libcuda.so.1 is not NVIDIA's driver";
    if (initialise(0) != 0 || count_devices(&count) != 0 || count == 0)
        return "no GPU here";
    enum { CAPABILITY_MAJOR = 75, FIRST_DEVICE = 0 };
    engine.no_bf16 = attribute(&major, CAPABILITY_MAJOR, FIRST_DEVICE) != 0 || major < 8;
    if (library_symbol(TEACHER_CUDNN_LIBRARY, TEACHER_CUDNN_SYMBOL, &ops, &err) != STATUS_OK)
        return "built without cuDNN";
    engine.ops = ops;
    return NULL;
}

static void copy_in(void *to, const void *from, size_t bytes)
{
    enum { HOST_TO_DEVICE = 1 };
    assert_int_equal(
        engine.copy ? engine.copy(to, from, bytes, HOST_TO_DEVICE) : engine.copy_in((uintptr_t)to, from, bytes), 0);
}

static void copy_out(void *to, const void *from, size_t bytes)
{
    enum { DEVICE_TO_HOST = 2 };
    assert_int_equal(
        engine.copy ? engine.copy(to, from, bytes, DEVICE_TO_HOST) : engine.copy_out(to, (uintptr_t)from, bytes), 0);
}

/* ---- values ---- */

static size_t bytes_of_element(enum dtype type)
{
    return type == DTYPE_FP32 ? 4 : 2;
}

static void put(unsigned char *to, enum dtype type, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t small = type == DTYPE_FP16 ? half_from_float(value) : (uint16_t)((bits + 0x8000) >> 16);
    if (type == DTYPE_FP32)
        memcpy(to, &value, sizeof value);
    else
        memcpy(to, &small, sizeof small);
}

static float get(const unsigned char *from, enum dtype type)
{
    float value;
    uint16_t small;
    memcpy(&small, from, sizeof small);
    const uint32_t bits = (uint32_t)small << 16;
    if (type == DTYPE_FP16)
        return half_to_float(small);
    memcpy(&value, type == DTYPE_FP32 ? (const void *)from : (const void *)&bits, sizeof value);
    return value;
}

static size_t value_elements(const struct teacher_value *value, int n)
{
    return (size_t)n * (size_t)value->shape.h * (size_t)value->shape.w * (size_t)value->channels;
}

static size_t size_of(const struct graph *graph, int node)
{
    struct shape shape = graph->nodes[node].shape;
    return (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
}

/* Element [i, c, position] of a stored value. */
static size_t stored_at(const struct teacher_value *value, int i, int c, int position)
{
    return ((size_t)i * (size_t)(value->shape.h * value->shape.w) + (size_t)position) * (size_t)value->channels +
           (size_t)c;
}

/* values [n, c, h, w] of samples from `first` on; the other samples of the batch get large values, which must
 * make no difference. */
static void upload(const struct teacher_value *input, const float *values, int first, int n, int batch)
{
    const size_t size = bytes_of_element(input->type), count = value_elements(input, batch);
    const int positions = input->shape.h * input->shape.w;
    unsigned char *packed = calloc(count, size);
    assert_non_null(packed);
    for (int i = 0; i < batch; i++)
        for (int c = 0; c < input->shape.c; c++)
            for (int p = 0; p < positions; p++) {
                const bool mine = i >= first && i < first + n;
                const size_t from = ((size_t)(i - first) * (size_t)input->shape.c + (size_t)c) * (size_t)positions;
                put(packed + size * stored_at(input, i, c, p), input->type, mine ? values[from + (size_t)p] : 30);
            }
    copy_in(input->data, packed, count * size);
    free(packed);
}

/* malloc'ed [n, c, h, w]. */
static float *download(const struct teacher_value *output, int first, int n, int batch)
{
    const size_t size = bytes_of_element(output->type), count = value_elements(output, batch);
    const int positions = output->shape.h * output->shape.w, channels = output->shape.c;
    unsigned char *packed = malloc(count * size);
    float *values = malloc((size_t)n * (size_t)channels * (size_t)positions * sizeof *values);
    assert_non_null(packed);
    assert_non_null(values);
    copy_out(packed, output->data, count * size);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < channels; c++)
            for (int p = 0; p < positions; p++)
                values[((size_t)i * (size_t)channels + (size_t)c) * (size_t)positions + (size_t)p] =
                    get(packed + size * stored_at(output, first + i, c, p), output->type);
    free(packed);
    return values;
}

/* ---- comparing ---- */

/* Rounds an input to the precision, so that both sides start from the same numbers. */
static void round_inputs(float *values, size_t count)
{
    const enum dtype type = engine.precision == PRECISION_FP16   ? DTYPE_FP16
                            : engine.precision == PRECISION_BF16 ? DTYPE_BF16
                                                                 : DTYPE_FP32;
    unsigned char bytes[4];
    for (size_t i = 0; i < count; i++) {
        put(bytes, type, values[i]);
        values[i] = get(bytes, type);
    }
}

/* Runs samples input[n] at place `first` of a batch; outputs[i] malloc'ed [n, c, h, w]. */
static void run_engine(const struct graph *graph, const float *input, int first, int n, int batch, const int *wanted,
                       int wanted_count, float **outputs)
{
    struct error err = {0};
    struct teacher_runner *runner = NULL;
    const struct teacher_runner_options options = {
        .batch = batch, .outputs = wanted, .output_count = wanted_count, .precision = engine.precision};
    test_must(engine.ops->new (&runner, graph, &options, NULL, &err), &err);
    const struct teacher_value in = engine.ops->input(runner);
    assert_memory_equal(&in.shape, &graph->nodes[graph->input].shape, sizeof in.shape);
    upload(&in, input, first, n, batch);
    test_must(engine.ops->run(runner, &err), &err);
    for (int i = 0; i < wanted_count; i++) {
        const struct teacher_value out = engine.ops->output(runner, i);
        assert_memory_equal(&out.shape, &graph->nodes[wanted[i]].shape, sizeof out.shape);
        outputs[i] = download(&out, first, n, batch);
    }
    assert_non_null(engine.ops->describe(runner));
    engine.ops->free(runner);
}

static double relative_error(const float *got, const float *expected, size_t count)
{
    double difference = 0, magnitude = 1e-30;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(got[i]))
            return INFINITY;
        difference = fmax(difference, fabs((double)got[i] - (double)expected[i]));
        magnitude = fmax(magnitude, fabs((double)expected[i]));
    }
    return difference / magnitude;
}

/* Compares the wanted nodes on n random samples with the reference. */
static void check_nodes(struct graph_builder *builder, int n, const int *wanted, int wanted_count, double tolerance)
{
    const struct graph *graph = &builder->graph;
    struct error err = {0};
    const size_t count = (size_t)n * size_of(graph, graph->input);
    float *outputs[MAX_OUTPUTS], *input = malloc(count * sizeof *input);
    assert_non_null(input);
    build_fill(&builder->random, input, count);
    round_inputs(input, count);
    run_engine(graph, input, 1, n, n + 2, wanted, wanted_count, outputs);
    for (int i = 0; i < wanted_count; i++) {
        const size_t size = (size_t)n * size_of(graph, wanted[i]);
        float *expected = malloc(size * sizeof *expected);
        assert_non_null(expected);
        test_must(graph_forward_reference(graph, input, n, wanted[i], expected, &err), &err);
        const double error = relative_error(outputs[i], expected, size);
        if (!(error <= tolerance))
            fail_msg("node %s (%s): relative error %g", graph->nodes[wanted[i]].name,
                     op_name(graph->nodes[wanted[i]].op), error);
        free(expected);
        free(outputs[i]);
    }
    free(input);
}

/* Compares the last node alone, so that everything before it may be fused, and then all nodes together. */
static void check_network(struct graph_builder *builder)
{
    int all[MAX_OUTPUTS], count = builder->graph.node_count;
    assert_true(count <= MAX_OUTPUTS);
    for (int i = 0; i < count; i++)
        all[i] = i;
    const double tolerance =
        count > 4 ? network_tolerance[engine.precision] : op_tolerance[engine.precision]; /* errors add up */
    check_nodes(builder, 1, &builder->graph.output, 1, tolerance);
    check_nodes(builder, 1, all, count, tolerance);
}

/* ---- tests ---- */

static const enum precision precisions[] = {PRECISION_FP32, PRECISION_FP16, PRECISION_BF16};
#define FOR_EVERY_PRECISION \
    for (size_t p_ = 0; p_ < (engine.no_bf16 ? 2 : 3) && (engine.precision = precisions[p_], true); p_++)

static void convolutions(void **state)
{
    (void)state;
    FOR_EVERY_PRECISION engine_convolutions(check_network);
}

static void pools(void **state)
{
    (void)state;
    FOR_EVERY_PRECISION engine_pools(check_network);
}

static void all_activations(void **state)
{
    (void)state;
    FOR_EVERY_PRECISION engine_activations(check_network);
}

static void combinations(void **state)
{
    (void)state;
    FOR_EVERY_PRECISION engine_combinations(check_network);
}

static void operators(void **state)
{
    (void)state;
    FOR_EVERY_PRECISION
    {
        if (engine.precision != PRECISION_BF16) /* slow on the shim */
            engine_norms(check_network);
        engine_scales(check_network);
        engine_gates(check_network);
        engine_selects(check_network);
        engine_pads(check_network);
        engine_resizes(check_network);
    }
    engine.precision = PRECISION_FP32;
    engine_large_means(check_network);
}

static void perceptrons(void **state)
{
    (void)state;
    FOR_EVERY_PRECISION engine_perceptrons(check_network);
}

static void residuals(void **state)
{
    (void)state;
    FOR_EVERY_PRECISION engine_residuals(check_network);
}

static void random_graphs(void **state)
{
    enum { GRAPHS = 20 };
    (void)state;
    for (uint64_t seed = 100; seed < 100 + GRAPHS; seed++) {
        struct graph_builder builder;
        int wanted[4];
        engine.precision = PRECISION_FP32;
        engine_random_graph(&builder, seed);
        wanted[0] = builder.graph.output;
        for (int i = 1; i < 4; i++)
            wanted[i] = (int)random_below(&builder.random, (uint32_t)builder.graph.node_count);
        check_nodes(&builder, 1, wanted, 1, network_tolerance[PRECISION_FP32]);
        check_nodes(&builder, 1, wanted, 4, network_tolerance[PRECISION_FP32]);
        build_release(&builder);
    }
}

static void networks(void **state)
{
    (void)state;
    FOR_EVERY_PRECISION
    {
        struct graph_builder builder;
        build_mobilenet_v2(&builder, 1, 32, 10);
        check_nodes(&builder, 1, (const int[]){builder.graph.output, builder.graph.output / 2}, 2,
                    network_tolerance[engine.precision]);
        build_release(&builder);
        build_resnet18(&builder, 1, 32, 10);
        check_nodes(&builder, 1, (const int[]){builder.graph.output, builder.graph.output / 2}, 2,
                    network_tolerance[engine.precision]);
        build_release(&builder);
    }
}

/* A sample's values depend neither on its place in the batch nor on its neighbours. */
static void independent_of_neighbours(void **state)
{
    enum { SIDE = 16, BATCH = 4 };
    static float input[SIDE * SIDE * 3];
    (void)state;
    struct graph_builder builder;
    float *expected, *got;
    engine.precision = PRECISION_FP16;
    build_init(&builder, 5, 3, SIDE, SIDE);
    int x = build_relu(&builder, build_conv(&builder, 0, 20, 3, 2, 1, 1));
    x = build_op1(&builder, OP_GLOBAL_AVERAGE_POOL, build_conv(&builder, x, 20, 3, 1, 1, 20));
    x = build_linear(&builder, build_op1(&builder, OP_FLATTEN, x), 11);
    build_fill(&builder.random, input, SIDE * SIDE * 3);
    run_engine(&builder.graph, input, 0, 1, BATCH, &x, 1, &expected);
    for (int first = 1; first < BATCH; first++) {
        run_engine(&builder.graph, input, first, 1, BATCH, &x, 1, &got);
        assert_memory_equal(got, expected, 11 * sizeof(float));
        free(got);
    }
    free(expected);
    build_release(&builder);
}

static void refuse(const struct graph *graph, struct teacher_runner_options options, enum status expected,
                   const char *words)
{
    struct error err = {0};
    struct teacher_runner *runner = NULL;
    assert_int_equal(engine.ops->new (&runner, graph, &options, NULL, &err), expected);
    assert_null(runner);
    if (!strstr(err.message, words))
        fail_msg("'%s' does not say '%s'", err.message, words);
}

static void refuses(void **state)
{
    (void)state;
    struct graph_builder builder;
    build_init(&builder, 1, 3, 64, 64);
    const int node = build_conv(&builder, 0, 64, 3, 1, 1, 1);
    const struct teacher_runner_options good = {
        .batch = 8, .outputs = &node, .output_count = 1, .precision = PRECISION_FP16};
    struct teacher_runner_options options = good;
    options.batch = 0;
    refuse(&builder.graph, options, STATUS_INTERNAL, "batch");
    options = good;
    options.memory_limit = 1 << 20;
    refuse(&builder.graph, options, STATUS_CONFIG, "smaller batch");
    builder.graph.weights[builder.graph.nodes[node].weight].data[5] = 1e5f;
    refuse(&builder.graph, good, STATUS_CONFIG, "bf16");
    engine.ops->free(NULL);
    build_release(&builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),    cmocka_unit_test(pools),
        cmocka_unit_test(all_activations), cmocka_unit_test(combinations),
        cmocka_unit_test(operators),       cmocka_unit_test(perceptrons),
        cmocka_unit_test(residuals),       cmocka_unit_test(random_graphs),
        cmocka_unit_test(networks),        cmocka_unit_test(independent_of_neighbours),
        cmocka_unit_test(refuses),
    };
    static const struct {
        const char *name, *(*open)(void);
    } places[] = {{"teacher_runner on the shim", open_shim}, {"teacher_runner on a GPU", open_native}};
    int failed = 0;
    for (int i = 0; i < 2; i++) {
        const char *why = places[i].open();
        if (why)
            printf("ok %s # SKIP %s\n", places[i].name, why);
        else
            failed += cmocka_run_group_tests_name(places[i].name, tests, NULL, NULL);
    }
    return failed;
}
