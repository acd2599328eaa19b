#define _GNU_SOURCE
#include "tests/helper_failing_calls.h"

#include "shared/base/memory.h"
#include "tests/helper_images.h"
#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
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

/* Ways to allocations, as hashes of the addresses that their callers return to; 0: free. */
enum { WAYS = 1 << 16, NEW_WAYS = 4096, WAY_DEPTH = 8 };
static struct {
    bool noting;
    uint64_t known[WAYS];
    int count;
    long calls;            /* so far, of this attempt */
    long places[NEW_WAYS]; /* the first call of each way that is new in this attempt */
    int new_count;
} ways;

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

/* An allocation, in which a wrapped function has called failing_call, and that this. */
__attribute__((noinline)) static void note_way(void)
{
    enum { OWN = 3 };
    void *callers[OWN + WAY_DEPTH] = {0};
    uint64_t way = 0;
    const int depth = backtrace(callers, OWN + WAY_DEPTH);
    for (int i = OWN; i < depth; i++)
        way = (way ^ (uintptr_t)callers[i]) * 0x9E3779B97F4A7C15;
    size_t at = way % WAYS;
    while (ways.known[at] && ways.known[at] != way)
        at = (at + 1) % WAYS;
    if (!ways.known[at] && ways.new_count < NEW_WAYS && ways.count < WAYS / 2) {
        ways.known[at] = way;
        ways.count++;
        ways.places[ways.new_count++] = ways.calls;
    }
    ways.calls++;
}

/* What a failing call of a kind is for errno, and what it makes of an attempt that is right otherwise. */
static const struct {
    const char *name;
    int cause; /* 0: errno stays */
    enum status status;
} kinds[] = {
    [CALL_ALLOCATION] = {"allocation", ENOMEM, STATUS_INTERNAL}, [CALL_FILE] = {"file call", EIO, STATUS_IO},
    [CALL_SIGNAL] = {"interrupted call", EINTR, STATUS_OK},      [CALL_SHORT] = {"short transfer", 0, STATUS_OK},
    [CALL_LIBRARY] = {"library call", 0, STATUS_INTERNAL},       [CALL_DECODER] = {"decoder", 0, STATUS_BAD_DATA},
    [CALL_VANISHED] = {"vanished file", ENOENT, STATUS_OK}};

/* Whether a call that can fail as `kind` is one of those that fail now. */
static bool is_wanted(enum call_kind kind)
{
    const bool file = kind >= CALL_FILE && kind <= CALL_SHORT;
    return kind == now.kind || (file && (now.kind == CALL_FILE || now.kind == CALL_VANISHED)) ||
           (kind == CALL_SHORT && now.kind == CALL_SIGNAL);
}

__attribute__((noinline)) bool failing_call(enum call_kind kind, const void *caller)
{
    if (ways.noting && kind == CALL_ALLOCATION)
        note_way();
    if (!__atomic_load_n(&now.armed, __ATOMIC_SEQ_CST) || !is_wanted(kind) ||
        __atomic_fetch_sub(&now.left, 1, __ATOMIC_SEQ_CST) != 0)
        return false;
    now.failed = true;
    now.caller = caller;
    if (kinds[now.kind].cause)
        errno = kinds[now.kind].cause;
    return true;
}

/* A wrapped function: what it returns when it fails, and how it is called otherwise. */
#define WRAP(kind, type, name, parameters, arguments, failure)                                      \
    type __real_##name parameters;                                                                  \
    type __wrap_##name parameters;                                                                  \
    type __wrap_##name parameters                                                                   \
    {                                                                                               \
        return failing_call(kind, __builtin_return_address(0)) ? failure : __real_##name arguments; \
    }

/* The same of a read or write, which may also do half of it. */
#define WRAP_TRANSFER(name, parameters, arguments, half)                    \
    ssize_t __real_##name parameters;                                       \
    ssize_t __wrap_##name parameters;                                       \
    ssize_t __wrap_##name parameters                                        \
    {                                                                       \
        if (!failing_call(CALL_SHORT, __builtin_return_address(0)))         \
            return __real_##name arguments;                                 \
        return now.kind == CALL_SHORT && size > 1 ? __real_##name half      \
               : now.kind == CALL_SHORT           ? __real_##name arguments \
                                                  : -1;                               \
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
    return failing_call(CALL_SIGNAL, __builtin_return_address(0)) ? -1 : __real_openat(folder, path, flags, mode);
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
WRAP(CALL_SIGNAL, struct dirent *, readdir, (DIR * folder), (folder), NULL)
WRAP_TRANSFER(read, (int file, void *bytes, size_t size), (file, bytes, size), (file, bytes, size / 2))
WRAP_TRANSFER(pread, (int file, void *bytes, size_t size, off_t at), (file, bytes, size, at),
              (file, bytes, size / 2, at))
WRAP_TRANSFER(write, (int file, const void *bytes, size_t size), (file, bytes, size), (file, bytes, size / 2))
WRAP_TRANSFER(pwrite, (int file, const void *bytes, size_t size, off_t at), (file, bytes, size, at),
              (file, bytes, size / 2, at))
WRAP(CALL_SIGNAL, off_t, lseek, (int file, off_t at, int from), (file, at, from), -1)
WRAP(CALL_SIGNAL, int, fstat, (int file, struct stat *about), (file, about), -1)
WRAP(CALL_SIGNAL, int, fstatat, (int folder, const char *path, struct stat *about, int flags),
     (folder, path, about, flags), -1)
WRAP(CALL_SIGNAL, int, fsync, (int file), (file), -1)
WRAP(CALL_SIGNAL, int, ftruncate, (int file, off_t size), (file, size), -1)
WRAP(CALL_SIGNAL, int, flock, (int file, int operation), (file, operation), -1)
WRAP(CALL_SIGNAL, int, mkdir, (const char *path, mode_t mode), (path, mode), -1)
WRAP(CALL_SIGNAL, int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode), -1)
WRAP(CALL_SIGNAL, int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), -1)
WRAP(CALL_SIGNAL, int, renameat, (int from, const char *old, int to, const char *path), (from, old, to, path), -1)
WRAP(CALL_FILE, char *, realpath, (const char *path, char *resolved), (path, resolved), NULL)
WRAP(CALL_FILE, ssize_t, readlink, (const char *path, char *target, size_t size), (path, target, size), -1)
WRAP(CALL_FILE, int, memfd_create, (const char *name, unsigned flags), (name, flags), -1)
WRAP(CALL_FILE, int, pipe2, (int ends[2], int flags), (ends, flags), -1)
WRAP(CALL_SIGNAL, int, poll, (struct pollfd * files, nfds_t count, int patience), (files, count, patience), -1)
WRAP(CALL_SIGNAL, pid_t, waitpid, (pid_t child, int *code, int options), (child, code, options), -1)
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
static long seen[CALL_KINDS]; /* calls that attempts have made, undisturbed */

void failing_calls_all_seen(void **state)
{
    (void)state;
    for (int kind = CALL_ALLOCATION; kind < CALL_KINDS; kind++)
        if (seen[kind] == 0 && kind != CALL_DECODER)
            fail_msg("no attempt has made a %s", kinds[kind].name);
    assert_int_equal(failing_calls_hdf5_objects(), 0);
}

/* FNV-1a of each byte + 1: from 0 on, zeros would not count. */
void attempt_add(uint64_t *sum, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        *sum = (*sum ^ (((const uint8_t *)bytes)[i] + 1u)) * 0x100000001B3;
}

/* Tries it with call `at` failing; false if there are not so many calls. usual, right: the undisturbed attempt. */
static bool try_at(attempt *run, const void *what, const char *name, enum call_kind kind, long at, enum status usual,
                   uint64_t right)
{
    const void *caller = NULL;
    struct error err = {0};
    uint64_t sum = 0;
    failing_calls_start(kind, at);
    const enum status status = run(what, &sum, &err);
    const bool failed = failing_calls_stop(&caller);
    const bool as_usual = status == usual && (status != STATUS_OK || sum == right);
    const bool right_error = status != STATUS_OK && status == kinds[kind].status;
    const bool own_error = kind == CALL_DECODER && status == STATUS_INTERNAL; /* about what we have just made */
    if (!as_usual && (!failed || !(right_error || own_error) || !err.message[0]))
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
            while (try_at(run, what, name, (enum call_kind)kind, calls + step - 1, STATUS_OK, right))
                calls += step;
        if (kind == CALL_ALLOCATION && calls == 0)
            fail_msg("%s: no allocation is seen", name);
        seen[kind] += calls;
        const long step = 1 + calls / points;
        for (long at = 0; at < calls; at += step)
            try_at(run, what, name, (enum call_kind)kind, at, STATUS_OK, right);
    }
    if (complaints > 0)
        fail_msg("%s: %d complaints", name, complaints);
}

void attempt_new_ways(attempt *run, const void *what, const char *name)
{
    struct error err = {0};
    uint64_t right = 0;
    complaints = 0;
    ways.calls = ways.new_count = 0;
    ways.noting = true;
    const enum status usual = run(what, &right, &err);
    ways.noting = false;
    if (ways.calls == 0)
        fail_msg("%s: no allocation is seen", name);
    for (int i = 0; i < ways.new_count; i++)
        try_at(run, what, name, CALL_ALLOCATION, ways.places[i], usual, right);
    if (complaints > 0)
        fail_msg("%s: %d complaints", name, complaints);
}

void attempt_vanishing(attempt *run, const void *what, const char *name)
{
    struct error err = {0};
    uint64_t right = 0;
    bool more = true;
    if (run(what, &right, &err) != STATUS_OK)
        fail_msg("%s: %s: %s", name, err.path, err.message);
    for (long at = 0; more; at++) {
        uint64_t sum = 0;
        const void *caller;
        err = (struct error){0};
        failing_calls_start(CALL_VANISHED, at);
        const enum status status = run(what, &sum, &err);
        more = failing_calls_stop(&caller);
        if (sum != right || (status != STATUS_OK && !err.message[0]))
            fail_msg("%s: file call %ld, at %p, found nothing: status %d%s", name, at, caller, (int)status,
                     sum != right ? " with another result" : " without a message");
    }
}
