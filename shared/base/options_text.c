/* The two texts that are made from an option table: the help and the resolved configuration. */
#define _GNU_SOURCE
#include "shared/base/options.h"

#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 28, HELP_WIDTH = 100 };

static void print_argument(const struct option_spec *spec, FILE *out)
{
    if (spec->argument)
        fputs(spec->argument, out);
    else if (spec->type == OPTION_CHOICE)
        for (int i = 0; spec->choices[i]; i++)
            fprintf(out, "%s%s", i ? "|" : "", spec->choices[i]);
    else
        fputs("VALUE", out);
}

/* "--name ARGUMENT" or "ARGUMENT". */
static void print_form(const struct option_spec *spec, FILE *out)
{
    if (spec->type != OPTION_POSITIONAL)
        fprintf(out, "--%s", spec->name);
    if (spec->type == OPTION_FLAG)
        return;
    if (spec->type != OPTION_POSITIONAL)
        fputc(' ', out);
    print_argument(spec, out);
}

/* Prints text from the given column on and wraps it between words; the next lines begin at HELP_COLUMN. */
static void print_wrapped(const char *text, int column, FILE *out)
{
    if (column > HELP_COLUMN - 2) {
        fputc('\n', out);
        column = 0;
    }
    fprintf(out, "%*s", HELP_COLUMN - column, "");
    column = HELP_COLUMN;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (column > HELP_COLUMN && column + 1 + length > HELP_WIDTH) {
            fprintf(out, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        }
        column += fprintf(out, "%s%.*s", column > HELP_COLUMN ? " " : "", length, text);
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void print_entry(const struct option_spec *spec, FILE *out)
{
    char *left = NULL, *right = NULL;
    size_t left_size = 0, right_size = 0;
    FILE *left_text = open_memstream(&left, &left_size), *right_text = open_memstream(&right, &right_size);
    if (left_text && right_text) {
        fputs("  ", left_text);
        print_form(spec, left_text);
        if (spec->letter)
            fprintf(left_text, ", -%c", spec->letter);
        fputs(spec->help, right_text);
        if (spec->type == OPTION_LIST)
            fputs("; may be repeated", right_text);
        if (spec->fallback)
            fprintf(right_text, " [%s]", *spec->fallback ? spec->fallback : "none");
    }
    if (left_text)
        fclose(left_text);
    if (right_text)
        fclose(right_text);
    if (left && right) {
        fputs(left, out);
        print_wrapped(right, (int)left_size, out);
    }
    free(left);
    free(right);
}

void options_print_help(const struct options *options, FILE *out)
{
    static const struct option_spec common[] = {
        {"config", OPTION_STRING, NULL, "FILE", NULL, "read options from an INI file; the command line wins"},
        {"help", OPTION_FLAG, NULL, NULL, NULL, "show this text"},
    };
    if (options->help > HELP_TEXT) {
        options_print_manual(options, out);
        return;
    }
    fprintf(out, "usage: %s", options->command);
    for (int i = 0; i < options->count; i++) {
        const struct option_spec *spec = &options->specs[i];
        if ((!spec->required && spec->type != OPTION_POSITIONAL) || spec->refused)
            continue;
        fputs(spec->required ? " " : " [", out);
        print_form(spec, out);
        fputs(spec->required ? "" : "]", out);
    }
    fprintf(out, " [options]\n\n%s\n\n", options->summary);
    for (int i = 0; i < options->count; i++)
        if (!options->specs[i].refused)
            print_entry(&options->specs[i], out);
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        print_entry(&common[i], out);
}

/* A value is quoted if reading it back would lose something. */
static void write_value(const char *text, FILE *out)
{
    size_t length = strlen(text);
    bool quoted = length > 0 && (strchr(" \t\"", text[0]) || strchr(" \t\"", text[length - 1]));
    fprintf(out, quoted ? "\"%s\"\n" : "%s\n", text);
}

char *options_resolved(const struct options *options)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fprintf(out, "[%s]\n", options_last_word(options));
    for (int i = 0; i < options->count; i++)
        for (int k = 0; k < options->values[i].count; k++) {
            fprintf(out, "%s = ", options->specs[i].name);
            write_value(options->values[i].texts[k], out);
        }
    if (ferror(out) || fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
