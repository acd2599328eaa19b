/* The teacher of a cache: one model, or several whose answers are averaged, on one device.
 *
 * Answers: each model runs on the view and, with mirrored, on its mirror image too; the logits are the weighted mean of
 * the logits, or the logarithm of the weighted mean of the probabilities. Features are those of the first model on the
 * view itself. */
#ifndef TEACHER_DUMP_TEACHER_H
#define TEACHER_DUMP_TEACHER_H

#include "formats/cache/cache.h"
#include "shared/backend/backend.h"
#include "shared/base/options.h"
#include "teacher_dump/teacher_model.h"

/* Three batches are in flight: the device works on one while the previous one is stored and the next one decoded. */
enum { TEACHER_MAX_OUTPUTS = 1 + CACHE_MAX_FEATURES, TEACHER_IN_FLIGHT = 3, TEACHER_MAX_MEMBERS = 16 };

/* How the answers of several models become one. */
enum ensemble { ENSEMBLE_LOGITS, ENSEMBLE_PROBABILITIES };
extern const char *const ensemble_names[]; /* "logits", "probabilities", NULL */
enum teacher_tta { TEACHER_TTA_NONE, TEACHER_TTA_HFLIP };
extern const char *const teacher_tta_names[]; /* "none", "hflip", NULL */

/* What the outputs of the models are. */
enum teacher_from { TEACHER_FROM_LOGITS, TEACHER_FROM_PROBABILITIES };
extern const char *const teacher_from_names[]; /* "logits", "probabilities", NULL */

/* How the outputs of a model become logits of the classes. */
struct teacher_outputs {
    const int *selected; /* [selected_count] class i is output selected[i], borrowed; 0: all, in their order */
    int selected_count;
    enum teacher_from from; /* probabilities: the logits are their logarithms, of TEACHER_LEAST at least */
};

/* The least probability that has a logarithm of its own, -27.6: a float32 softmax gives zeros, a cache has none. */
#define TEACHER_LEAST 1e-12

/* Which teacher. */
struct teacher_request {
    struct option_list teachers; /* FILE or FILE@WEIGHT, borrowed */
    enum ensemble ensemble;
    enum teacher_tta tta;
    enum teacher_engine_kind kind; /* who runs the models */
    int size;                      /* of the input, where a model leaves it open */
    uint64_t max_memory;           /* of the host for a model that onnxruntime runs, 0: what is available */
    struct teacher_outputs outputs;
    /* NULL, or the cache whose teacher this is: then ensemble, tta and outputs are the cache's, and weights that are
     * not given, and with `kind` auto each model runs on the engine that made the cache. */
    const struct cache_manifest *made;
};

/* One model of the teacher. */
struct teacher_member {
    struct teacher_model model;
    char *path;
    double weight; /* those of all members add up to 1 */
    enum precision precision;
    struct engine *engine; /* after teacher_start */
};

struct teacher {
    struct teacher_member *members; /* [member_count]; none in a cache without a teacher */
    int member_count;
    enum ensemble ensemble;
    enum teacher_tta tta;
    char digest[DIGEST_HEX_SIZE]; /* of the whole teacher: FORMAT.md */
    struct shape input;
    struct teacher_outputs outputs;
    int output_classes; /* of each model */
    int classes;        /* logits of the teacher: with `outputs.selected` as many as that, otherwise output_classes */
    /* after teacher_start: output 0 is the logits, 1 + i is feature i (several features may share a tensor) */
    struct shape shapes[TEACHER_MAX_OUTPUTS];
    int output_count;
    const struct backend *backend;
    struct device *device;
    float *logits; /* [in_flight, batch, classes] of the whole teacher; NULL if the outputs of one run of one model are
                      the logits as they are */
    int batch;
    int counts[TEACHER_IN_FLIGHT]; /* views of the batch in each buffer */
};

/* Where and how a teacher runs. */
struct teacher_engine {
    const char *device;  /* auto, cpu, cuda or cuda:K */
    bool deterministic;  /* the same bits on every processor (device.h) */
    int threads;         /* 0: all processors */
    uint64_t gpu_memory; /* bytes, 0: what is free */
    uint64_t max_memory; /* of the host for the teacher's values, 0: what is available */
    int precision;       /* enum precision */
    int batch;           /* the largest batch; 0: the device's usual one */
    int in_flight;       /* batches in flight at once, at most TEACHER_IN_FLIGHT */
    /* filled by teacher_choose */
    const struct backend *backend;
    int index;       /* of the GPU */
    const char *why; /* why `auto` chose the CPU, or NULL */
};

/* `--teacher none`: a cache without a teacher. */
bool teacher_is_none(const char *path);

/* Reads the files. STATUS_USAGE: a weight that is none. STATUS_CONFIG: models that do not fit each other; see
 * teacher_model_open. */
enum status teacher_open(struct teacher *teacher, const struct teacher_request *request, struct error *err);
void teacher_release(struct teacher *teacher); /* a zeroed one is allowed */

/* How often each model runs on a view: 2 with the mirror image. */
static inline int teacher_runs(const struct teacher *teacher)
{
    return teacher->tta == TEACHER_TTA_HFLIP ? 2 : 1;
}
/* Is it one run of one model? */
static inline bool teacher_is_plain(const struct teacher *teacher)
{
    return teacher->member_count * teacher_runs(teacher) <= 1;
}
/* Are the outputs of its models the logits, as they are? */
static inline bool teacher_gives_logits(const struct teacher *teacher)
{
    return !teacher->outputs.selected_count && teacher->outputs.from == TEACHER_FROM_LOGITS;
}
/* Fills in the digest; teacher_open calls it. */
enum status teacher_digest(struct teacher *teacher, struct error *err);

/* The first model, which has the features. NULL without a teacher. */
const struct teacher_model *teacher_first(const struct teacher *teacher);
/* Fills in the teacher's part of the manifest, but for device and precision. */
enum status teacher_identify(const struct teacher *teacher, struct cache_manifest *manifest, struct error *err);

/* Finds the device and replaces the engine's batch and precision by the actual ones (the first model's). Opens nothing.
 * STATUS_CONFIG says what is not available. */
enum status teacher_choose(struct teacher *teacher, struct teacher_engine *engine, struct error *err);
/* Opens the chosen device and creates the engines, with the logits and the manifest's features as outputs. */
enum status teacher_start(struct teacher *teacher, const struct teacher_engine *engine,
                          const struct cache_manifest *manifest, struct error *err);
/* "CPU, 2 threads, AVX-512; oneDNN 2.6.3 AVX-512, fp32": device and engines of a started teacher. */
void teacher_describe(const struct teacher *teacher, char *text, size_t size);
/* What the last bits of its answers depend on: "oneDNN 2.6.3 AVX-512", "cuDNN 9.19 on NVIDIA H100, compute 9.0". */
void teacher_kernels(const struct teacher *teacher, char *text, size_t size);

/* As engine_ops.submit and collect: outputs[output_count]. */
enum status teacher_submit(struct teacher *teacher, int buffer, const struct engine_batch *batch, struct error *err);
/* STATUS_BAD_DATA also if a value that should be a probability is none. */
enum status teacher_collect(const struct teacher *teacher, int buffer, const float **outputs, struct error *err);

#endif
