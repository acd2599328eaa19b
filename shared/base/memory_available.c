/* How much memory a program may still use. */
#define _GNU_SOURCE
#include "shared/base/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { GROUP_SIZE = 3000, FOLDER_SIZE = 3600, PATH_SIZE = 4096 };

/* A number that a file of the kernel holds; SIZE_MAX if it says "max" or is not there. */
static size_t read_number(const char *path)
{
    unsigned long long number;
    FILE *file = fopen(path, "re");
    const int read = file ? fscanf(file, "%llu", &number) : 0;
    if (file)
        fclose(file);
    return read == 1 ? (size_t)number : SIZE_MAX;
}

/* The number of a line that `format` describes; SIZE_MAX if it is not there. */
static size_t read_line(const char *path, const char *format)
{
    char line[128];
    unsigned long long number;
    size_t found = SIZE_MAX;
    FILE *file = fopen(path, "re");
    while (file && found == SIZE_MAX && fgets(line, sizeof line, file))
        if (sscanf(line, format, &number) == 1)
            found = (size_t)number;
    if (file)
        fclose(file);
    return found;
}

static size_t kilobytes(size_t number)
{
    return number == SIZE_MAX ? SIZE_MAX : size_mul(number, 1024);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- control groups: containers, jobs of a cluster, services ---- */

/* One of the two versions: where it is mounted, how a line of /proc/self/cgroup begins, and its files. */
struct hierarchy {
    const char *mount, *line, *most, *used;
    const char *reclaimable[2]; /* pages of files that were read once, and more than once */
};
static const struct hierarchy hierarchies[] = {
    {"/sys/fs/cgroup", "0::", "memory.max", "memory.current", {"inactive_file %llu", "active_file %llu"}},
    {"/sys/fs/cgroup/memory",
     "memory:",
     "memory.limit_in_bytes",
     "memory.usage_in_bytes",
     {"total_inactive_file %llu", "total_active_file %llu"}},
};

/* The group of this process, "/a/b"; "" for the root, or if it is not known. */
static void read_group(const char *root, const struct hierarchy *hierarchy, char group[GROUP_SIZE])
{
    char path[PATH_SIZE], line[GROUP_SIZE];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    group[0] = '\0';
    while (file && fgets(line, sizeof line, file)) {
        const char *name = strstr(line, hierarchy->line), *at = name ? strchr(name, '/') : NULL;
        if (at)
            snprintf(group, GROUP_SIZE, "%.*s", (int)strcspn(at, "\n"), at);
    }
    if (file)
        fclose(file);
}

/* What a group may still take. Pages of files that it has read count as used, but give way. */
static size_t group_left(const char *folder, const struct hierarchy *hierarchy)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", folder, hierarchy->most);
    const size_t most = read_number(path);
    snprintf(path, sizeof path, "%s/%s", folder, hierarchy->used);
    size_t kept = read_number(path);
    if (most == SIZE_MAX || kept == SIZE_MAX)
        return most;
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    for (int i = 0; i < 2; i++) {
        const size_t pages = read_line(path, hierarchy->reclaimable[i]);
        kept -= pages == SIZE_MAX ? 0 : smaller(pages, kept); /* the files are not read at one moment */
    }
    return kept < most ? most - kept : 0;
}

/* A group is held to the limits of all groups that it lies in. In a container its own group may be mounted as the root:
 * then there is no folder of its name, and the search goes on further up. */
static size_t groups_left(const char *root, const struct hierarchy *hierarchy)
{
    char folder[FOLDER_SIZE], group[GROUP_SIZE];
    size_t least = SIZE_MAX;
    read_group(root, hierarchy, group);
    for (;;) {
        snprintf(folder, sizeof folder, "%.500s%s%s", root, hierarchy->mount, group);
        least = smaller(least, group_left(folder, hierarchy));
        char *end = strrchr(group, '/');
        if (!end)
            return least;
        *end = '\0';
    }
}

/* ---- */

/* What `ulimit -v` and `ulimit -d` leave. */
static size_t limits_left(void)
{
    const struct {
        int resource;
        const char *line;
    } limits[] = {{RLIMIT_AS, "VmSize: %llu kB"}, {RLIMIT_DATA, "VmData: %llu kB"}};
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit limit;
        const size_t used = kilobytes(read_line("/proc/self/status", limits[i].line));
        if (getrlimit(limits[i].resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && used != SIZE_MAX)
            least = smaller(least, used < limit.rlim_cur ? (size_t)limit.rlim_cur - used : 0);
    }
    return least;
}

size_t memory_available_under(const char *root)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    size_t least = kilobytes(read_line(path, "MemAvailable: %llu kB"));
    for (size_t i = 0; i < sizeof hierarchies / sizeof *hierarchies; i++)
        least = smaller(least, groups_left(root, &hierarchies[i]));
    return least;
}

size_t memory_available(void)
{
    return smaller(memory_available_under(""), limits_left());
}

size_t memory_used(void)
{
    return kilobytes(read_line("/proc/self/status", "VmData: %llu kB"));
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
