/* How much memory a program may still use. */
#define _GNU_SOURCE
#include "shared/base/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>

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

/* A line "NAME: 123 kB" of a file of the kernel, in bytes; SIZE_MAX if it is not there. */
static size_t read_line(const char *path, const char *format)
{
    char line[128];
    unsigned long long kilobytes;
    size_t bytes = SIZE_MAX;
    FILE *file = fopen(path, "re");
    while (file && bytes == SIZE_MAX && fgets(line, sizeof line, file))
        if (sscanf(line, format, &kilobytes) == 1)
            bytes = size_mul((size_t)kilobytes, 1024);
    if (file)
        fclose(file);
    return bytes;
}

size_t memory_available(void)
{
    /* limits of a container, of control groups version 2 and 1 */
    const size_t limits[] = {read_line("/proc/meminfo", "MemAvailable: %llu kB"),
                             read_limit("/sys/fs/cgroup/memory.max"),
                             read_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes")};
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        least = limits[i] < least ? limits[i] : least;
    return least;
}

size_t memory_used(void)
{
    return read_line("/proc/self/status", "VmData: %llu kB");
}

/* RLIMIT_DATA counts what is written to and private, not what is only reserved. */
void memory_limit_begin(struct memory_limit *limit, size_t more)
{
    struct rlimit data;
    const size_t now = memory_used();
    limit->held = false;
    if (now == SIZE_MAX || getrlimit(RLIMIT_DATA, &data) != 0)
        return;
    limit->before = data.rlim_cur;
    const size_t most = more < SIZE_MAX - now ? now + more : SIZE_MAX;
    if (most >= data.rlim_cur)
        return;
    data.rlim_cur = most;
    limit->held = setrlimit(RLIMIT_DATA, &data) == 0;
}

void memory_limit_end(struct memory_limit *limit)
{
    struct rlimit data;
    if (!limit->held || getrlimit(RLIMIT_DATA, &data) != 0)
        return;
    data.rlim_cur = (rlim_t)limit->before;
    setrlimit(RLIMIT_DATA, &data);
    limit->held = false;
}
