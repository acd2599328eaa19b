/* Long options from one table, which gives the command line, the configuration file, the help and the resolved
 * configuration.
 *
 *     struct fit fit = {0};
 *     const struct option_spec specs[] = {
 *         {"cache", OPTION_STRING, &fit.cache, "CACHE", NULL, "the cache to train from", .required = true},
 *         {"epochs", OPTION_INT, &fit.epochs, "N", "100", "passes over the training set",
 *          .minimum = 1, .maximum = 1e6},
 *     };
 *     struct options options = {.command = "student_train fit", .summary = "...", .specs = specs, .count = 2};
 *     TRY(options_parse(&options, argc, argv, err));
 *     if (options.help) { options_print_help(&options, stdout); goto cleanup; }
 *     ...
 *     options_release(&options);
 *
 * An option is written `--name value` or `--name=value`. Every command also has `--help` and `--config FILE` (INI with
 * the same names as keys; the command line wins). `student_train fit` reads the keys before the first section, those
 * under [student_train fit] and those under [fit], which is what options_resolved writes. It skips keys under another
 * command's section, so one file can hold a whole experiment. */
#ifndef SHARED_BASE_OPTIONS_H
#define SHARED_BASE_OPTIONS_H

#include "shared/base/error.h"
#include "shared/base/memory.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What the target points to. */
enum option_type {
    OPTION_STRING,    /* const char * */
    OPTION_LIST,      /* struct option_list: may be given several times */
    OPTION_FLAG,      /* bool: --name, --name=false */
    OPTION_INT,       /* int */
    OPTION_UINT64,    /* uint64_t */
    OPTION_FLOAT,     /* double, finite */
    OPTION_FLOATS,    /* double[length]: a,b,c */
    OPTION_SIZE,      /* uint64_t, bytes: 4096, 512M, 2G (powers of 1024) */
    OPTION_CHOICE,    /* int: index in choices */
    OPTION_POSITIONAL /* const char *: an argument without --name; several come in the table's order */
};

struct option_list {
    const char **items;
    int count;
};

struct option_spec {
    const char *name; /* "batch": --batch on the command line, batch = in a file */
    enum option_type type;
    void *target;
    const char *argument; /* the value's name in the help: "N", "FILE"; NULL for flags and for choices (a|b is shown) */
    const char *fallback; /* the default, as it would be typed; NULL: target stays as it is (a flag: false) */
    const char *help;
    bool required;
    char letter;                /* 'n' also allows -n VALUE; 0: no letter */
    int length;                 /* OPTION_FLOATS: how many */
    double minimum, maximum;    /* numbers: the range, if minimum < maximum */
    const char *const *choices; /* OPTION_CHOICE: ends with NULL */
    const char *refused;        /* why the command does not take it: an error, and not in the help; NULL: it does */
};

/* A configuration with a name, as INI text. */
struct option_preset {
    const char *name, *text;
};

/* What --help prints. --help=man|bash|zsh makes the manual page and the shells' completions of the same table. */
enum help_form { HELP_NONE, HELP_TEXT, HELP_MAN, HELP_BASH, HELP_ZSH };

/* The form that an argument asks for: "--help" and "-h" are text; HELP_NONE: it asks for none. */
enum help_form help_form(const char *argument);

struct options {
    const char *command; /* "student_train fit": program and command */
    const char *summary; /* one line for the help */
    const struct option_spec *specs;
    int count;
    /* What the option "preset" (OPTION_STRING) may name, if there is one: its values yield to those of the command line
     * and of --config. A preset may also be the path of an INI file. */
    const struct option_preset *presets; /* [preset_count] */
    int preset_count;
    /* filled by options_parse */
    enum help_form help;         /* not NONE: --help was given, nothing was checked and no target was set */
    struct option_value *values; /* [count] */
    struct arena arena;          /* owns every string in a target that is not one of argv's */
};

/* argv[0] is skipped. Sets the targets: the command line wins over --config, and that over the defaults. STATUS_USAGE
 * names the option and, if it is unknown, the nearest one; STATUS_CONFIG names file and line of the configuration. */
enum status options_parse(struct options *options, int argc, char **argv, struct error *err);
/* The last word of the command, such as "fit" of "student_train fit": configuration files may call its section so. */
const char *options_last_word(const struct options *options);
void options_release(struct options *options);

/* True if the command line or the configuration gave the value, false for the default. */
bool options_given(const struct options *options, const char *name);
void options_print_help(const struct options *options, FILE *out);
/* The value of --part: "2/5" is the second of five parts; NULL is 1 of 1. STATUS_USAGE. */
enum status option_part(const char *text, int *part, int *parts, struct error *err);
/* The resolved configuration as INI text that --config reads back, malloc'ed; NULL when out of memory. */
char *options_resolved(const struct options *options);

/* ---- between options.c and its helpers ---- */
struct option_value {
    const char **texts; /* [count] as typed; the arena's array */
    int count;
    bool given;
    const char *place; /* "FILE:LINE" if a configuration gave it, otherwise NULL */
};
/* Prints a command's part of a form that is not text. options_manual.c */
void options_print_manual(const struct options *options, FILE *out);
/* Converts value's texts into spec's target. option_value.c */
enum status option_convert(const struct option_spec *spec, const struct option_value *value, struct error *err);
/* "--batch", or "CACHE" for a positional argument. */
const char *option_label(const struct option_spec *spec, char *buffer, size_t size);

#endif
