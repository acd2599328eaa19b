#define _GNU_SOURCE
#include "tests/helper_failing_calls.h"

#include "shared/base/memory.h"
#include "tests/helper_images.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct {
    bool armed, paused, failed;
    enum call_kind kind;
    long left; /* calls until the one that fails */
    const void *caller;
} now;

void failing_calls_start(enum call_kind kind, long at)
{
    now.failed = now.paused = false;
    now.kind = kind;
    now.left = at;
    __atomic_store_n(&now.armed, true, __ATOMIC_SEQ_CST);
}

bool failing_calls_stop(const void **caller)
{
    __atomic_store_n(&now.armed, false, __ATOMIC_SEQ_CST);
    *caller = now.caller;
    return now.failed;
}

void failing_calls_pause(void)
{
    now.paused = now.armed;
    __atomic_store_n(&now.armed, false, __ATOMIC_SEQ_CST);
}

void failing_calls_resume(void)
{
    __atomic_store_n(&now.armed, now.paused, __ATOMIC_SEQ_CST);
}

bool failing_call(enum call_kind kind, const void *caller)
{
    static const int causes[CALL_KINDS] = {[CALL_ALLOCATION] = ENOMEM, [CALL_INTERRUPTED] = EINTR, [CALL_FILE] = EIO};
    if (!__atomic_load_n(&now.armed, __ATOMIC_SEQ_CST) || kind != now.kind)
        return false;
    if (__atomic_fetch_sub(&now.left, 1, __ATOMIC_SEQ_CST) != 0)
        return false;
    now.failed = true;
    now.caller = caller;
    if (causes[kind])
        errno = causes[kind];
    return true;
}

/* Of a file call that waits, or that a signal may interrupt on some file system. */
static bool file_call_fails(const void *caller)
{
    return failing_call(CALL_INTERRUPTED, caller) || failing_call(CALL_FILE, caller);
}

/* A wrapped function: what it returns when it fails, and how it is called otherwise. */
#define WRAP(kind, type, name, parameters, arguments, failure)                                      \
    type __real_##name parameters;                                                                  \
    type __wrap_##name parameters;                                                                  \
    type __wrap_##name parameters                                                                   \
    {                                                                                               \
        return failing_call(kind, __builtin_return_address(0)) ? failure : __real_##name arguments; \
    }

#define WRAP_SLOW(type, name, parameters, arguments)                                        \
    type __real_##name parameters;                                                          \
    type __wrap_##name parameters;                                                          \
    type __wrap_##name parameters                                                           \
    {                                                                                       \
        return file_call_fails(__builtin_return_address(0)) ? -1 : __real_##name arguments; \
    }

WRAP(CALL_ALLOCATION, void *, malloc, (size_t size), (size), NULL)
WRAP(CALL_ALLOCATION, void *, calloc, (size_t count, size_t size), (count, size), NULL)
WRAP(CALL_ALLOCATION, void *, realloc, (void *block, size_t size), (block, size), NULL)
WRAP(CALL_ALLOCATION, void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size), NULL)
WRAP(CALL_ALLOCATION, char *, strdup, (const char *text), (text), NULL)
WRAP(CALL_ALLOCATION, char *, strndup, (const char *text, size_t size), (text, size), NULL)
WRAP(CALL_ALLOCATION, FILE *, open_memstream, (char **text, size_t *size), (text, size), NULL)
WRAP(CALL_ALLOCATION, void *, arena_alloc, (struct arena * arena, size_t count, size_t size), (arena, count, size),
     NULL)
WRAP(CALL_ALLOCATION, char *, arena_strdup, (struct arena * arena, const char *text), (arena, text), NULL)

char *__wrap_arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *__wrap_arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    char *text = NULL, *result;
    if (failing_call(CALL_ALLOCATION, __builtin_return_address(0)))
        return NULL;
    va_start(args, format);
    const int length = vasprintf(&text, format, args);
    va_end(args);
    result = length < 0 ? NULL : arena_strdup(arena, text);
    free(text);
    return result;
}

int __wrap_asprintf(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_asprintf(char **text, const char *format, ...)
{
    va_list args;
    if (failing_call(CALL_ALLOCATION, __builtin_return_address(0)))
        return -1;
    va_start(args, format);
    const int length = vasprintf(text, format, args);
    va_end(args);
    return length;
}

/* open and openat have a third or fourth argument where a file is made. */
int __wrap_openat(int folder, const char *path, int flags, ...);
int __real_openat(int folder, const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return file_call_fails(__builtin_return_address(0)) ? -1 : __real_openat(folder, path, flags, mode);
}

int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return failing_call(CALL_FILE, __builtin_return_address(0)) ? -1 : __real_openat(AT_FDCWD, path, flags, mode);
}

WRAP(CALL_FILE, FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL)
WRAP(CALL_FILE, DIR *, fdopendir, (int file), (file), NULL)
WRAP(CALL_FILE, struct dirent *, readdir, (DIR * folder), (folder), NULL)
WRAP_SLOW(ssize_t, read, (int file, void *bytes, size_t size), (file, bytes, size))
WRAP_SLOW(ssize_t, pread, (int file, void *bytes, size_t size, off_t at), (file, bytes, size, at))
WRAP_SLOW(ssize_t, write, (int file, const void *bytes, size_t size), (file, bytes, size))
WRAP_SLOW(ssize_t, pwrite, (int file, const void *bytes, size_t size, off_t at), (file, bytes, size, at))
WRAP_SLOW(off_t, lseek, (int file, off_t at, int from), (file, at, from))
WRAP_SLOW(int, fstat, (int file, struct stat *about), (file, about))
WRAP_SLOW(int, fstatat, (int folder, const char *path, struct stat *about, int flags), (folder, path, about, flags))
WRAP_SLOW(int, fsync, (int file), (file))
WRAP_SLOW(int, ftruncate, (int file, off_t size), (file, size))
WRAP_SLOW(int, flock, (int file, int operation), (file, operation))
WRAP(CALL_FILE, int, mkdir, (const char *path, mode_t mode), (path, mode), -1)
WRAP(CALL_FILE, int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode), -1)
WRAP(CALL_FILE, int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), -1)
WRAP(CALL_FILE, int, renameat, (int from, const char *old, int to, const char *path), (from, old, to, path), -1)
WRAP(CALL_FILE, char *, realpath, (const char *path, char *resolved), (path, resolved), NULL)
WRAP(CALL_FILE, ssize_t, readlink, (const char *path, char *target, size_t size), (path, target, size), -1)
WRAP(CALL_FILE, int, memfd_create, (const char *name, unsigned flags), (name, flags), -1)
WRAP(CALL_FILE, int, pipe2, (int ends[2], int flags), (ends, flags), -1)
WRAP_SLOW(int, poll, (struct pollfd * files, nfds_t count, int patience), (files, count, patience))
WRAP_SLOW(pid_t, waitpid, (pid_t child, int *code, int options), (child, code, options))
WRAP(CALL_FILE, void *, mmap, (void *place, size_t size, int rights, int flags, int file, off_t at),
     (place, size, rights, flags, file, at), MAP_FAILED)
WRAP(CALL_FILE, int, posix_spawn,
     (pid_t * child, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
      char *const argv[], char *const envp[]),
     (child, path, actions, attributes, argv, envp), EIO)
WRAP(CALL_FILE, int, posix_spawn_file_actions_init, (posix_spawn_file_actions_t * actions), (actions), EIO)
WRAP(CALL_FILE, int, posix_spawnattr_init, (posix_spawnattr_t * attributes), (attributes), EIO)
WRAP(CALL_FILE, int, posix_spawn_file_actions_adddup2, (posix_spawn_file_actions_t * actions, int from, int to),
     (actions, from, to), EIO)
WRAP(CALL_FILE, int, posix_spawn_file_actions_addopen,
     (posix_spawn_file_actions_t * actions, int file, const char *path, int flags, mode_t mode),
     (actions, file, path, flags, mode), EIO)
WRAP(CALL_FILE, int, posix_spawn_file_actions_addclosefrom_np, (posix_spawn_file_actions_t * actions, int from),
     (actions, from), EIO)

/* ---- attempts ---- */

static int complaints;

/* FNV-1a of each byte + 1: from 0 on, zeros would not count. */
void attempt_add(uint64_t *sum, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        *sum = (*sum ^ (((const uint8_t *)bytes)[i] + 1u)) * 0x100000001B3;
}

/* Tries it with call `at` failing; false if there are not so many calls. */
static bool try_at(attempt *run, const void *what, const char *name, enum call_kind kind, long at, uint64_t right)
{
    static const struct {
        const char *name;
        enum status status; /* STATUS_OK: it must not fail */
    } kinds[CALL_KINDS] = {[CALL_ALLOCATION] = {"allocation", STATUS_INTERNAL},
                           [CALL_INTERRUPTED] = {"interrupted call"},
                           [CALL_FILE] = {"file call", STATUS_IO},
                           [CALL_LIBRARY] = {"library call", STATUS_INTERNAL},
                           [CALL_DECODER] = {"decoder", STATUS_BAD_DATA}};
    const void *caller = NULL;
    struct error err = {0};
    uint64_t sum = 0;
    failing_calls_start(kind, at);
    const enum status status = run(what, &sum, &err);
    const bool failed = failing_calls_stop(&caller);
    const bool right_error = failed && err.message[0] &&
                             (status == kinds[kind].status ||
                              (kind == CALL_DECODER && status == STATUS_INTERNAL)); /* of what we have just made */
    if (status == STATUS_OK ? sum != right : !right_error)
        complaints +=
            fprintf(stderr, "%s: %s %ld failed at %p: status %d%s, '%s: %s'\n", name, kinds[kind].name, at, caller,
                    (int)status, status == STATUS_OK ? " with another result" : "", err.path, err.message) > 0;
    return failed;
}

void attempt_all(attempt *run, const void *what, const char *name)
{
    attempt_some(run, what, name, 1000);
}

void attempt_some(attempt *run, const void *what, const char *name, int points)
{
    struct error err = {0};
    uint64_t right = 0;
    complaints = 0;
    if (run(what, &right, &err) != STATUS_OK)
        fail_msg("%s: %s: %s", name, err.path, err.message);
    for (int kind = 0; kind < CALL_KINDS; kind++) {
        long calls = 0;
        for (long step = 64; step > 0; step /= 2) /* how many there are */
            while (try_at(run, what, name, (enum call_kind)kind, calls + step - 1, right))
                calls += step;
        const long step = 1 + calls / points;
        for (long at = 0; at < calls; at += step)
            try_at(run, what, name, (enum call_kind)kind, at, right);
    }
    if (complaints > 0)
        fail_msg("%s: %d complaints", name, complaints);
}
