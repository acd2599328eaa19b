/* An option table as a part of a manual page (roff) or of a completion for bash or zsh; program_manual.c has what is
 * around the commands. */
#include "shared/base/options.h"
#include "shared/base/roff.h"

#include <string.h>

enum help_form help_form(const char *argument)
{
    static const struct {
        const char *argument;
        enum help_form form;
    } forms[] = {{"-h", HELP_TEXT},
                 {"--help", HELP_TEXT},
                 {"--help=man", HELP_MAN},
                 {"--help=bash", HELP_BASH},
                 {"--help=zsh", HELP_ZSH}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(argument, forms[i].argument) == 0)
            return forms[i].form;
    return HELP_NONE;
}

static const struct option_spec common[] = {
    {"config", OPTION_STRING, NULL, "FILE", NULL, "read options from an INI file; the command line wins"},
    {"help", OPTION_FLAG, NULL, NULL, NULL, "show a short text"},
};
enum { COMMON = sizeof common / sizeof *common };

static const struct option_spec *spec_of(const struct options *options, int i)
{
    return i < options->count ? &options->specs[i] : &common[i - options->count];
}

/* ---- a manual page ---- */

static void man_choices(const struct option_spec *spec, FILE *out)
{
    for (int i = 0; spec->choices[i]; i++) {
        fputs(i ? "|" : "", out);
        roff_text(spec->choices[i], out);
    }
}

static void man_entry(const struct option_spec *spec, FILE *out)
{
    fputs(".TP\n", out);
    if (spec->type != OPTION_POSITIONAL) {
        fputs("\\fB\\-\\-", out);
        roff_text(spec->name, out);
        fputs("\\fR", out);
    }
    if (spec->type == OPTION_CHOICE && !spec->argument) {
        fputs(" ", out);
        man_choices(spec, out);
    } else if (spec->type != OPTION_FLAG) {
        fputs(spec->type != OPTION_POSITIONAL ? " \\fI" : "\\fI", out);
        roff_text(spec->argument ? spec->argument : "VALUE", out);
        fputs("\\fR", out);
    }
    if (spec->letter)
        fprintf(out, ", \\fB\\-%c\\fR", spec->letter);
    fputc('\n', out);
    roff_line(spec->help, out);
    if (spec->type == OPTION_LIST)
        fputs("May be repeated.\n", out);
    if (spec->fallback) {
        fputs("[", out);
        roff_text(*spec->fallback ? spec->fallback : "none", out);
        fputs("]\n", out);
    }
}

static void man(const struct options *options, FILE *out)
{
    fputs(".SS \"", out);
    roff_text(options->command, out);
    fputs("\"\n", out);
    roff_line(options->summary, out);
    for (int i = 0; i < options->count + COMMON; i++)
        if (!spec_of(options, i)->refused)
            man_entry(spec_of(options, i), out);
}

/* ---- bash: a case of its own in the function ---- */

static void bash(const struct options *options, FILE *out)
{
    fprintf(out, "    %s)\n        options='", options_last_word(options));
    for (int i = 0; i < options->count + COMMON; i++)
        if (spec_of(options, i)->type != OPTION_POSITIONAL && !spec_of(options, i)->refused)
            fprintf(out, "%s--%s", i ? " " : "", spec_of(options, i)->name);
    fputs("'\n        case $before in\n", out);
    for (int i = 0; i < options->count; i++) {
        const struct option_spec *spec = &options->specs[i];
        if (spec->type != OPTION_CHOICE || spec->refused)
            continue;
        fprintf(out, "        --%s) values='", spec->name);
        for (int k = 0; spec->choices[k]; k++)
            fprintf(out, "%s%s", k ? " " : "", spec->choices[k]);
        fputs("' ;;\n", out);
    }
    fputs("        esac\n        ;;\n", out);
}

/* ---- zsh: arguments for _arguments ---- */

/* Text within '...[text]...': quotes, brackets and colons mean something there. */
static void zsh_text(const char *text, FILE *out)
{
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fprintf(out, strchr("[]:\\", *text) ? "\\%c" : "%c", *text);
}

static void zsh_value(const struct option_spec *spec, FILE *out)
{
    const bool numeric = spec->type == OPTION_INT || spec->type == OPTION_UINT64 || spec->type == OPTION_FLOAT ||
                         spec->type == OPTION_FLOATS;
    fputc(':', out);
    zsh_text(spec->argument ? spec->argument : "VALUE", out);
    if (spec->type != OPTION_CHOICE) {
        fputs(numeric ? ": " : ":_files", out);
        return;
    }
    fputs(":(", out);
    for (int i = 0; spec->choices[i]; i++)
        fprintf(out, "%s%s", i ? " " : "", spec->choices[i]);
    fputc(')', out);
}

static void zsh(const struct options *options, FILE *out)
{
    fprintf(out, "    %s)\n        _arguments", options_last_word(options));
    for (int i = 0; i < options->count + COMMON; i++) {
        const struct option_spec *spec = spec_of(options, i);
        if (spec->refused)
            continue;
        fputs(" \\\n            '", out);
        if (spec->type != OPTION_POSITIONAL) {
            fprintf(out, "%s--%s%s[", spec->type == OPTION_LIST ? "*" : "", spec->name,
                    spec->type == OPTION_FLAG ? "" : "=");
            zsh_text(spec->help, out);
            fputc(']', out);
        }
        if (spec->type != OPTION_FLAG)
            zsh_value(spec, out);
        fputc('\'', out);
    }
    fputs("\n        ;;\n", out);
}

void options_print_manual(const struct options *options, FILE *out)
{
    if (options->help == HELP_MAN)
        man(options, out);
    else if (options->help == HELP_BASH)
        bash(options, out);
    else if (options->help == HELP_ZSH)
        zsh(options, out);
}
