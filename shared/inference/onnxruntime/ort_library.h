/* Finds and loads libonnxruntime, once per process. */
#ifndef SHARED_INFERENCE_ONNXRUNTIME_ORT_LIBRARY_H
#define SHARED_INFERENCE_ONNXRUNTIME_ORT_LIBRARY_H

#include "shared/base/error.h"
#include "shared/inference/onnxruntime/ort_api.h"
#include <stdbool.h>

struct ort_library {
    struct ort_api api;
    struct ort_env *env;
    struct ort_memory_info *host; /* describes the host's memory */
    const char *version;
    char file[4096];
};

/* The library, loaded by the first call that succeeds and kept until the program ends. STATUS_CONFIG says where it was
 * looked for and what to install. */
enum status ort_library(const struct ort_library **out, struct error *err);

/* STATUS_OK for NULL; otherwise releases the status and returns STATUS_CONFIG with what onnxruntime says. path: of the
 * model, for the message; doing: "running it". */
enum status ort_check(const struct ort_library *ort, struct ort_status *status, const char *path, const char *doing,
                      struct error *err);

/* ort_place.c: a folder's libonnxruntime.so, or libonnxruntime.so.VERSION. False if there is none. */
bool ort_file_in(const char *folder, char *file, size_t size);
/* ort_place.c: the folder of Python's package onnxruntime. False if there is no Python, or no such package. */
bool ort_python_folder(const char *python, char *folder, size_t size);

#endif
