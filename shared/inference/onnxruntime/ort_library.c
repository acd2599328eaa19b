#define _GNU_SOURCE
#include "shared/inference/onnxruntime/ort_library.h"

#include "shared/base/files.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_CAPACITY = 4096 };

/* ---- the table ---- */

enum status ort_check(const struct ort_library *ort, struct ort_status *status, const char *path, const char *doing,
                      struct error *err)
{
    if (!status)
        return STATUS_OK;
    error_set(err, STATUS_CONFIG, path, "onnxruntime %s, %s: %.700s", ort->version, doing,
              ort->api.get_error_message(status));
    ort->api.release_status(status);
    return STATUS_CONFIG;
}

/* A function pointer out of a table of them: C has no cast from void * to it. */
static void take(void *function, const void *table, int number)
{
    memcpy(function, (const char *)table + (size_t)number * sizeof(void *), sizeof(void *));
}

static enum status start_env(struct ort_library *ort, const char *file, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(ort_check(ort, ort->api.create_env(ORT_SEVERITY_FATAL, "softcache", &ort->env), file, "starting it", err));
    TRY(ort_check(ort, ort->api.create_memory_info("Cpu", ORT_DEVICE_ALLOCATOR, 0, ORT_MEMORY_DEFAULT, &ort->host),
                  file, "starting it", err));
cleanup:
    return status;
}

/* Fills *ort from an opened library. */
static enum status read_library(struct ort_library *ort, void *library, const char *name, struct error *err)
{
    const struct ort_base *(*get_base)(void) = NULL;
    int major = 0, minor = 0;
    void *symbol = dlsym(library, "OrtGetApiBase");
    Dl_info place;
    memcpy(&get_base, &symbol, sizeof symbol);
    if (!get_base)
        return error_set(err, STATUS_CONFIG, name, "is not libonnxruntime: it has no OrtGetApiBase");
    const struct ort_base *base = get_base();
    snprintf(ort->file, sizeof ort->file, "%s", dladdr(symbol, &place) && place.dli_fname ? place.dli_fname : name);
    ort->version = base->get_version();
    /* Asked for an interface that it does not have, the library writes to stderr: so the version is looked at first. */
    const bool known = sscanf(ort->version, "%d.%d", &major, &minor) == 2;
    const void *table = !known || major > 1 || minor >= ORT_INTERFACE ? base->get_api(ORT_INTERFACE) : NULL;
    if (!table)
        return error_set(err, STATUS_CONFIG, ort->file,
                         "is onnxruntime %s, but " ORT_OLDEST_LIBRARY " or newer is needed: pip install -U onnxruntime",
                         ort->version);
#define X(number, function, result, parameters) take(&ort->api.function, table, number);
    ORT_FUNCTIONS(X)
#undef X
    return start_env(ort, ort->file, err);
}

/* ---- finding it ---- */

/* Opens a file, or a name on the loader's path. *found: it is there, usable or not. */
static enum status open_library(struct ort_library *ort, const char *name, bool *found, struct error *err)
{
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    *found = library || (strchr(name, '/') && file_exists(name));
    if (!library)
        return error_set(err, STATUS_CONFIG, name, "cannot be loaded: %s", dlerror());
    const enum status status = read_library(ort, library, name, err);
    dlclose(library);
    return status;
}

/* SOFTCACHE_ONNXRUNTIME: what the user asks for is taken, or refused with its reason. */
static enum status open_named(struct ort_library *ort, const char *place, struct error *err)
{
    static const char *const below[] = {"", "/lib", "/capi"};
    char folder[PATH_CAPACITY], file[PATH_CAPACITY];
    bool found;
    if (file_exists(place) && !folder_exists(place))
        return open_library(ort, place, &found, err);
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        snprintf(folder, sizeof folder, "%s%s", place, below[i]);
        if (ort_file_in(folder, file, sizeof file))
            return open_library(ort, file, &found, err);
    }
    return error_set(err, STATUS_CONFIG, place,
                     "SOFTCACHE_ONNXRUNTIME names it, but it is neither libonnxruntime.so nor a folder that has one");
}

static enum status open_wheel(struct ort_library *ort, bool *found, struct error *err)
{
    const char *python = getenv("SOFTCACHE_PYTHON");
    char folder[PATH_CAPACITY - 8], capi[PATH_CAPACITY], file[PATH_CAPACITY];
    *found = false;
    if (!ort_python_folder(python && python[0] ? python : "python3", folder, sizeof folder))
        return STATUS_CONFIG;
    snprintf(capi, sizeof capi, "%s/capi", folder);
    if (!folder_exists(capi))
        return STATUS_CONFIG;
    *found = true;
    if (!ort_file_in(capi, file, sizeof file))
        return error_set(
            err, STATUS_CONFIG, capi,
            "this Python package has no libonnxruntime, as it is older than 1.19: pip install -U onnxruntime");
    return open_library(ort, file, found, err);
}

/* Of all places where it might be, the first where it works; otherwise the first reason why it does not. */
static enum status open_any(struct ort_library *ort, struct error *err)
{
    static const char *const names[] = {"libonnxruntime.so.1", "libonnxruntime.so"};
    const char *named = getenv("SOFTCACHE_ONNXRUNTIME");
    struct error why = {0};
    if (named && named[0])
        return open_named(ort, named, err);
    for (int i = 0; i < 3; i++) {
        struct error reason = {0};
        bool found;
        const enum status status =
            i < 2 ? open_library(ort, names[i], &found, &reason) : open_wheel(ort, &found, &reason);
        if (status == STATUS_OK)
            return STATUS_OK;
        if (found && !why.message[0])
            why = reason;
    }
    if (why.message[0])
        return error_set(err, STATUS_CONFIG, why.path, "%s", why.message);
    return error_set(
        err, STATUS_CONFIG, NULL,
        "onnxruntime is neither on the loader's path nor a package of python3: pip install onnxruntime (or "
        "onnxruntime-gpu), or name libonnxruntime.so in SOFTCACHE_ONNXRUNTIME");
}

enum status ort_library(const struct ort_library **out, struct error *err)
{
    static struct ort_library loaded;
    static bool ready;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    enum status status = STATUS_OK;
    pthread_mutex_lock(&lock);
    if (!ready) {
        status = open_any(&loaded, err);
        ready = status == STATUS_OK;
    }
    *out = ready ? &loaded : NULL;
    pthread_mutex_unlock(&lock);
    return status;
}
