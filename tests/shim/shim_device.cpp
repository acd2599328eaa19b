/* The simulated device, and errors. */
#include "shim.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

static thread_local cudaError_t last_error;

std::recursive_mutex &shim_mutex()
{
    static std::recursive_mutex mutex;
    return mutex;
}

size_t shim_environment(const char *name, size_t otherwise)
{
    const char *const text = getenv(name);
    char *end;
    if (!text || !*text)
        return otherwise;
    const unsigned long long value = strtoull(text, &end, 10);
    if (*end)
        shim_fail("%s=%s: a number is needed", name, text);
    return (size_t)value;
}

cudaError_t shim_error(cudaError_t error)
{
    if (error != cudaSuccess)
        last_error = error;
    return error;
}

struct cudaDeviceProp shim_properties()
{
    const int capability = (int)shim_environment("SHIM_CAPABILITY", 80);
    /* Shared memory of a multiprocessor. A block can have 1 KB less; up to capability 7.5, all of it. */
    const size_t shared = capability < 80                        ? 64
                          : capability == 80 || capability == 87 ? 164
                          : capability < 90 || capability >= 120 ? 100
                                                                 : 228;
    struct cudaDeviceProp properties = {};
    snprintf(properties.name, sizeof properties.name, "execution shim (no GPU)");
    properties.totalGlobalMem = shim_environment("SHIM_MEMORY", (size_t)8 << 30);
    properties.sharedMemPerBlock = 48 << 10;
    properties.regsPerBlock = properties.regsPerMultiprocessor = 65536;
    properties.warpSize = 32;
    properties.maxThreadsPerBlock = properties.maxThreadsDim[0] = properties.maxThreadsDim[1] = 1024;
    properties.maxThreadsDim[2] = 64;
    properties.maxGridSize[0] = 0x7fffffff;
    properties.maxGridSize[1] = properties.maxGridSize[2] = 65535;
    properties.memPitch = 0x7fffffff;
    properties.totalConstMem = 64 << 10;
    properties.major = capability / 10;
    properties.minor = capability % 10;
    properties.multiProcessorCount = 4;
    properties.canMapHostMemory = properties.concurrentKernels = properties.unifiedAddressing = 1;
    properties.asyncEngineCount = 2;
    properties.memoryBusWidth = 64;
    properties.l2CacheSize = 1 << 20;
    properties.maxThreadsPerMultiProcessor = capability < 80 ? 1024 : capability == 80 ? 2048 : 1536;
    properties.sharedMemPerMultiprocessor = shared << 10;
    properties.sharedMemPerBlockOptin = (capability < 80 ? shared : shared - 1) << 10;
    return properties;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = (int)shim_environment("SHIM_DEVICES", 1);
    if (shim_environment("SHIM_DRIVER", CUDART_VERSION) / 1000 < CUDART_VERSION / 1000)
        return shim_error(cudaErrorInsufficientDriver);
    return shim_error(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}

static cudaError_t check_device(int device)
{
    int count;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess)
        return error;
    return shim_error(device >= 0 && device < count ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    const cudaError_t error = check_device(device);
    if (error == cudaSuccess)
        *properties = shim_properties();
    return error;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    struct cudaDeviceProp properties;
    const cudaError_t error = cudaGetDeviceProperties(&properties, device);
    if (error != cudaSuccess)
        return error;
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
        *value = properties.maxThreadsPerBlock;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = (int)properties.sharedMemPerBlock;
        break;
    case cudaDevAttrWarpSize:
        *value = properties.warpSize;
        break;
    case cudaDevAttrMultiProcessorCount:
        *value = properties.multiProcessorCount;
        break;
    case cudaDevAttrIntegrated:
    case cudaDevAttrConcurrentManagedAccess:
        *value = 0;
        break;
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrUnifiedAddressing:
        *value = 1;
        break;
    case cudaDevAttrL2CacheSize:
        *value = properties.l2CacheSize;
        break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        *value = properties.maxThreadsPerMultiProcessor;
        break;
    case cudaDevAttrComputeCapabilityMajor:
        *value = properties.major;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *value = properties.minor;
        break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = (int)properties.sharedMemPerMultiprocessor;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = (int)properties.sharedMemPerBlockOptin;
        break;
    default:
        return shim_error(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}

/* Devices are equal and share their memory: it makes no difference which one is current. */
static thread_local int current_device;

cudaError_t cudaSetDevice(int device)
{
    const cudaError_t error = check_device(device);
    if (error == cudaSuccess)
        current_device = device;
    return error;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = current_device;
    return check_device(current_device);
}

cudaError_t cudaSetDeviceFlags(unsigned int)
{
    return check_device(current_device);
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

/* 0 if no driver is installed, as the real function. SHIM_DRIVER: another version, such as 12040, which is
 * too old if its first number is smaller than the runtime's. */
cudaError_t cudaDriverGetVersion(int *version)
{
    *version = shim_environment("SHIM_DEVICES", 1) ? shim_environment("SHIM_DRIVER", CUDART_VERSION) : 0;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

static const struct {
    cudaError_t error;
    const char *name, *text;
} errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidDevicePointer, "cudaErrorInvalidDevicePointer", "invalid device pointer"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered",
     "part or all of the requested memory range is already mapped"},
    {cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered",
     "pointer does not correspond to a registered memory region"},
    {cudaErrorNotPermitted, "cudaErrorNotPermitted", "operation not permitted"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
     "operation would result in a merge of separate capture sequences"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
};

const char *cudaGetErrorName(cudaError_t error)
{
    for (const auto &known : errors)
        if (known.error == error)
            return known.name;
    return "cudaErrorUnknown";
}

const char *cudaGetErrorString(cudaError_t error)
{
    for (const auto &known : errors)
        if (known.error == error)
            return known.text;
    return "unknown error";
}
