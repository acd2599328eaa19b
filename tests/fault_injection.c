/* A library for LD_PRELOAD that lets one call of a program fail, to test that every failure is handled. Not a test.
 *
 *   FAULT=alloc:N       the N-th allocation of our code fails; alloc:N+ that one and all after it
 *   FAULT=file:N:ERROR  the N-th call of our code on a file fails with EIO, ENOSPC or EINTR, or does half (SHORT: reads
 *                       and writes), or kills the process before (KILL) or after (KILLED) it was made, or writes a
 *                       wrong byte and says nothing (WRONG); file:N+:ERROR from then on
 *   FAULT=path:END:ERROR  every openat and fstatat of a name that ends with END fails
 *   FAULT=space:BYTES   every disk says that it has so many bytes free
 *   FAULT_LOG=FILE      gets "allocations A files F" at the end, and the call that was made to fail
 *
 * Calls of the loader and of OpenMP's runtime are left alone: they end the process when memory runs out. Those of
 * oneDNN, libhdf5 and the C++ runtime fail like ours. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static atomic_long allocations, files;
static long fail_allocation, fail_file, space = -1;
static bool for_good, set_up;
static char kind[16], fail_path[64];

__attribute__((constructor)) static void read_environment(void)
{
    const char *fault = getenv("FAULT");
    char plus = 0;
    if (fault && sscanf(fault, "alloc:%ld%c", &fail_allocation, &plus) >= 1)
        for_good = plus == '+';
    else if (fault && sscanf(fault, "file:%ld%c", &fail_file, &plus) == 2) {
        for_good = plus == '+';
        snprintf(kind, sizeof kind, "%s", strrchr(fault, ':') + 1);
    } else if (fault && sscanf(fault, "space:%ld", &space) == 1)
        fail_path[0] = 0;
    else if (fault && sscanf(fault, "path:%63[^:]:%15s", fail_path, kind) != 2)
        fail_path[0] = 0;
    set_up = true;
}

static void note(const char *format, ...)
{
    const char *path = getenv("FAULT_LOG");
    char text[256];
    va_list args;
    if (!path)
        return;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int (*really_open)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    ssize_t (*really_write)(int, const void *, size_t) =
        (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    int file = really_open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (file >= 0 && really_write(file, text, (size_t)length) > 0) {
        int (*really_close)(int) = (int (*)(int))dlsym(RTLD_NEXT, "close");
        really_close(file);
    }
}

__attribute__((destructor)) static void report(void)
{
    note("allocations %ld files %ld\n", atomic_load(&allocations), atomic_load(&files));
}

static _Thread_local bool inside; /* dladdr and dlsym may allocate */

static bool is_ours(const void *caller)
{
    static const char *const theirs[] = {"libgomp", "ld-linux", "libcmocka"};
    Dl_info info;
    bool ours = true;
    if (!set_up || inside)
        return false;
    inside = true;
    if (!dladdr(caller, &info) || !info.dli_fname)
        ours = false;
    for (size_t i = 0; ours && i < sizeof theirs / sizeof *theirs; i++)
        ours = !strstr(info.dli_fname, theirs[i]);
    inside = false;
    return ours;
}

static bool is_due(long number, long wanted)
{
    return wanted > 0 && (for_good ? number >= wanted : number == wanted);
}

static bool allocation_fails(const void *caller)
{
    if (!is_ours(caller))
        return false;
    long number = atomic_fetch_add(&allocations, 1) + 1;
    if (!is_due(number, fail_allocation))
        return false;
    static atomic_bool noted; /* the first one of a library, which may crash at it */
    Dl_info info = {0};
    inside = true;
    dladdr(caller, &info);
    inside = false;
    const bool theirs = info.dli_fname && (strstr(info.dli_fname, "libhdf5") || strstr(info.dli_fname, "libdnnl"));
    if (number == fail_allocation || (theirs && !atomic_exchange(&noted, true))) {
        inside = true;
        note("allocation %ld fails: %s+0x%lx %s\n", number, info.dli_fname ? info.dli_fname : "?",
             (unsigned long)((const char *)caller - (const char *)info.dli_fbase),
             info.dli_sname ? info.dli_sname : "");
        inside = false;
    }
    errno = ENOMEM;
    return true;
}

static bool set_errno(void)
{
    static const struct {
        const char *name;
        int number;
    } errors[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EINTR", EINTR}, {"EACCES", EACCES}};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(kind, errors[i].name) == 0) {
            errno = errors[i].number;
            return true;
        }
    return false;
}

static bool path_fails(const void *caller, const char *path)
{
    const size_t length = strlen(fail_path), path_length = strlen(path);
    return length > 0 && path_length >= length && strcmp(path + path_length - length, fail_path) == 0 &&
           is_ours(caller) && set_errno();
}

/* What becomes of a call: 0 nothing, 1 it fails (errno is set), 2 it does half, 3 the process dies after it, 4 it
 * writes a wrong byte. */
static int file_fault(const void *caller, const char *call, bool can_be_short)
{
    if (!is_ours(caller))
        return 0;
    long number = atomic_fetch_add(&files, 1) + 1;
    if (!is_due(number, fail_file))
        return 0;
    if (number == fail_file)
        note("file call %ld fails: %s\n", number, call);
    if (set_errno())
        return 1;
    if (strcmp(kind, "KILL") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(kind, "KILLED") == 0)
        return 3;
    if (strcmp(kind, "WRONG") == 0)
        return 4;
    return can_be_short && strcmp(kind, "SHORT") == 0 ? 2 : 0;
}

#define REAL(name) ((__typeof__(&name))real(#name, &real_##name))
static void *real(const char *name, void **kept)
{
    if (!*kept) {
        bool before = inside;
        inside = true;
        *kept = dlsym(RTLD_NEXT, name);
        inside = before;
    }
    return *kept;
}

/* ---- allocations; glibc's own names, since dlsym allocates ---- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

void *malloc(size_t size)
{
    return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_realloc(block, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    *block = allocation_fails(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
    return *block ? 0 : ENOMEM;
}

/* strdup allocates in the name of its caller. */
char *strndup(const char *text, size_t length)
{
    length = strnlen(text, length);
    char *copy = allocation_fails(__builtin_return_address(0)) ? NULL : __libc_malloc(length + 1);
    if (copy) {
        memcpy(copy, text, length);
        copy[length] = 0;
    }
    return copy;
}

char *strdup(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = allocation_fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

/* ---- files ---- */

#define FAULT(name, ...)                                                      \
    static void *real_##name;                                                 \
    const int fault_ = file_fault(__builtin_return_address(0), #name, false); \
    if (fault_ == 1)                                                          \
        return -1;                                                            \
    __typeof__(REAL(name)(__VA_ARGS__)) result_ = REAL(name)(__VA_ARGS__);    \
    if (fault_ == 3)                                                          \
        kill(getpid(), SIGKILL);                                              \
    return result_

/* Short transfers: half of the bytes, at least one. */
#define TRANSFER(name, size, ...)                                            \
    static void *real_##name;                                                \
    const int fault_ = file_fault(__builtin_return_address(0), #name, true); \
    if (fault_ == 1)                                                         \
        return -1;                                                           \
    if (fault_ == 2 && (size) > 1)                                           \
        (size) /= 2;                                                         \
    ssize_t result_ = REAL(name)(__VA_ARGS__);                               \
    if (fault_ == 3)                                                         \
        kill(getpid(), SIGKILL);                                             \
    return result_

int openat(int folder, const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    if (path_fails(__builtin_return_address(0), path))
        return -1;
    FAULT(openat, folder, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    FAULT(open, path, flags, mode);
}

ssize_t read(int file, void *bytes, size_t size)
{
    TRANSFER(read, size, file, bytes, size);
}

/* A copy with one bit changed in its middle. */
static void *wrong_copy(const void *bytes, size_t size)
{
    unsigned char *copy = __libc_malloc(size);
    memcpy(copy, bytes, size);
    copy[size / 2] ^= 4;
    return copy;
}

ssize_t write(int file, const void *bytes, size_t size)
{
    static void *real_write;
    const int fault = file_fault(__builtin_return_address(0), "write", true);
    if (fault == 1)
        return -1;
    if (fault == 2 && size > 1)
        size /= 2;
    void *wrong = fault == 4 && size > 0 ? wrong_copy(bytes, size) : NULL;
    ssize_t result = REAL(write)(file, wrong ? wrong : bytes, size);
    __libc_free(wrong);
    if (fault == 3)
        kill(getpid(), SIGKILL);
    return result;
}

ssize_t pread(int file, void *bytes, size_t size, off_t at)
{
    TRANSFER(pread, size, file, bytes, size, at);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t at)
{
    static void *real_pwrite;
    const int fault = file_fault(__builtin_return_address(0), "pwrite", true);
    if (fault == 1)
        return -1;
    if (fault == 2 && size > 1)
        size /= 2;
    void *wrong = fault == 4 && size > 0 ? wrong_copy(bytes, size) : NULL;
    ssize_t result = REAL(pwrite)(file, wrong ? wrong : bytes, size, at);
    __libc_free(wrong);
    if (fault == 3)
        kill(getpid(), SIGKILL);
    return result;
}

int fsync(int file)
{
    FAULT(fsync, file);
}

int statvfs(const char *path, struct statvfs *info)
{
    static void *real_statvfs;
    const int result = REAL(statvfs)(path, info);
    if (result == 0 && space >= 0) {
        info->f_frsize = 1;
        info->f_bavail = (fsblkcnt_t)space;
    }
    return result;
}

int fdatasync(int file)
{
    FAULT(fdatasync, file);
}

/* A close that fails has closed. */
int close(int file)
{
    static void *real_close;
    const int fault = file_fault(__builtin_return_address(0), "close", false), cause = errno;
    int result = REAL(close)(file);
    if (fault == 3)
        kill(getpid(), SIGKILL);
    errno = fault == 1 ? cause : errno;
    return fault == 1 ? -1 : result;
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    FAULT(renameat, from_folder, from, to_folder, to);
}

int unlinkat(int folder, const char *path, int flags)
{
    FAULT(unlinkat, folder, path, flags);
}

int unlink(const char *path)
{
    FAULT(unlink, path);
}

int mkdirat(int folder, const char *path, mode_t mode)
{
    FAULT(mkdirat, folder, path, mode);
}

int mkdir(const char *path, mode_t mode)
{
    FAULT(mkdir, path, mode);
}

int fstat(int file, struct stat *info)
{
    FAULT(fstat, file, info);
}

int fstatat(int folder, const char *path, struct stat *info, int flags)
{
    if (path_fails(__builtin_return_address(0), path))
        return -1;
    FAULT(fstatat, folder, path, info, flags);
}

int flock(int file, int operation)
{
    FAULT(flock, file, operation);
}

int ftruncate(int file, off_t size)
{
    FAULT(ftruncate, file, size);
}

off_t lseek(int file, off_t offset, int whence)
{
    FAULT(lseek, file, offset, whence);
}

struct dirent *readdir(DIR *stream)
{
    static void *real_readdir;
    const int fault = file_fault(__builtin_return_address(0), "readdir", false);
    if (fault == 1)
        return NULL;
    struct dirent *result = REAL(readdir)(stream);
    if (fault == 3)
        kill(getpid(), SIGKILL);
    return result;
}
