/* The part of onnxruntime's C interface that we use, declared by ourselves, so that building needs nothing of
 * onnxruntime.
 *
 * libonnxruntime exports one function, OrtGetApiBase(). Its result gives the table of all others for a version of the
 * interface. The table only ever grows at its end: the place of a function never changes, in any version. So a function
 * is its number in the table. ORT_INTERFACE is the oldest version that has all of ours; a library that is older than
 * that has no such table. */
#ifndef SHARED_INFERENCE_ONNXRUNTIME_ORT_API_H
#define SHARED_INFERENCE_ONNXRUNTIME_ORT_API_H

#include <stddef.h>
#include <stdint.h>

#define ORT_INTERFACE 11
#define ORT_OLDEST_LIBRARY "1.11" /* library 1.N has interface N */

struct ort_env;
struct ort_status; /* NULL: success */
struct ort_session;
struct ort_session_options;
struct ort_run_options;
struct ort_value;
struct ort_tensor_info;
struct ort_memory_info;
struct ort_binding;
struct ort_cuda_options;

/* X(number in the table, name, result, parameters); an `enum` parameter is an int here. */
#define ORT_FUNCTIONS(X)                                                                                          \
    X(2, get_error_message, const char *, (const struct ort_status *status))                                      \
    X(3, create_env, struct ort_status *, (int severity, const char *name, struct ort_env **out))                 \
    X(8, create_session_from_array, struct ort_status *,                                                          \
      (const struct ort_env *env, const void *bytes, size_t size, const struct ort_session_options *options,      \
       struct ort_session **out))                                                                                 \
    X(9, run, struct ort_status *,                                                                                \
      (struct ort_session * session, const struct ort_run_options *options, const char *const *input_names,       \
       const struct ort_value *const *inputs, size_t input_count, const char *const *output_names,                \
       size_t output_count, struct ort_value **outputs))                                                          \
    X(10, create_session_options, struct ort_status *, (struct ort_session_options * *out))                       \
    X(23, set_graph_optimization_level, struct ort_status *, (struct ort_session_options * options, int level))   \
    X(24, set_intra_op_threads, struct ort_status *, (struct ort_session_options * options, int threads))         \
    X(25, set_inter_op_threads, struct ort_status *, (struct ort_session_options * options, int threads))         \
    X(39, create_run_options, struct ort_status *, (struct ort_run_options * *out))                               \
    X(49, create_tensor_with_data, struct ort_status *,                                                           \
      (const struct ort_memory_info *place, void *data, size_t bytes, const int64_t *dims, size_t rank, int type, \
       struct ort_value **out))                                                                                   \
    X(50, is_tensor, struct ort_status *, (const struct ort_value *value, int *out))                              \
    X(60, get_element_type, struct ort_status *, (const struct ort_tensor_info *info, int *out))                  \
    X(61, get_rank, struct ort_status *, (const struct ort_tensor_info *info, size_t *out))                       \
    X(62, get_dims, struct ort_status *, (const struct ort_tensor_info *info, int64_t *dims, size_t rank))        \
    X(65, get_tensor_info, struct ort_status *, (const struct ort_value *value, struct ort_tensor_info **out))    \
    X(68, create_memory_info, struct ort_status *,                                                                \
      (const char *name, int allocator, int device, int memory, struct ort_memory_info **out))                    \
    X(92, release_env, void, (struct ort_env * env))                                                              \
    X(93, release_status, void, (struct ort_status * status))                                                     \
    X(94, release_memory_info, void, (struct ort_memory_info * info))                                             \
    X(95, release_session, void, (struct ort_session * session))                                                  \
    X(96, release_value, void, (struct ort_value * value))                                                        \
    X(97, release_run_options, void, (struct ort_run_options * options))                                          \
    X(99, release_tensor_info, void, (struct ort_tensor_info * info))                                             \
    X(100, release_session_options, void, (struct ort_session_options * options))                                 \
    X(130, add_session_option, struct ort_status *,                                                               \
      (struct ort_session_options * options, const char *key, const char *value))                                 \
    X(133, run_with_binding, struct ort_status *,                                                                 \
      (struct ort_session * session, const struct ort_run_options *options, const struct ort_binding *binding))   \
    X(134, create_binding, struct ort_status *, (struct ort_session * session, struct ort_binding * *out))        \
    X(135, release_binding, void, (struct ort_binding * binding))                                                 \
    X(136, bind_input, struct ort_status *,                                                                       \
      (struct ort_binding * binding, const char *name, const struct ort_value *value))                            \
    X(137, bind_output, struct ort_status *,                                                                      \
      (struct ort_binding * binding, const char *name, const struct ort_value *value))                            \
    X(165, add_run_option, struct ort_status *,                                                                   \
      (struct ort_run_options * options, const char *key, const char *value))                                     \
    X(204, append_cuda, struct ort_status *,                                                                      \
      (struct ort_session_options * options, const struct ort_cuda_options *cuda))                                \
    X(205, create_cuda_options, struct ort_status *, (struct ort_cuda_options * *out))                            \
    X(206, update_cuda_options, struct ort_status *,                                                              \
      (struct ort_cuda_options * options, const char *const *keys, const char *const *values, size_t count))      \
    X(208, release_cuda_options, void, (struct ort_cuda_options * options))

/* The same functions, by name. */
struct ort_api {
#define X(number, name, result, parameters) result(*name) parameters;
    ORT_FUNCTIONS(X)
#undef X
};

/* What OrtGetApiBase() returns. */
struct ort_base {
    const void *(*get_api)(uint32_t interface); /* the table: an array of function pointers. NULL: too old */
    const char *(*get_version)(void);           /* "1.22.1" */
};

/* Values of parameters. */
enum { ORT_SEVERITY_FATAL = 4 };
enum { ORT_OPTIMIZE_NOTHING = 0, ORT_OPTIMIZE_ALL = 99 };
enum { ORT_DEVICE_ALLOCATOR = 0, ORT_MEMORY_DEFAULT = 0 };

#endif
