#include "shared/inference/cudnn/cublas_library.h"

#include <dlfcn.h>

enum status cublas_library_open(struct cublas_library *library, struct error *err)
{
    static const char *const files[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
    void *handle = NULL;
    for (int i = 0; i < 2 && !handle; i++)
        handle = dlopen(files[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle)
        return error_set(err, STATUS_CONFIG, NULL,
                         "neither %s nor %s can be loaded: install cuBLAS, or name its folder in LD_LIBRARY_PATH",
                         files[0], files[1]);
#define CUBLAS_FIND(name)                            \
    *(void **)&library->name = dlsym(handle, #name); \
    if (!library->name)                              \
        return error_set(err, STATUS_CONFIG, NULL, "cuBLASLt has no function %s: install cuBLAS 12 or 13", #name);
    CUBLAS_FUNCTIONS(CUBLAS_FIND)
#undef CUBLAS_FIND
    return STATUS_OK;
}
