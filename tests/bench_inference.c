/* Images per second of the teacher's engine on the CPU.
 *
 * ONEDNN_MAX_CPU_ISA=AVX2 measures what --deterministic costs.
 *
 * usage: bench_inference [THREADS]    0: all processors
 *
 * The networks are built here. bench_teacher measures the file of a teacher. */
#include "formats/onnx/onnx_read.h"
#include "shared/backend/backend.h"
#include "shared/base/files.h"
#include "tests/helper_graphs.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* An engine with a batch of random samples. */
struct bench {
    struct device *device;
    struct engine *engine;
    float *input;
    int batch;
};

static void bench_release(struct bench *bench)
{
    backend_cpu.engine->close(bench->engine);
    if (bench->device)
        backend_cpu.device->close(bench->device);
    free(bench->input);
}

static enum status bench_init(struct bench *bench, const struct graph *graph, int batch, int threads, struct error *err)
{
    enum status status = STATUS_OK;
    const struct shape in = graph->nodes[graph->input].shape;
    const size_t count = (size_t)batch * (size_t)in.c * (size_t)in.h * (size_t)in.w;
    const struct engine_options options = {.batch = batch, .outputs = &graph->output, .output_count = 1};
    struct random_stream random;
    *bench = (struct bench){.batch = batch, .input = calloc(count, sizeof *bench->input)};
    if (!bench->input)
        return error_no_memory(err, count * sizeof *bench->input, "the benchmark");
    random_stream_init(&random, 1, RANDOM_INIT, 0, 0);
    build_fill(&random, bench->input, count);
    TRY(backend_cpu.device->open(&bench->device, &(struct device_options){.threads = threads}, err));
    TRY(backend_cpu.engine->open(&bench->engine, bench->device, graph, &options, err));
cleanup:
    return status;
}

/* One batch. */
struct rate {
    double images, processor; /* images per second, and per second of a processor */
};
static enum status bench_round(const struct bench *bench, struct rate *rate, struct error *err)
{
    enum status status = STATUS_OK;
    const struct engine_batch samples = {.count = bench->batch, .input = bench->input};
    const float *output;
    const double start = now(CLOCK_MONOTONIC), used = now(CLOCK_PROCESS_CPUTIME_ID);
    TRY(backend_cpu.engine->submit(bench->engine, 0, &samples, err));
    TRY(backend_cpu.engine->collect(bench->engine, 0, &output, err));
    rate->images = bench->batch / (now(CLOCK_MONOTONIC) - start);
    rate->processor = bench->batch / (now(CLOCK_PROCESS_CPUTIME_ID) - used);
cleanup:
    return status;
}

static enum status bench(const char *name, const struct graph *graph, int batch, int threads, struct error *err)
{
    enum { REPEATS = 5 };
    enum status status = STATUS_OK;
    const struct shape in = graph->nodes[graph->input].shape;
    struct bench bench;
    struct rate best = {0};
    TRY(bench_init(&bench, graph, batch, threads, err));
    for (int i = 0; i <= REPEATS; i++) {
        struct rate rate;
        TRY(bench_round(&bench, &rate, err));
        best.images = i > 0 && rate.images > best.images ? rate.images : best.images;
        best.processor = i > 0 && rate.processor > best.processor ? rate.processor : best.processor;
    }
    printf("%-14s %dx%d, batch %d: %7.1f images/s, %6.1f GMAC/s, %7.1f images a processor second\n", name, in.h, in.w,
           batch, best.images, 1e-9 * (double)graph_multiply_count(graph) * best.images, best.processor);
cleanup:
    bench_release(&bench);
    return status;
}

/* The real teacher of the shared data, if that is here. */
static enum status bench_real(int threads, struct error *err)
{
    const char *shared = getenv("SOFTCACHE_SHARED");
    char path[4096];
    struct graph graph;
    snprintf(path, sizeof path, "%s/data/mobilenetv2-imagenette.onnx", shared ? shared : "../shared");
    if (!file_exists(path))
        return STATUS_OK;
    enum status status = onnx_read_file(&graph, path, NULL, err);
    if (status != STATUS_OK)
        return status;
    status = bench("imagenette", &graph, 64, threads, err);
    graph_release(&graph);
    return status;
}

int main(int argc, char **argv)
{
    enum status status = STATUS_OK;
    struct error err = {0};
    struct graph_builder mobilenet, resnet;
    const int threads = argc > 1 ? atoi(argv[1]) : 0;
    build_mobilenet_v2(&mobilenet, 1, 224, 10);
    build_resnet18(&resnet, 1, 224, 10);
    TRY(bench("mobilenet_v2", &mobilenet.graph, 64, threads, &err));
    TRY(bench("resnet18", &resnet.graph, 32, threads, &err));
    TRY(bench_real(threads, &err));
cleanup:
    build_release(&mobilenet);
    build_release(&resnet);
    if (status != STATUS_OK)
        fprintf(stderr, "%s\n", err.message);
    return status;
}
