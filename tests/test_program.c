/* What a user sees of a program: progress lines, the interrupt flag, errors and exit codes. */
#define _GNU_SOURCE
#include "shared/base/clock.h"
#include "shared/base/deadline.h"
#include "shared/base/interrupt.h"
#include "shared/base/library.h"
#include "shared/base/printable.h"
#include "shared/base/program.h"
#include "shared/base/progress.h"
#include "shared/base/scratch_file.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- printable text ---- */

/* The text as it is printed, in pieces of `piece` bytes. */
static void assert_printed(const char *text, size_t piece, const char *wanted)
{
    struct printable state = {0};
    char out[1024];
    size_t used = 0;
    const size_t length = strlen(text);
    for (size_t at = 0; at < length; at += piece)
        used += printable_copy(&state, text + at, length - at < piece ? length - at : piece, out + used);
    out[used] = 0;
    assert_string_equal(out, wanted);
}

static void control_characters_are_escaped(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"plain, UTF-8 äß–😀 and\tlines\n", "plain, UTF-8 äß–😀 and\tlines\n"},
        {"\033[31mred\033[0m\r\a\177", "\\x1b[31mred\\x1b[0m\\x0d\\x07\\x7f"},
        {"\302\233"
         "31m \302\240 \302\205",
         "\\xc2\\x9b31m \302\240 \\xc2\\x85"},                  /* CSI, a no-break space, NEL */
        {"\23331m \377 \300\200", "\\x9b31m \\xff \\xc0\\x80"}, /* not UTF-8 */
        {"\302x \303\033", "\\xc2x \303\\x1b"},                 /* characters that are cut off */
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (size_t piece = 1; piece < 9; piece++)
            assert_printed(texts[i][0], piece, texts[i][1]);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    printable_print(out,
                    "a long text that comes in several pieces, with \033 at its beginning and, behind many others, "
                    "\033 here");
    fclose(out);
    assert_null(strchr(text, '\033'));
    assert_string_equal(text + size - 9, "\\x1b here");
    free(text);
}

/* ---- progress ---- */

static void progress_line(void **state)
{
    (void)state;
    char line[512];
    struct progress progress = {.label = "train", .unit = "images", .done = 4200, .total = 10000, .start = 100};
    snprintf(progress.postfix, sizeof progress.postfix, "loss 0.41");
    progress_format(&progress, 110, 200, line, sizeof line);
    assert_string_equal(line, "train:  42% |########            | 4200/10000 [00:10<00:14, 420 images/s, loss 0.41]");
    progress.already = 4100; /* a resumed run: 10 images/s, not 420 */
    progress_format(&progress, 110, 200, line, sizeof line);
    assert_string_equal(line, "train:  42% |########            | 4200/10000 [00:10<09:40, 10.0 images/s, loss 0.41]");
    progress_format(&progress, 110, 60, line, sizeof line);
    assert_string_equal(line, "train:  42% 4200/10000 [00:10<09:40, 10.0 images/s, loss 0.4");
    progress.total = 0;
    progress_format(&progress, 100 + 3 * 86400 + 3661, 200, line, sizeof line);
    assert_string_equal(line, "train: 4200 [3d 01:01, 0.00 images/s, loss 0.41]");
    progress = (struct progress){.label = "x", .unit = "y", .total = 10, .start = 5, .unicode = true};
    progress_format(&progress, 5, 200, line, sizeof line);
    assert_string_equal(line, "x:   0% |                    | 0/10 [00:00<?, 0.00 y/s]");
    progress.done = 11; /* more than expected */
    progress_format(&progress, 3605, 200, line, sizeof line);
    assert_non_null(strstr(line, "x: 100% |████████████████████| 11/10 [1:00:00<"));
}

static void progress_writes_to_its_stream_only(void **state)
{
    (void)state;
    struct progress progress;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    progress_init(&progress, out, false);
    progress_end(&progress);
    progress_begin(&progress, "scan", "files", 3, 0);
    progress_update(&progress, 1, "a note"); /* less than 30 s after the start: no line */
    progress_note(&progress, "recognised %s", "IDX");
    assert_true(progress_callback(&progress, 3, 4));
    progress_end(&progress);
    progress_end(&progress);
    fclose(out);
    assert_int_equal(strncmp(text, "recognised IDX\nscan:  75% ", 26), 0);
    assert_non_null(strstr(text, "3/4 ["));
    assert_non_null(strstr(text, ", a note]\n"));
    assert_null(strchr(text, '\r'));
    assert_null(strchr(text, '\033'));
    free(text);
    progress_init(&progress, stderr, true);
    assert_null(progress.out);
    progress_begin(&progress, "quiet", "files", 3, 0);
    progress_note(&progress, "not %s", "seen");
    progress_end(&progress);
}

/* ---- programs, each run in a child ---- */

static enum status fail_with_path(int argc, char **argv, struct error *err)
{
    (void)argc, (void)argv;
    return error_set(err, STATUS_BAD_DATA, "shard.h5", "is too short");
}

static enum status print_hello(int argc, char **argv, struct error *err)
{
    (void)err;
    printf("hello %s %d\n", argv[0], argc);
    return STATUS_OK;
}

static enum status work_until_interrupted(int argc, char **argv, struct error *err)
{
    (void)argc, (void)argv;
    double start = clock_seconds();
    kill(getpid(), SIGINT);
    while (!interrupt_requested())
        if (clock_seconds() - start > 5)
            return STATUS_INTERNAL;
    return error_set(err, STATUS_INTERRUPTED, NULL, "state saved; resume with --resume");
}

static enum status ignore_the_first_interrupt(int argc, char **argv, struct error *err)
{
    (void)argc, (void)argv, (void)err;
    kill(getpid(), SIGINT);
    kill(getpid(), SIGINT);
    return STATUS_OK;
}

/* As a library that computes for minutes: the flag is never looked at. */
static enum status be_deaf(int argc, char **argv, struct error *err)
{
    (void)argc, (void)argv, (void)err;
    const double start = clock_seconds();
    kill(getpid(), SIGTERM);
    deadline_set(60000, STATUS_CONFIG, "a later deadline\n"); /* does not take the place of the signal's */
    while (clock_seconds() - start < 5)
        continue;
    return STATUS_OK;
}

static enum status be_late(int argc, char **argv, struct error *err)
{
    (void)argc, (void)argv, (void)err;
    const double start = clock_seconds();
    static const char early[] = "early\n";
    deadline_set(20, STATUS_CONFIG, early);
    deadline_clear(early);
    deadline_set(100, STATUS_CONFIG, "too late\n");
    deadline_clear("another\n");
    while (clock_seconds() - start < 5)
        continue;
    return STATUS_OK;
}

/* A dry run's deadline comes first and is taken back: the signal's stays. */
static enum status be_deaf_later(int argc, char **argv, struct error *err)
{
    (void)argc, (void)argv, (void)err;
    const double start = clock_seconds();
    static const char early[] = "early\n";
    deadline_set(400, STATUS_CONFIG, early);
    kill(getpid(), SIGTERM);
    deadline_clear(early);
    while (clock_seconds() - start < 5)
        continue;
    return STATUS_OK;
}

/* The signal of a deadline that was due comes when it has been taken back, or moved: it must not end the program. */
static enum status be_forgiven(int argc, char **argv, struct error *err)
{
    (void)argc, (void)argv, (void)err;
    static const char early[] = "early\n", late[] = "late\n";
    sigset_t alarm, pending;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    for (int others = 0; others < 2; others++) {
        const double start = clock_seconds();
        pthread_sigmask(SIG_BLOCK, &alarm, NULL);
        deadline_set(1, STATUS_CONFIG, early);
        do
            sigpending(&pending);
        while (!sigismember(&pending, SIGALRM) && clock_seconds() - start < 5);
        deadline_clear(early);
        raise(SIGALRM); /* some systems drop it when the timer is set anew */
        if (others)
            deadline_set(100, STATUS_USAGE, late);
        pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
        printf("forgiven %d\n", others);
        fflush(stdout);
    }
    sleep(5); /* the second is due in the middle of it */
    return STATUS_OK;
}

/* As `ulimit -f` does: the system's signal would end the program without a word. */
static enum status write_too_much(int argc, char **argv, struct error *err)
{
    static const char bytes[10000];
    const struct rlimit limit = {5000, 5000};
    struct scratch_file file;
    uint64_t at;
    (void)argc, (void)argv;
    enum status status = scratch_file_open(&file, ".", err);
    if (status != STATUS_OK || setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return status;
    status = scratch_file_append(&file, bytes, sizeof bytes, &at, err);
    scratch_file_close(&file);
    return status;
}

/* operator new gets no memory, in a process with a limit of its own, as batch systems set it. */
static enum status need_too_much(int argc, char **argv, struct error *err)
{
    const void *symbol;
    const enum status status = library_symbol("softcache_onednn.so", "no such symbol", &symbol, err);
    void *library = dlopen("libstdc++.so.6", RTLD_NOW), *found = library ? dlsym(library, "_Znwm") : NULL;
    void *(*operator_new)(size_t);
    (void)argc, (void)argv;
    if (status != STATUS_CONFIG || !found)
        return STATUS_INTERRUPTED;
    memcpy(&operator_new, &found, sizeof found);
    operator_new((size_t)1 << 60);
    return STATUS_OK;
}

static const struct program_command commands[] = {
    {"broken", "fails", fail_with_path},
    {"hello", "greets", print_hello},
    {"work", "is interrupted", work_until_interrupted},
    {"stubborn", "is killed", ignore_the_first_interrupt},
    {"deaf", "does not listen", be_deaf},
    {"late", "misses a deadline", be_late},
    {"deaf-later", "does not listen then", be_deaf_later},
    {"forgiven", "is late, but is forgiven", be_forgiven},
    {"long", "writes a file that is too long", write_too_much},
    {"greedy", "needs too much memory", need_too_much},
};
static const struct program program = {"tester", "Tests the frame.", commands, sizeof commands / sizeof *commands};

/* Runs program_main in a child with stdout and stderr in one file (or stdout on `device`); returns wait's status. */
static int run_program(char text[1024], const char *device, const char *command, const char *argument)
{
    char *argv[] = {(char *)"tester", (char *)command, (char *)argument, NULL};
    int argc = argument ? 3 : command ? 2 : 1, status = -1;
    FILE *file = tmpfile();
    assert_non_null(file);
    pid_t child = fork();
    if (child == 0) {
        dup2(fileno(file), STDERR_FILENO);
        if (device ? !freopen(device, "w", stdout) : dup2(fileno(file), STDOUT_FILENO) < 0)
            _exit(99);
        signal(SIGINT, SIG_DFL);
        int code = program_main(&program, argc, argv);
        fflush(NULL);
        _exit(code);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    rewind(file);
    text[fread(text, 1, 1023, file)] = 0;
    fclose(file);
    return status;
}

static void assert_run(const char *command, const char *argument, int code, const char *expected)
{
    char text[1024];
    int status = run_program(text, NULL, command, argument);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
    if (!strstr(text, expected))
        fail_msg("'%s' is not in '%s'", expected, text);
}

static void errors_become_exit_codes(void **state)
{
    (void)state;
    assert_run("hello", "x", 0, "hello hello 2\n");
    assert_run("broken", NULL, 65, "tester: error: shard.h5: is too short\n");
    assert_run("helo", NULL, 64, "tester: error: unknown command 'helo'; did you mean 'hello'?\n");
    assert_run(NULL, NULL, 64, "a command is missing; see tester --help");
    assert_run("--help", NULL, 0, "  hello      greets\n");
    assert_run("--version", NULL, 0, "tester " SOFTCACHE_VERSION "\n");
}

static void interrupts_are_seen_and_the_second_kills(void **state)
{
    (void)state;
    char text[1024];
    assert_run("work", NULL, 130, "tester: interrupted: state saved; resume with --resume\n");
    int status = run_program(text, NULL, "stubborn", NULL);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGINT);
}

static void deadlines_end_the_program(void **state)
{
    (void)state;
    const double start = clock_seconds();
    assert_run("deaf", NULL, 130, "tester: interrupted: stopped in the middle of a step");
    const double middle = clock_seconds();
    assert_true(middle - start > 0.4 && middle - start < 3); /* 0.5 s; a busy machine takes longer */
    assert_run("late", NULL, 78, "too late\n");
    assert_true(clock_seconds() - middle < 3);
}

static void deadlines_do_not_take_each_others_place(void **state)
{
    (void)state;
    const double start = clock_seconds();
    assert_run("deaf-later", NULL, 130, "tester: interrupted: stopped in the middle of a step");
    assert_true(clock_seconds() - start < 3);
}

static void deadlines_taken_back_are_not_due(void **state)
{
    (void)state;
    const double start = clock_seconds();
    assert_run("forgiven", NULL, 64, "forgiven 0\nforgiven 1\nlate\n");
    assert_true(clock_seconds() - start < 3);
}

static void files_have_a_limit(void **state)
{
    (void)state;
    assert_run("long", NULL, 74, "a file there cannot be written: File too large\n");
}

static void cpp_without_memory_ends_with_a_message(void **state)
{
    (void)state;
    struct rlimit before, limit;
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    print_message("a sanitizer has an operator new of its own\n");
    skip();
#endif
    assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)8 << 30; /* below the hard limit */
    assert_int_equal(setrlimit(RLIMIT_DATA, &limit), 0);
    assert_run("greedy", NULL, 70, "tester: error: out of memory in a library\n");
    assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
    assert_run("greedy", NULL, 70, "tester: error: out of memory in a library\n");
}

static void full_stdout_is_an_error(void **state)
{
    (void)state;
    char text[1024];
    if (access("/dev/full", W_OK) != 0)
        skip();
    int status = run_program(text, "/dev/full", "hello", NULL);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 74);
    assert_non_null(strstr(text, "tester: error: standard output: cannot write"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_are_escaped),
        cmocka_unit_test(progress_line),
        cmocka_unit_test(progress_writes_to_its_stream_only),
        cmocka_unit_test(errors_become_exit_codes),
        cmocka_unit_test(interrupts_are_seen_and_the_second_kills),
        cmocka_unit_test(deadlines_end_the_program),
        cmocka_unit_test(deadlines_do_not_take_each_others_place),
        cmocka_unit_test(deadlines_taken_back_are_not_due),
        cmocka_unit_test(files_have_a_limit),
        cmocka_unit_test(cpp_without_memory_ends_with_a_message),
        cmocka_unit_test(full_stdout_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
