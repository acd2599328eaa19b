#define _POSIX_C_SOURCE 200809L
#include "shared/base/program.h"

#include "shared/base/deadline.h"
#include "shared/base/interrupt.h"
#include "shared/base/out_of_memory.h"
#include "shared/base/printable.h"
#include "shared/base/program_manual.h"
#include "shared/base/suggest.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_COMMANDS = 32 };

static void print_help(const struct program *program)
{
    printf("usage: %s COMMAND [options]\n\n%s\n\n", program->name, program->summary);
    for (int i = 0; i < program->count; i++)
        printf("  %-10s %s\n", program->commands[i].name, program->commands[i].summary);
    printf("\n%s COMMAND --help lists the options of a command.\n", program->name);
}

static enum status unknown_command(const struct program *program, const char *word, struct error *err)
{
    const char *names[MAX_COMMANDS];
    int count = 0;
    for (; count < program->count && count < MAX_COMMANDS; count++)
        names[count] = program->commands[count].name;
    const char *near = suggest(word, names, count);
    if (near)
        return error_set(err, STATUS_USAGE, NULL, "unknown command '%s'; did you mean '%s'?", word, near);
    return error_set(err, STATUS_USAGE, NULL, "unknown command '%s'; see %s --help", word, program->name);
}

/* --help=man|bash|zsh: a frame, and within it what every command prints for the same argument. */
static enum status print_manual(const struct program *program, char *form, struct error *err)
{
    enum status status = STATUS_OK;
    program_manual_begin(program, help_form(form), stdout);
    for (int i = 0; i < program->count; i++) {
        char *argv[] = {(char *)(uintptr_t)program->commands[i].name, form, NULL};
        TRY(program->commands[i].run(2, argv, err));
    }
    program_manual_end(program, help_form(form), stdout);
cleanup:
    return status;
}

static enum status run_command(const struct program *program, int argc, char **argv, struct error *err)
{
    if (argc < 2)
        return error_set(err, STATUS_USAGE, NULL, "a command is missing; see %s --help", program->name);
    if (help_form(argv[1]) > HELP_TEXT)
        return print_manual(program, argv[1], err);
    if (help_form(argv[1]) == HELP_TEXT || strcmp(argv[1], "help") == 0) {
        print_help(program);
        return STATUS_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("%s %s\n", program->name, SOFTCACHE_VERSION);
        return STATUS_OK;
    }
    for (int i = 0; i < program->count; i++)
        if (strcmp(argv[1], program->commands[i].name) == 0)
            return program->commands[i].run(argc - 1, argv + 1, err);
    return unknown_command(program, argv[1], err);
}

/* Signals are obeyed within a second, and a lack of memory or of room in a file is called so. */
static void install_endings(const struct program *program)
{
    static char text[160], memory[160];
    snprintf(memory, sizeof memory, "%s: error: out of memory in a library\n", program->name);
    out_of_memory_install(memory);
    snprintf(text, sizeof text, "%s%s: interrupted: stopped in the middle of a step; what was finished is kept\n",
             isatty(STDERR_FILENO) ? "\n" : "", program->name);
    signal(SIGXFSZ, SIG_IGN); /* `ulimit -f`: the write fails, and is reported */
    deadline_install();
    interrupt_limit(text);
    interrupt_install();
}

int program_main(const struct program *program, int argc, char **argv)
{
    struct error err = {0};
    install_endings(program);
    printable_stdout();
    enum status status = run_command(program, argc, argv, &err);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == STATUS_OK)
        status = error_set(&err, STATUS_IO, "standard output", "cannot write: %s", strerror(errno));
    if (status == STATUS_OK)
        return 0;
    const char *kind = status == STATUS_INTERRUPTED ? "interrupted" : "error";
    const char *message = *err.message                   ? err.message
                          : status == STATUS_INTERRUPTED ? "stopped"
                                                         : "failed without a message";
    fprintf(stderr, "%s: %s: ", program->name, kind);
    printable_print(stderr, err.path);
    fputs(*err.path ? ": " : "", stderr);
    printable_print(stderr, message);
    fputc('\n', stderr);
    return (int)status;
}
