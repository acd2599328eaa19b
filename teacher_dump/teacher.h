/* The teacher: an ONNX file, its graph, and the engine that runs it. */
#ifndef TEACHER_DUMP_TEACHER_H
#define TEACHER_DUMP_TEACHER_H

#include "formats/cache/cache.h"
#include "shared/backend/backend.h"
#include "shared/graph/graph.h"

/* Three batches are in flight: the device works on one while the previous one is stored and the next one decoded. */
enum { TEACHER_MAX_OUTPUTS = 1 + CACHE_MAX_FEATURES, TEACHER_IN_FLIGHT = 3 };

struct teacher {
    struct graph graph;
    char digest[65];
    const char *file; /* base name, borrowed from the path */
    struct shape input;
    int classes;
    /* after teacher_start: output 0 is the logits, 1 + i is feature i (several features may share a tensor) */
    int nodes[TEACHER_MAX_OUTPUTS];
    struct shape shapes[TEACHER_MAX_OUTPUTS];
    int output_count;
    const struct backend *backend; /* after teacher_start */
    struct device *device;
    struct engine *engine;
};

/* Where and how a teacher runs. */
struct teacher_engine {
    const char *device;  /* auto, cpu, cuda or cuda:K */
    int threads;         /* 0: all processors */
    uint64_t gpu_memory; /* bytes, 0: what is free */
    int precision;       /* enum precision */
    int batch;           /* the largest batch; 0: the device's usual one */
    int in_flight;       /* batches in flight at once */
    /* filled by teacher_choose */
    const struct backend *backend;
    int index;       /* of the GPU */
    const char *why; /* why `auto` chose the CPU, or NULL */
};

/* `--teacher none`: a cache without a teacher. */
bool teacher_is_none(const char *path);

/* Reads the file; size is used if the model's input size is dynamic. STATUS_CONFIG if the teacher's outputs are
 * probabilities: distillation with a temperature needs logits. */
enum status teacher_open(struct teacher *teacher, const char *path, int size, struct error *err);
void teacher_release(struct teacher *teacher); /* a zeroed one is allowed */

/* Finds the node of a tensor. STATUS_CONFIG suggests similar names. */
enum status teacher_find(const struct teacher *teacher, const char *tensor, int *node, struct error *err);

/* Finds the device and replaces the engine's batch and precision by the actual ones. Opens nothing. STATUS_CONFIG says
 * what is not available. */
enum status teacher_choose(struct teacher_engine *engine, struct error *err);
/* Opens the chosen device and creates the engine, with the logits and the manifest's features as outputs. */
enum status teacher_start(struct teacher *teacher, const struct teacher_engine *engine,
                          const struct cache_manifest *manifest, struct error *err);
/* "CPU, 2 threads, avx512; oneDNN, fp32": device and engine of a started teacher. */
void teacher_describe(const struct teacher *teacher, char *text, size_t size);

#endif
