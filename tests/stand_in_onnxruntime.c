/* A stand-in for libonnxruntime.so, with the functions of ort_api.h: it shows how our side finds a library, checks its
 * version, lays out tensors and reports errors, where no onnxruntime is installed, and, with the shim, that of a GPU.
 *
 * It knows one network, whatever the model's bytes are, of an input [b, 3, h, w] or [b, h, w, 3], float or float16:
 *   map     [b, 3, h, w]  2 * input
 *   tokens  [b, h * w, 3] 3 * input
 *   logits  [b, 3]        the mean of each channel, times 4
 * Environment: STAND_IN_VERSION (1.22.0); STAND_IN_BATCH: the only number of samples that it runs; STAND_IN_CUDA:
 * the shim's softcache_cuda.so; then it has a CUDA provider, which works on the shim's streams. */
#include "shared/inference/onnxruntime/ort_api.h"
#include "shared/tensor/half.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FLOAT = 1, HALF = 10, MAX_BOUND = 8, MAX_RANK = 8, TABLE_SIZE = 256 };

struct ort_env {
    int unused;
};
struct ort_status {
    char text[200];
};
struct ort_session {
    void *stream; /* NULL: on the CPU */
};
struct ort_session_options {
    void *stream;
};
struct ort_run_options {
    int unused;
};
struct ort_memory_info {
    int unused;
};
struct ort_cuda_options {
    void *stream;
};
struct ort_value {
    int type;
    size_t rank;
    int64_t dims[MAX_RANK];
    void *data;
    bool owned;
};
struct ort_tensor_info {
    const struct ort_value *value;
};
struct ort_binding {
    const struct ort_value *input;
    const char *names[MAX_BOUND];
    const struct ort_value *outputs[MAX_BOUND];
    size_t count;
};

#define X(number, name, result, parameters) static result name parameters;
ORT_FUNCTIONS(X)
#undef X

static struct ort_status *fail(const char *text)
{
    struct ort_status *status = calloc(1, sizeof *status);
    snprintf(status->text, sizeof status->text, "%s", text);
    return status;
}

static const char *get_error_message(const struct ort_status *status)
{
    return status->text;
}

static void release_status(struct ort_status *status)
{
    free(status);
}

/* ---- objects ---- */
#define MAKE(type)                                    \
    static struct type *new_##type(struct type **out) \
    {                                                 \
        *out = calloc(1, sizeof **out);               \
        return *out;                                  \
    }
MAKE(ort_env)
MAKE(ort_session)
MAKE(ort_session_options)
MAKE(ort_run_options)
MAKE(ort_memory_info)
MAKE(ort_cuda_options)
MAKE(ort_tensor_info)
MAKE(ort_binding)
MAKE(ort_value)

static struct ort_status *create_env(int severity, const char *name, struct ort_env **out)
{
    (void)severity, (void)name;
    return new_ort_env(out) ? NULL : fail("memory");
}
static void release_env(struct ort_env *env)
{
    free(env);
}
static struct ort_status *create_session_options(struct ort_session_options **out)
{
    return new_ort_session_options(out) ? NULL : fail("memory");
}
static void release_session_options(struct ort_session_options *options)
{
    free(options);
}
static struct ort_status *set_graph_optimization_level(struct ort_session_options *options, int level)
{
    (void)options;
    return level == ORT_OPTIMIZE_NOTHING || level == ORT_OPTIMIZE_ALL ? NULL : fail("no such level");
}
static struct ort_status *set_intra_op_threads(struct ort_session_options *options, int threads)
{
    (void)options;
    return threads == 1 ? NULL : fail("one thread, please");
}
static struct ort_status *set_inter_op_threads(struct ort_session_options *options, int threads)
{
    return set_intra_op_threads(options, threads);
}
static struct ort_status *add_session_option(struct ort_session_options *options, const char *key, const char *value)
{
    return options && key && value ? NULL : fail("an option needs a key and a value");
}
static struct ort_status *create_session_from_array(const struct ort_env *env, const void *bytes, size_t size,
                                                    const struct ort_session_options *options, struct ort_session **out)
{
    if (!env || !bytes || size < 2)
        return fail("no model");
    if (!new_ort_session(out))
        return fail("memory");
    (*out)->stream = options->stream;
    return NULL;
}
static void release_session(struct ort_session *session)
{
    free(session);
}
static struct ort_status *create_run_options(struct ort_run_options **out)
{
    return new_ort_run_options(out) ? NULL : fail("memory");
}
static void release_run_options(struct ort_run_options *options)
{
    free(options);
}
static struct ort_status *add_run_option(struct ort_run_options *options, const char *key, const char *value)
{
    (void)options;
    return strcmp(key, "disable_synchronize_execution_providers") == 0 && strcmp(value, "1") == 0 ? NULL : fail(key);
}
static struct ort_status *create_memory_info(const char *name, int allocator, int device, int memory,
                                             struct ort_memory_info **out)
{
    (void)allocator, (void)device, (void)memory;
    if (strcmp(name, "Cpu") != 0 && strcmp(name, "Cuda") != 0)
        return fail("no such memory");
    return new_ort_memory_info(out) ? NULL : fail("memory");
}
static void release_memory_info(struct ort_memory_info *info)
{
    free(info);
}

/* ---- tensors ---- */
static size_t count_of(const struct ort_value *value)
{
    size_t count = 1;
    for (size_t i = 0; i < value->rank; i++)
        count *= (size_t)value->dims[i];
    return count;
}
static struct ort_status *create_tensor_with_data(const struct ort_memory_info *place, void *data, size_t bytes,
                                                  const int64_t *dims, size_t rank, int type, struct ort_value **out)
{
    if (!place || !data || rank > MAX_RANK || !new_ort_value(out))
        return fail("no tensor");
    (*out)->type = type;
    (*out)->rank = rank;
    memcpy((*out)->dims, dims, rank * sizeof *dims);
    (*out)->data = data;
    if (bytes == count_of(*out) * (type == HALF ? 2 : 4))
        return NULL;
    release_value(*out);
    *out = NULL;
    return fail("the memory has another size than the tensor");
}
static void release_value(struct ort_value *value)
{
    if (value->owned)
        free(value->data);
    free(value);
}
static struct ort_status *is_tensor(const struct ort_value *value, int *out)
{
    *out = value != NULL;
    return NULL;
}
static struct ort_status *get_tensor_info(const struct ort_value *value, struct ort_tensor_info **out)
{
    if (!new_ort_tensor_info(out))
        return fail("memory");
    (*out)->value = value;
    return NULL;
}
static void release_tensor_info(struct ort_tensor_info *info)
{
    free(info);
}
static struct ort_status *get_element_type(const struct ort_tensor_info *info, int *out)
{
    *out = info->value->type;
    return NULL;
}
static struct ort_status *get_rank(const struct ort_tensor_info *info, size_t *out)
{
    *out = info->value->rank;
    return NULL;
}
static struct ort_status *get_dims(const struct ort_tensor_info *info, int64_t *dims, size_t rank)
{
    memcpy(dims, info->value->dims, rank * sizeof *dims);
    return NULL;
}

/* ---- the network ---- */
static float get(const struct ort_value *value, size_t i)
{
    return value->type == HALF ? half_to_float(((const uint16_t *)value->data)[i]) : ((const float *)value->data)[i];
}

static void set(const struct ort_value *value, size_t i, float number)
{
    if (value->type == HALF)
        ((uint16_t *)value->data)[i] = half_from_float(number);
    else
        ((float *)value->data)[i] = number;
}

/* Input [n, c, pixel] of 3 channels, in either layout. */
static float input_at(const struct ort_value *input, size_t n, size_t c, size_t pixel)
{
    const bool last = input->dims[1] != 3;
    const size_t pixels = count_of(input) / (size_t)input->dims[0] / 3;
    return get(input, n * 3 * pixels + (last ? pixel * 3 + c : c * pixels + pixel));
}

static struct ort_value shape_of(const char *name, const struct ort_value *input)
{
    const int64_t b = input->dims[0], pixels = (int64_t)count_of(input) / b / 3, h = input->dims[2];
    struct ort_value value = {.type = input->type, .rank = 2, .dims = {b, 3}};
    if (strcmp(name, "map") == 0)
        value = (struct ort_value){.type = input->type, .rank = 4, .dims = {b, 3, h, pixels / h}};
    if (strcmp(name, "tokens") == 0)
        value = (struct ort_value){.type = input->type, .rank = 3, .dims = {b, pixels, 3}};
    return value;
}

static void compute_one(const char *name, const struct ort_value *input, const struct ort_value *out)
{
    const size_t batch = (size_t)input->dims[0], pixels = count_of(input) / batch / 3;
    for (size_t n = 0; n < batch; n++)
        for (size_t c = 0; c < 3; c++) {
            double sum = 0;
            for (size_t p = 0; p < pixels; p++) {
                const float x = input_at(input, n, c, p);
                sum += (double)x;
                if (strcmp(name, "map") == 0)
                    set(out, (n * 3 + c) * pixels + p, 2 * x);
                if (strcmp(name, "tokens") == 0)
                    set(out, (n * pixels + p) * 3 + c, 3 * x);
            }
            if (strcmp(name, "logits") == 0)
                set(out, n * 3 + c, (float)(4 * sum / (double)pixels));
        }
}

static struct ort_status *compute(const struct ort_value *input, const char *const *names,
                                  const struct ort_value *const *outputs, size_t count)
{
    const char *only = getenv("STAND_IN_BATCH");
    if (only && input->dims[0] != atoi(only))
        return fail("this model runs another number of samples");
    for (size_t i = 0; i < count; i++) {
        const struct ort_value wanted = shape_of(names[i], input);
        if (strcmp(names[i], "map") != 0 && strcmp(names[i], "tokens") != 0 && strcmp(names[i], "logits") != 0)
            return fail("no such output");
        if (outputs[i]->rank != wanted.rank || outputs[i]->type != wanted.type ||
            memcmp(outputs[i]->dims, wanted.dims, wanted.rank * sizeof *wanted.dims) != 0)
            return fail("an output has another shape");
        compute_one(names[i], input, outputs[i]);
    }
    return NULL;
}

static struct ort_status *run(struct ort_session *session, const struct ort_run_options *options,
                              const char *const *input_names, const struct ort_value *const *inputs, size_t input_count,
                              const char *const *output_names, size_t output_count, struct ort_value **outputs)
{
    (void)options;
    if (session->stream || input_count != 1 || strcmp(input_names[0], "input") != 0)
        return fail("not so");
    for (size_t i = 0; i < output_count; i++) {
        if (outputs[i])
            continue;
        if (!new_ort_value(&outputs[i]))
            return fail("memory");
        *outputs[i] = shape_of(output_names[i], inputs[0]);
        outputs[i]->owned = true;
        outputs[i]->data = calloc(count_of(outputs[i]), sizeof(float));
    }
    return compute(inputs[0], output_names, (const struct ort_value *const *)outputs, output_count);
}

/* ---- on a GPU: the shim's device memory is the host's ---- */
static struct ort_status *create_cuda_options(struct ort_cuda_options **out)
{
    if (!getenv("STAND_IN_CUDA"))
        return fail("CUDA execution provider is not enabled in this build");
    return new_ort_cuda_options(out) ? NULL : fail("memory");
}
static struct ort_status *update_cuda_options(struct ort_cuda_options *options, const char *const *keys,
                                              const char *const *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!values[i][0] || values[i][strspn(values[i], "0123456789")])
            return fail(keys[i]);
        if (strcmp(keys[i], "user_compute_stream") == 0)
            options->stream = (void *)(uintptr_t)strtoull(values[i], NULL, 10);
    }
    return NULL;
}
static struct ort_status *append_cuda(struct ort_session_options *options, const struct ort_cuda_options *cuda)
{
    options->stream = cuda->stream;
    return cuda->stream ? NULL : fail("no stream");
}
static void release_cuda_options(struct ort_cuda_options *options)
{
    free(options);
}
static struct ort_status *create_binding(struct ort_session *session, struct ort_binding **out)
{
    return session->stream && new_ort_binding(out) ? NULL : fail("no binding");
}
static void release_binding(struct ort_binding *binding)
{
    free(binding);
}
static struct ort_status *bind_input(struct ort_binding *binding, const char *name, const struct ort_value *value)
{
    binding->input = value;
    return strcmp(name, "input") == 0 ? NULL : fail("no such input");
}
static struct ort_status *bind_output(struct ort_binding *binding, const char *name, const struct ort_value *value)
{
    for (size_t i = 0; i < binding->count; i++)
        if (strcmp(binding->names[i], name) == 0)
            return fail("bound twice");
    binding->names[binding->count] = name;
    binding->outputs[binding->count++] = value;
    return NULL;
}
/* When the stream comes to it, as on a GPU: what is bound must be ready then, and not before. */
static void run_later(void *data)
{
    const struct ort_binding *binding = data;
    struct ort_status *status = compute(binding->input, binding->names, binding->outputs, binding->count);
    if (status) {
        fprintf(stderr, "stand-in: %s\n", status->text);
        abort();
    }
}

static struct ort_status *run_with_binding(struct ort_session *session, const struct ort_run_options *options,
                                           const struct ort_binding *binding)
{
    int (*enqueue)(void *stream, void (*function)(void *), void *data) = NULL;
    void *shim = dlopen(getenv("STAND_IN_CUDA"), RTLD_NOW | RTLD_NOLOAD);
    void *symbol = shim ? dlsym(shim, "cudaLaunchHostFunc") : NULL;
    memcpy(&enqueue, &symbol, sizeof symbol);
    if (!session->stream || !options || !enqueue)
        return fail("not so");
    dlclose(shim);
    return enqueue(session->stream, run_later, (void *)(uintptr_t)binding) == 0 ? NULL : fail("the stream refuses");
}

/* ---- the table ---- */
static const char *get_version(void)
{
    const char *version = getenv("STAND_IN_VERSION");
    return version ? version : "1.22.0";
}

static const void *get_api(uint32_t interface)
{
    static void *table[TABLE_SIZE];
    if ((int)interface > atoi(get_version() + 2))
        return NULL;
#define X(number, name, result, parameters)                \
    {                                                      \
        result(*function) parameters = name;               \
        memcpy(&table[number], &function, sizeof(void *)); \
    }
    ORT_FUNCTIONS(X)
#undef X
    return table;
}

const struct ort_base *OrtGetApiBase(void);
const struct ort_base *OrtGetApiBase(void)
{
    static const struct ort_base base = {get_api, get_version};
    return &base;
}
