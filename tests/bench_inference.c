/* Images per second of the teacher's engine. Argument: threads (default: all processors). */
#include "formats/onnx/onnx_read.h"
#include "shared/backend/backend.h"
#include "shared/base/files.h"
#include "tests/helper_graphs.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static enum status bench(const char *name, const struct graph *graph, int batch, int threads, struct error *err)
{
    enum { REPEATS = 5 };
    enum status status = STATUS_OK;
    struct engine *engine = NULL;
    struct shape in = graph->nodes[graph->input].shape;
    struct device *device = NULL;
    const struct engine_options options = {.batch = batch, .outputs = &graph->output, .output_count = 1};
    float *input = calloc((size_t)batch * (size_t)in.c * (size_t)in.h * (size_t)in.w, sizeof *input);
    const struct engine_batch samples = {.count = batch, .input = input};
    const struct engine_ops *ops = backend_cpu.engine;
    const float *output;
    double best = 1e9;
    if (!input) {
        status = error_no_memory(err, (size_t)batch, "the benchmark");
        goto cleanup;
    }
    struct random_stream random;
    random_stream_init(&random, 1, RANDOM_INIT, 0, 0);
    build_fill(&random, input, (size_t)batch * (size_t)in.c * (size_t)in.h * (size_t)in.w);
    TRY(backend_cpu.device->open(&device, &(struct device_options){.threads = threads}, err));
    TRY(ops->open(&engine, device, graph, &options, err));
    for (int i = 0; i <= REPEATS; i++) {
        double start = now();
        TRY(ops->submit(engine, 0, &samples, err));
        TRY(ops->collect(engine, 0, &output, err));
        double seconds = now() - start;
        if (i > 0 && seconds < best)
            best = seconds;
    }
    printf("%-14s %dx%d, batch %d: %7.1f images/s, %6.1f GMAC/s\n", name, in.h, in.w, batch, batch / best,
           1e-9 * (double)graph_multiply_count(graph) * batch / best);
cleanup:
    ops->close(engine);
    if (device)
        backend_cpu.device->close(device);
    free(input);
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
    int threads = argc > 1 ? atoi(argv[1]) : 0;
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
