/* A library for LD_PRELOAD that records what a program does to the names and files of a folder, for power_loss.c. Not a
 * test.
 *
 *   RECORD_FOLDER=PATH  the folder, absolute and without links
 *   RECORD=FILE         gets one line an event, with a path relative to the folder; some have bytes behind the line:
 *                         create PATH | clear PATH | mkdir PATH | unlink PATH | rename FROM \t TO
 *                         sync PATH \t SIZE      the file's bytes, which are on the disk now
 *                         content PATH \t SIZE   its bytes, which may not be there yet: at a rename or a close
 *                         folder PATH            the folder's names are on the disk now
 *
 * Contents are read back through the name, so it does not matter by which calls, or by which library, they were
 * written. Calls are made one at a time, so that the record has their order. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static int record = -1;
static const char *folder;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void set_up(void)
{
    const char *path = getenv("RECORD");
    folder = getenv("RECORD_FOLDER");
    if (path && folder)
        record = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

static void put(const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        const ssize_t done = REAL(write)(record, at, size);
        if (done <= 0)
            abort();
        at += done;
        size -= (size_t)done;
    }
}

/* The path relative to the folder, "." for itself; false if it is not in there. */
static bool inside(const char *path, char relative[PATH_SIZE])
{
    const size_t length = folder ? strlen(folder) : 0;
    if (record < 0 || strncmp(path, folder, length) != 0 || (path[length] && path[length] != '/'))
        return false;
    snprintf(relative, PATH_SIZE, "%s", path[length] ? path + length + 1 : ".");
    return true;
}

static bool path_of(int file, char relative[PATH_SIZE])
{
    char link[64], path[PATH_SIZE];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return false;
    path[length] = 0;
    return inside(path, relative);
}

static bool path_in(int at, const char *name, char relative[PATH_SIZE])
{
    char path[PATH_SIZE], base[PATH_SIZE];
    if (name[0] == '/')
        return inside(name, relative);
    if (at != AT_FDCWD) {
        if (!path_of(at, base))
            return false;
        snprintf(relative, PATH_SIZE, "%.2000s%s%.2000s", strcmp(base, ".") == 0 ? "" : base,
                 strcmp(base, ".") == 0 ? "" : "/", name);
        return true;
    }
    if (!getcwd(base, sizeof base))
        return false;
    snprintf(path, sizeof path, "%.2000s/%.2000s", base, name);
    return inside(path, relative);
}

static void event(const char *name, const char *path)
{
    char line[PATH_SIZE + 64];
    put(line, (size_t)snprintf(line, sizeof line, "%s %s\n", name, path));
}

static void content(const char *name, const char *path)
{
    char line[2 * PATH_SIZE];
    struct stat info;
    snprintf(line, sizeof line, "%.4000s/%.4000s", folder, path);
    const int file = REAL(open)(line, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    if (fstat(file, &info) == 0 && S_ISREG(info.st_mode)) {
        char *bytes = malloc((size_t)info.st_size + 1);
        if (!bytes || REAL(read)(file, bytes, (size_t)info.st_size) != info.st_size)
            abort();
        put(line, (size_t)snprintf(line, sizeof line, "%s %.4000s\t%lld\n", name, path, (long long)info.st_size));
        put(bytes, (size_t)info.st_size);
        free(bytes);
    }
    REAL(close)(file);
}

/* Makes a call and then records it; errno is that of the call. */
#define BEGIN pthread_mutex_lock(&one_at_a_time)
#define END(result)                           \
    do {                                      \
        const int cause_ = errno;             \
        pthread_mutex_unlock(&one_at_a_time); \
        errno = cause_;                       \
        return (result);                      \
    } while (0)

static int open_in(int at, const char *path, int flags, mode_t mode)
{
    char relative[PATH_SIZE];
    struct stat info;
    BEGIN;
    const bool ours = path_in(at, path, relative), there = ours && fstatat(at, path, &info, 0) == 0;
    const int result = REAL(openat)(at, path, flags, mode);
    if (result >= 0 && ours && !there && (flags & O_CREAT))
        event("create", relative);
    else if (result >= 0 && ours && there && (flags & O_TRUNC))
        event("clear", relative);
    END(result);
}

int openat(int at, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_in(at, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_in(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_in(AT_FDCWD, path, flags, mode);
}

/* fopen's open cannot be seen. */
FILE *fopen(const char *path, const char *mode)
{
    char relative[PATH_SIZE];
    struct stat info;
    BEGIN;
    const bool ours = path_in(AT_FDCWD, path, relative), there = ours && stat(path, &info) == 0;
    FILE *result = REAL(fopen)(path, mode);
    if (result && ours && mode[0] != 'r')
        event(there ? "clear" : "create", relative);
    END(result);
}

static int sync_file(int file, bool data_only)
{
    char relative[PATH_SIZE];
    struct stat info;
    BEGIN;
    const int result = data_only ? REAL(fdatasync)(file) : REAL(fsync)(file);
    if (result == 0 && path_of(file, relative) && fstat(file, &info) == 0) {
        if (S_ISDIR(info.st_mode))
            event("folder", relative);
        else
            content("sync", relative);
    }
    END(result);
}

int fsync(int file)
{
    return sync_file(file, false);
}

int fdatasync(int file)
{
    return sync_file(file, true);
}

int close(int file)
{
    char relative[PATH_SIZE];
    BEGIN;
    if ((fcntl(file, F_GETFL) & O_ACCMODE) != O_RDONLY && path_of(file, relative))
        content("content", relative);
    const int result = REAL(close)(file);
    END(result);
}

static int rename_in(int from_at, const char *from, int to_at, const char *to)
{
    char relative[2][PATH_SIZE], both[2 * PATH_SIZE];
    BEGIN;
    const bool ours = path_in(from_at, from, relative[0]) && path_in(to_at, to, relative[1]);
    if (ours)
        content("content", relative[0]);
    const int result = REAL(renameat)(from_at, from, to_at, to);
    if (result == 0 && ours) {
        put(both, (size_t)snprintf(both, sizeof both, "rename %.4000s\t%.4000s\n", relative[0], relative[1]));
    }
    END(result);
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
    return rename_in(from_at, from, to_at, to);
}

int rename(const char *from, const char *to)
{
    return rename_in(AT_FDCWD, from, AT_FDCWD, to);
}

static int unlink_in(int at, const char *path, int flags)
{
    char relative[PATH_SIZE];
    BEGIN;
    const bool ours = path_in(at, path, relative);
    const int result = REAL(unlinkat)(at, path, flags);
    if (result == 0 && ours)
        event("unlink", relative);
    END(result);
}

int unlinkat(int at, const char *path, int flags)
{
    return unlink_in(at, path, flags);
}

int unlink(const char *path)
{
    return unlink_in(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlink_in(AT_FDCWD, path, AT_REMOVEDIR);
}

static int mkdir_in(int at, const char *path, mode_t mode)
{
    char relative[PATH_SIZE];
    BEGIN;
    const bool ours = path_in(at, path, relative);
    const int result = REAL(mkdirat)(at, path, mode);
    if (result == 0 && ours)
        event("mkdir", relative);
    END(result);
}

int mkdirat(int at, const char *path, mode_t mode)
{
    return mkdir_in(at, path, mode);
}

int mkdir(const char *path, mode_t mode)
{
    return mkdir_in(AT_FDCWD, path, mode);
}
