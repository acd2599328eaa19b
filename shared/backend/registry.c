/* Which backends exist: the only file that knows. */
#include "shared/backend/backend.h"

#include <string.h>

enum status backend_find(const char *device, const struct backend **backend, int *index, const char **why,
                         struct error *err)
{
    *backend = &backend_cpu;
    *index = 0;
    if (why)
        *why = NULL;
    if (strcmp(device, "cpu") == 0)
        return STATUS_OK;
    if (strcmp(device, "auto") == 0) {
        if (why)
            *why = "this build has no CUDA backend";
        return STATUS_OK;
    }
    *backend = NULL;
    if (strncmp(device, "cuda", 4) == 0 && (device[4] == '\0' || device[4] == ':'))
        return error_set(err, STATUS_CONFIG, NULL,
                         "device '%s' cannot be had: this build has no CUDA backend; use --device cpu", device);
    return error_set(err, STATUS_CONFIG, NULL, "unknown device '%s': use auto, cpu, cuda or cuda:NUMBER", device);
}
