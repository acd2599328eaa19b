#define _GNU_SOURCE
#include "formats/cache/hdf5_child.h"

#include "shared/base/clock.h"
#include "shared/base/file_calls.h"
#include "shared/base/library.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000, ANSWER_LIMIT = SHARD_TABLE_LIMIT + 16 };

extern char **environ;

/* A nameless file with these bytes: the child's standard input, which it maps. */
static enum status hold_bytes(const unsigned char *bytes, size_t size, int *file, const char *path, struct error *err)
{
    *file = memfd_create("shard", MFD_CLOEXEC);
    if (*file < 0)
        return file_call_failed(err, STATUS_INTERNAL, path, "cannot make a file in memory");
    if (!file_call_write(*file, bytes, size))
        return file_call_failed(err, STATUS_INTERNAL, path, "cannot copy it for softcache_hdf5_reader");
    return STATUS_OK;
}

static enum status start(const char *program, int input, int output, pid_t *child, struct error *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char *const argv[] = {"softcache_hdf5_reader", NULL};
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed == 0) {
        failed = posix_spawnattr_init(&attributes);
        if (failed == 0) {
            /* A group of its own: a terminal's Ctrl-C is for us. */
            posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
            failed = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
            failed = failed ? failed : posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
            /* Nothing else of ours, and no terminal, which would obey what a crashing libhdf5 is made to write. */
            if (!failed)
                failed = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
            if (!failed)
                failed = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
            failed = failed ? failed : posix_spawn(child, program, &actions, &attributes, argv, environ);
            posix_spawnattr_destroy(&attributes);
        }
        posix_spawn_file_actions_destroy(&actions);
    }
    errno = failed;
    return failed ? file_call_failed(err, STATUS_CONFIG, program, "cannot be started") : STATUS_OK;
}

/* What the child writes until it ends: [*size] bytes of answer[ANSWER_LIMIT]. *in_time: it did not take too long,
 * in all, however slowly it wrote. */
static enum status listen(int pipe, char *answer, size_t *size, bool *in_time, const char *path, struct error *err)
{
    struct pollfd ready = {.fd = pipe, .events = POLLIN};
    *size = 0;
    *in_time = false;
    const double start = clock_seconds();
    while (*size < ANSWER_LIMIT) {
        const int left = PATIENCE_MS - (int)((clock_seconds() - start) * 1000);
        const int events = left > 0 ? RETRY(poll(&ready, 1, left)) : 0;
        const ssize_t got = events > 0 ? RETRY(read(pipe, answer + *size, ANSWER_LIMIT - *size)) : 0;
        if (events < 0 || got < 0)
            return file_call_failed(err, STATUS_IO, path, "cannot read what softcache_hdf5_reader says about it");
        *in_time = events > 0 && got == 0;
        if (got == 0)
            return STATUS_OK;
        *size += (size_t)got;
    }
    return STATUS_OK;
}

/* How the child ended, in words; "" if it gave an answer. */
static void describe_end(int code, bool in_time, char text[96])
{
    text[0] = '\0';
    if (!in_time)
        snprintf(text, 96, "it did not come to an end");
    else if (WIFSIGNALED(code) && WTERMSIG(code) == SIGXCPU)
        snprintf(text, 96, "it took too much time");
    else if (WIFSIGNALED(code))
        snprintf(text, 96, "it crashed (signal %d, %s)", WTERMSIG(code), strsignal(WTERMSIG(code)));
    else if (WEXITSTATUS(code) != 0)
        snprintf(text, 96, "it ended with code %d", WEXITSTATUS(code));
}

/* "ok\n" and a table, or "no\n" and what is wrong. */
static enum status take_answer(struct shard_table *table, const char *answer, size_t size, const char *path,
                               struct error *err)
{
    if (size > 3 && memcmp(answer, "ok\n", 3) == 0)
        return shard_table_parse(table, answer + 3, size - 3, path, err);
    if (size > 3 && memcmp(answer, "no\n", 3) == 0)
        return error_set(err, STATUS_BAD_DATA, path, "%.*s", (int)(size < 300 ? size - 3 : 297), answer + 3);
    return error_set(err, STATUS_BAD_DATA, path, "libhdf5 gave no answer about it");
}

static enum status ask(const char *program, int input, char *answer, size_t *size, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    int ends[2] = {-1, -1}, code = 0;
    pid_t child = -1;
    bool in_time;
    char end[96];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return file_call_failed(err, STATUS_INTERNAL, path, "cannot make a pipe");
    TRY(start(program, input, ends[1], &child, err));
    close(ends[1]);
    ends[1] = -1;
    status = listen(ends[0], answer, size, &in_time, path, err);
    if (!in_time)
        kill(child, SIGKILL);
    if (RETRY(waitpid(child, &code, 0)) != child)
        FAIL(file_call_failed(err, STATUS_INTERNAL, program, "cannot be waited for"));
    TRY(status);
    describe_end(code, in_time, end);
    if (end[0])
        status = error_set(
            err, STATUS_BAD_DATA, path,
            "libhdf5 cannot read it: %s. The file is damaged, or made to do harm; nothing of it was used", end);
cleanup:
    close(ends[0]);
    if (ends[1] >= 0)
        close(ends[1]);
    return status;
}

enum status hdf5_child_table(struct shard_table *table, const unsigned char *bytes, size_t size, const char *path,
                             struct error *err)
{
    enum status status = STATUS_OK;
    char program[LIBRARY_PATH_SIZE], *answer = NULL;
    size_t answer_size = 0;
    int input = -1;
    TRY(library_path("softcache_hdf5_reader", program, err));
    answer = malloc(ANSWER_LIMIT);
    if (!answer)
        FAIL(error_no_memory(err, ANSWER_LIMIT, "a shard's table"));
    TRY(hold_bytes(bytes, size, &input, path, err));
    TRY(ask(program, input, answer, &answer_size, path, err));
    TRY(take_answer(table, answer, answer_size, path, err));
cleanup:
    if (input >= 0)
        close(input);
    free(answer);
    return status;
}
