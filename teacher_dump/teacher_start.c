/* A teacher on its device: which precision and batch, and an engine for each of its models. */
#include "teacher_dump/teacher.h"

#include "teacher_dump/foreign_model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int common_multiple(int a, int b)
{
    int x = a, y = b;
    while (y) {
        const int rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

/* Where a file fixes a batch above 1, a sample's neighbours may change its last bits: so every batch is cut at the same
 * places, whatever its size. */
static int whole_runs(const struct teacher *teacher, int batch)
{
    int unit = 1;
    for (int i = 0; i < teacher->member_count; i++) {
        const struct foreign_model *foreign = teacher->members[i].model.foreign;
        if (foreign && !foreign->any_batch)
            unit = common_multiple(unit, foreign->batch);
    }
    return (batch + unit - 1) / unit * unit;
}

enum status teacher_choose(struct teacher *teacher, struct teacher_engine *engine, struct error *err)
{
    enum status status = STATUS_OK;
    const enum precision wanted = (enum precision)engine->precision;
    TRY(backend_find(engine->device, &engine->backend, &engine->index, &engine->why, err));
    const struct engine_ops *ops = engine->backend->engine;
    if (!ops)
        FAIL(error_set(err, STATUS_CONFIG, NULL, "the %s backend cannot run teachers: use --device cpu",
                       engine->backend->name));
    for (int i = 0; i < teacher->member_count; i++) {
        struct teacher_member *member = &teacher->members[i];
        TRY(ops->choose_precision(engine->index, wanted, member->model.foreign != NULL, &member->precision, err));
    }
    engine->precision = (int)teacher->members[0].precision;
    engine->batch = whole_runs(teacher, engine->batch ? engine->batch : ops->usual_batch);
cleanup:
    return status;
}

/* The names of the outputs: the logits and, of the first model, the features. */
static int list_names(const struct teacher_member *member, bool first, const struct cache_manifest *manifest,
                      const char **names)
{
    int count = 0;
    names[count++] = member->model.output;
    for (int i = 0; first && i < manifest->feature_count; i++)
        names[count++] = manifest->features[i].tensor;
    return count;
}

static enum status open_native(struct teacher *teacher, struct teacher_member *member,
                               const struct engine_options *base, const char *const *names, struct error *err)
{
    int nodes[TEACHER_MAX_OUTPUTS];
    struct engine_options options = *base;
    const struct graph *graph = &member->model.graph;
    nodes[0] = graph->output;
    for (int i = 1; i < base->output_count; i++)
        nodes[i] = graph_find(graph, names[i]);
    options.outputs = nodes;
    return teacher->backend->engine->open(&member->engine, teacher->device, graph, &options, err);
}

static enum status open_foreign(struct teacher *teacher, struct teacher_member *member,
                                const struct engine_options *base, const char *const *names, struct error *err)
{
    enum status status = STATUS_OK;
    struct onnxruntime_tensor tensors[TEACHER_MAX_OUTPUTS] = {0};
    struct onnxruntime_model model;
    struct engine_options options = *base;
    unsigned char *bytes = NULL;
    const struct foreign_model *foreign = member->model.foreign;
    /* Each thread of a CPU runs one sample at a time; a GPU runs the whole batch. */
    const int batch = teacher->backend == &backend_cpu ? 1 : base->batch;
    tensors[0] = foreign->logits;
    for (int i = 1; i < base->output_count; i++)
        tensors[i].name = names[i];
    if (base->output_count > 1)
        TRY(foreign_model_look(foreign, tensors + 1, base->output_count - 1, err));
    TRY(foreign_model_make(foreign, tensors, base->output_count, batch, &bytes, &model, err));
    options.model = &model;
    TRY(teacher->backend->engine->open(&member->engine, teacher->device, NULL, &options, err));
cleanup:
    free(bytes);
    return status;
}

static enum status start_member(struct teacher *teacher, int i, const struct teacher_engine *engine,
                                const struct cache_manifest *manifest, struct error *err)
{
    enum status status = STATUS_OK;
    struct teacher_member *member = &teacher->members[i];
    const char *names[TEACHER_MAX_OUTPUTS] = {0};
    struct shape shapes[TEACHER_MAX_OUTPUTS];
    struct engine_options options = {.batch = engine->batch,
                                     .in_flight = (engine->in_flight ? engine->in_flight : 1) * teacher_runs(teacher),
                                     .host_memory = (size_t)engine->max_memory,
                                     .precision = member->precision,
                                     .output_count = list_names(member, i == 0, manifest, names)};
    shapes[0] = (struct shape){teacher->classes, 1, 1};
    TRY(teacher_model_find(&member->model, names + 1, options.output_count - 1, shapes + 1, err));
    if (i == 0) {
        teacher->output_count = options.output_count;
        memcpy(teacher->shapes, shapes, sizeof shapes);
    }
    TRY(member->model.foreign ? open_foreign(teacher, member, &options, names, err)
                              : open_native(teacher, member, &options, names, err));
cleanup:
    return status;
}

enum status teacher_start(struct teacher *teacher, const struct teacher_engine *engine,
                          const struct cache_manifest *manifest, struct error *err)
{
    enum status status = STATUS_OK;
    const struct device_options device = {.index = engine->index,
                                          .threads = engine->threads,
                                          .memory_limit = (size_t)engine->gpu_memory,
                                          .deterministic = engine->deterministic};
    const size_t buffers = (size_t)(engine->in_flight ? engine->in_flight : 1);
    teacher->backend = engine->backend;
    teacher->batch = engine->batch;
    TRY(teacher->backend->device->open(&teacher->device, &device, err));
    for (int i = 0; i < teacher->member_count; i++)
        TRY(start_member(teacher, i, engine, manifest, err));
    if (!teacher_is_plain(teacher) || !teacher_gives_logits(teacher))
        TRY(memory_new((void **)&teacher->logits,
                       size_mul(size_mul(buffers, (size_t)engine->batch), (size_t)teacher->classes), sizeof(float),
                       "the teachers' answers", err));
cleanup:
    return status;
}

void teacher_describe(const struct teacher *teacher, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "%s", teacher->backend->device->describe(teacher->device));
    for (int i = 0; i < teacher->member_count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "; %s",
                                 teacher->backend->engine->describe(teacher->members[i].engine));
}

void teacher_kernels(const struct teacher *teacher, char *text, size_t size)
{
    const struct engine_ops *ops = teacher->backend->engine;
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < teacher->member_count && used < size; i++) {
        const char *engine = ops->describe(teacher->members[i].engine);
        char name[96];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(engine, ","), engine);
        if (!strstr(text, name)) /* members mostly run on the same engine */
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", name);
    }
    if (teacher->backend != &backend_cpu && used < size)
        snprintf(text + used, size - used, " on %s", teacher->backend->device->arithmetic(teacher->device, DTYPE_FP32));
}
