/* softcache_hdf5_reader: prints libhdf5's view of the shard that is its standard input (formats/cache/hdf5_child.h).
 *
 * The file may be made to attack libhdf5. Before libhdf5 sees it, this process gives up what it could do: its memory
 * and time are limited, and a filter (seccomp) leaves it the system calls for memory, for reading and writing what is
 * open, and for its own end. All others fail: it can neither open a file nor start a program nor reach the network. */
#define _GNU_SOURCE
#include "formats/cache/hdf5_table.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || defined __SANITIZE_UNDEFINED__
#define SANITIZED true
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false /* sanitizers need their own memory and system calls */
#endif

enum { SPARE_BYTES = 256 << 20, SECONDS = 10 };

static void *shard; /* the mapped file */

/* The core driver reads the mapping instead of a copy. */
static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *context)
{
    (void)size, (void)op, (void)context;
    return shard;
}

static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t op, void *context)
{
    (void)from, (void)size, (void)op, (void)context;
    return to;
}

static void *image_realloc(void *bytes, size_t size, H5FD_file_image_op_t op, void *context)
{
    (void)bytes, (void)size, (void)op, (void)context;
    return NULL;
}

static herr_t image_free(void *bytes, H5FD_file_image_op_t op, void *context)
{
    (void)bytes, (void)op, (void)context;
    return 0;
}

/* ---- rights ---- */

#if defined __x86_64__
#define THIS_MACHINE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define THIS_MACHINE AUDIT_ARCH_AARCH64
#endif

#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* The numbers of calls mean other calls on another machine (32-bit code), so that is checked first. */
static bool filter_calls(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_MACHINE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(read),
        ALLOW(write),
        ALLOW(exit),
        ALLOW(exit_group),
        ALLOW(brk),
        ALLOW(mmap),
        ALLOW(munmap),
        ALLOW(mremap),
        ALLOW(futex),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    const struct sock_fprog program = {.len = sizeof rules / sizeof *rules, .filter = rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool limit(int resource, rlim_t value)
{
    const struct rlimit bounds = {value, value};
    return setrlimit(resource, &bounds) == 0;
}

static bool give_up_rights(size_t size)
{
    return SANITIZED || (limit(RLIMIT_CORE, 0) && limit(RLIMIT_CPU, SECONDS) && limit(RLIMIT_AS, size + SPARE_BYTES) &&
                         filter_calls());
}

/* ---- the answer ---- */

static int answer(const char *kind, const char *text)
{
    const char *const parts[] = {kind, text};
    for (int i = 0; i < 2; i++) {
        size_t left = strlen(parts[i]);
        for (const char *at = parts[i]; left > 0;) {
            const ssize_t put = write(STDOUT_FILENO, at, left);
            if (put <= 0)
                _exit(STATUS_IO);
            at += put;
            left -= (size_t)put;
        }
    }
    _exit(STATUS_OK); /* without libhdf5's own end */
}

int main(void)
{
    struct shard_table table = {0};
    struct error err = {0};
    struct stat about;
    H5FD_file_image_callbacks_t callbacks = {.image_malloc = image_malloc,
                                             .image_memcpy = image_memcpy,
                                             .image_realloc = image_realloc,
                                             .image_free = image_free};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fstat(STDIN_FILENO, &about) != 0 || about.st_size <= 0)
        return STATUS_USAGE;
    const size_t size = (size_t)about.st_size;
    shard = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, STDIN_FILENO, 0);
    hdf5_enter();
    hid_t access = H5open() < 0 || H5PLset_loading_state(0) < 0 ? -1 : H5Pcreate(H5P_FILE_ACCESS);
    if (shard == MAP_FAILED || access < 0 || H5Pset_fapl_core(access, 1 << 20, 0) < 0 ||
        H5Pset_file_image_callbacks(access, &callbacks) < 0 || H5Pset_file_image(access, shard, size) < 0)
        return STATUS_INTERNAL;
    if (!give_up_rights(size))
        return answer("no\n",
                      "was not read: softcache_hdf5_reader cannot limit its own rights (seccomp) on this system");
    hid_t file = H5Fopen("shard", H5F_ACC_RDONLY, access);
    if (file < 0)
        return answer("no\n", "is not an HDF5 file");
    if (hdf5_table(file, &table, &err) != STATUS_OK)
        return answer("no\n", err.message);
    const char *text = shard_table_text(&table);
    return text ? answer("ok\n", text) : STATUS_INTERNAL;
}
