/* How much memory a program may still use. */
#define _POSIX_C_SOURCE 200809L
#include "shared/base/memory.h"

#include <stdint.h>
#include <stdio.h>

/* A number that a file of the kernel holds; SIZE_MAX if it says "max" or is not there. */
static size_t read_limit(const char *path)
{
    unsigned long long bytes;
    FILE *file = fopen(path, "re");
    const int read = file ? fscanf(file, "%llu", &bytes) : 0;
    if (file)
        fclose(file);
    return read == 1 ? (size_t)bytes : SIZE_MAX;
}

static size_t machine_available(void)
{
    char line[128];
    unsigned long long kilobytes;
    size_t bytes = SIZE_MAX;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file && bytes == SIZE_MAX && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %llu kB", &kilobytes) == 1)
            bytes = size_mul((size_t)kilobytes, 1024);
    if (file)
        fclose(file);
    return bytes;
}

size_t memory_available(void)
{
    /* limits of a container, of control groups version 2 and 1 */
    const size_t limits[] = {machine_available(), read_limit("/sys/fs/cgroup/memory.max"),
                             read_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes")};
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        least = limits[i] < least ? limits[i] : least;
    return least;
}
