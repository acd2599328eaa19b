#include "shared/base/program_manual.h"
#include "shared/base/roff.h"

#include <string.h>

static void bash_begin(const struct program *program, FILE *out)
{
    fprintf(out,
            "# bash completion for %s, made by %s --help=bash\n"
            "_%s() {\n"
            "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} options='' values=''\n"
            "    COMPREPLY=()\n"
            "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
            "        mapfile -t COMPREPLY < <(compgen -W '",
            program->name, program->name, program->name);
    for (int i = 0; i < program->count; i++)
        fprintf(out, "%s ", program->commands[i].name);
    fputs("--help --version' -- \"$word\")\n"
          "        return\n"
          "    fi\n"
          "    case ${COMP_WORDS[1]} in\n",
          out);
}

static void bash_end(const struct program *program, FILE *out)
{
    fprintf(out,
            "    esac\n"
            "    if [ -n \"$values\" ]; then\n"
            "        mapfile -t COMPREPLY < <(compgen -W \"$values\" -- \"$word\")\n"
            "    elif [[ $word == -* ]]; then\n"
            "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n"
            "    fi\n"
            "}\n"
            "complete -o default -F _%s %s # files, where there is nothing better\n",
            program->name, program->name);
}

static void zsh_begin(const struct program *program, FILE *out)
{
    fprintf(out,
            "#compdef %s\n"
            "# made by %s --help=zsh\n"
            "local -a commands\n"
            "commands=(\n",
            program->name, program->name);
    for (int i = 0; i < program->count; i++) {
        fprintf(out, "    '%s:", program->commands[i].name);
        for (const char *c = program->commands[i].summary; *c; c++)
            fputs(*c == '\'' ? "'\\''" : *c == ':' ? "\\:" : (char[2]){*c, 0}, out);
        fputs("'\n", out);
    }
    fputs(")\n"
          "if (( CURRENT == 2 )); then\n"
          "    _describe command commands\n"
          "    return\n"
          "fi\n"
          "local command=$words[2]\n"
          "shift words\n"
          "(( CURRENT-- ))\n"
          "case $command in\n",
          out);
}

static void man_begin(const struct program *program, FILE *out)
{
    fputs(".TH \"", out);
    for (const char *c = program->name; *c; c++)
        fputc(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c, out);
    fprintf(out, "\" 1 \"\" \"softcache %s\" \"User Commands\"\n.nh\n.ad l\n", SOFTCACHE_VERSION);
    fprintf(out, ".SH NAME\n%s \\- ", program->name);
    roff_line(program->summary, out);
    fprintf(out,
            ".SH SYNOPSIS\n\\fB%s\\fR \\fICOMMAND\\fR [\\fIoptions\\fR]\n"
            ".SH DESCRIPTION\n",
            program->name);
    roff_line(program->summary, out);
    fputs("An option is written \\fB\\-\\-name\\fR \\fIvalue\\fR or \\fB\\-\\-name=value\\fR.\n"
          "The default is given in brackets.\n"
          ".SH COMMANDS\n",
          out);
}

static void man_end(FILE *out)
{
    static const struct {
        enum status code;
        const char *meaning;
    } codes[] = {
        {STATUS_OK, "all is done"},
        {STATUS_USAGE, "the command line is wrong"},
        {STATUS_BAD_DATA, "the content of an input file is wrong"},
        {STATUS_NO_INPUT, "an input is missing or cannot be read"},
        {STATUS_INTERNAL, "out of memory, or a library failed"},
        {STATUS_CANT_CREATE, "an output cannot be created"},
        {STATUS_IO, "reading or writing failed halfway"},
        {STATUS_LOCKED, "another process is working on the same output"},
        {STATUS_CONFIG, "parts do not fit together: teacher, recipe, seed, cache, student"},
        {STATUS_INTERRUPTED, "stopped by a signal; what was done is kept"},
    };
    fputs(".SH EXIT STATUS\n", out);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        fprintf(out, ".TP\n%d\n%s\n", (int)codes[i].code, codes[i].meaning);
}

void program_manual_begin(const struct program *program, enum help_form form, FILE *out)
{
    if (form == HELP_MAN)
        man_begin(program, out);
    else if (form == HELP_BASH)
        bash_begin(program, out);
    else
        zsh_begin(program, out);
}

void program_manual_end(const struct program *program, enum help_form form, FILE *out)
{
    if (form == HELP_MAN)
        man_end(out);
    else if (form == HELP_BASH)
        bash_end(program, out);
    else
        fputs("esac\n", out);
}
