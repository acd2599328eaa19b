/* Images per second of the teacher's engine. Arguments: threads (default: all processors). */
#include "shared/backend/cpu/inference_cpu.h"
#include "tests/helper_networks.h"

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
    struct inference *inference = NULL;
    struct shape in = graph->nodes[graph->input].shape, out = graph->nodes[graph->output].shape;
    const struct inference_options options = {batch, threads, &graph->output, 1};
    float *input = calloc((size_t)batch * (size_t)in.c * (size_t)in.h * (size_t)in.w, sizeof *input);
    float *output = calloc((size_t)batch * (size_t)out.c, sizeof *output);
    double best = 1e9;
    if (!input || !output) {
        status = error_no_memory(err, (size_t)batch, "the benchmark");
        goto cleanup;
    }
    struct random_stream random;
    random_stream_init(&random, 1, RANDOM_INIT, 0, 0);
    network_fill(&random, input, (size_t)batch * (size_t)in.c * (size_t)in.h * (size_t)in.w);
    TRY(inference_cpu.new(&inference, graph, &options, err));
    for (int i = 0; i <= REPEATS; i++) {
        double start = now();
        TRY(inference_cpu.run(inference, input, batch, &output, err));
        double seconds = now() - start;
        if (i > 0 && seconds < best)
            best = seconds;
    }
    printf("%-14s %dx%d, batch %d: %7.1f images/s, %6.1f GMAC/s\n", name, in.h, in.w, batch, batch / best,
           1e-9 * (double)graph_multiply_count(graph) * batch / best);
cleanup:
    inference_cpu.free(inference);
    free(input);
    free(output);
    return status;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct network network;
    int threads = argc > 1 ? atoi(argv[1]) : 0;
    network_mobilenet_v2(&network, 1, 224, 10);
    enum status status = bench("mobilenet_v2", &network.graph, 64, threads, &err);
    network_release(&network);
    if (status == STATUS_OK) {
        network_resnet18(&network, 1, 224, 10);
        status = bench("resnet18", &network.graph, 32, threads, &err);
        network_release(&network);
    }
    if (status != STATUS_OK)
        fprintf(stderr, "%s\n", err.message);
    return status;
}
