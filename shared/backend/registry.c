/* The only file that knows which backends exist. The CUDA backend is a shared object of its own, opened only when it is
 * requested, so that one program starts on machines with and without a driver. */
#include "shared/backend/backend.h"

#include "shared/base/library.h"
#include <stdlib.h>
#include <string.h>

/* "cuda" or "cuda:3"; false: neither. */
static bool parse_cuda(const char *device, int *index)
{
    *index = 0;
    if (strcmp(device, "cuda") == 0)
        return true;
    if (strncmp(device, "cuda:", 5) != 0 || strspn(device + 5, "0123456789") != strlen(device + 5))
        return false;
    const size_t digits = strlen(device + 5);
    if (digits < 1 || digits > 4)
        return false;
    *index = atoi(device + 5);
    return true;
}

static enum status find_cuda(const struct backend **backend, struct error *err)
{
    const void *table = NULL;
    enum status status = library_symbol(BACKEND_CUDA_LIBRARY, BACKEND_CUDA_SYMBOL, &table, err);
    *backend = table;
    return status;
}

/* The GPU if there is one, otherwise the CPU and the reason. */
static void find_best(const struct backend **backend, const char **why)
{
    struct error err = {0};
    *why = NULL;
    if (find_cuda(backend, &err) != STATUS_OK)
        *why = err.path[0] ? "" BACKEND_CUDA_LIBRARY " cannot be loaded: see why with --device cuda"
                           : "this build has no CUDA backend";
    else
        *why = (*backend)->device->missing(0);
    if (*why)
        *backend = &backend_cpu;
}

enum status backend_find(const char *device, const struct backend **backend, int *index, const char **why,
                         struct error *err)
{
    const char *reason = NULL;
    struct error inner = {0};
    *backend = &backend_cpu;
    *index = 0;
    if (why)
        *why = NULL;
    if (strcmp(device, "cpu") == 0)
        return STATUS_OK;
    if (strcmp(device, "auto") == 0) {
        find_best(backend, why ? why : &reason);
        return STATUS_OK;
    }
    *backend = NULL;
    if (!parse_cuda(device, index))
        return error_set(err, STATUS_CONFIG, NULL, "unknown device '%s': use auto, cpu, cuda or cuda:NUMBER", device);
    if (find_cuda(backend, &inner) != STATUS_OK)
        return error_set(err, STATUS_CONFIG, NULL,
                         "device '%s' is not available: %s%s%s; build with nvcc, or use --device cpu", device,
                         inner.path, inner.path[0] ? ": " : "this build has no CUDA backend: ", inner.message);
    reason = (*backend)->device->missing(*index);
    if (reason)
        return error_set(err, STATUS_CONFIG, NULL, "device '%s' is not available: %s, or use --device cpu", device,
                         reason);
    return STATUS_OK;
}
