#include "shared/base/options.h"

#include "shared/base/ini.h"
#include "shared/base/suggest.h"
#include <string.h>

static int find_spec(const struct options *options, const char *name)
{
    for (int i = 0; i < options->count; i++)
        if (strcmp(options->specs[i].name, name) == 0)
            return i;
    return -1;
}

static int find_letter(const struct options *options, char letter)
{
    for (int i = 0; i < options->count; i++)
        if (options->specs[i].letter && options->specs[i].letter == letter)
            return i;
    return -1;
}

/* Reports an unknown option (dashes "--") or key (dashes "") with the nearest known one. */
static enum status unknown(struct options *options, enum status code, const char *place, const char *dashes,
                           const char *name, struct error *err)
{
    const char **names = arena_alloc(&options->arena, (size_t)options->count + 2, sizeof *names);
    if (!names)
        return error_no_memory(err, 0, "options");
    int count = 0;
    for (int i = 0; i < options->count; i++)
        if ((options->specs[i].type != OPTION_POSITIONAL || !*dashes) && !options->specs[i].refused)
            names[count++] = options->specs[i].name;
    names[count++] = *dashes ? "help" : options->specs[0].name;
    names[count++] = *dashes ? "config" : options->specs[0].name;
    const char *near = suggest(name, names, count);
    const char *what = *dashes ? "option" : "key";
    if (near)
        return error_set(err, code, place, "unknown %s %s%s; did you mean %s%s?", what, dashes, name, dashes, near);
    return error_set(err, code, place, "unknown %s %s%s; see %s --help", what, dashes, name, options->command);
}

/* Appends a text to the values given so far; only a list takes more than one. */
static enum status add_text(struct options *options, int index, const char *text, const char *place, struct error *err)
{
    const struct option_spec *spec = &options->specs[index];
    struct option_value *value = &options->values[index];
    enum status code = place ? STATUS_CONFIG : STATUS_USAGE;
    char label[128];
    if (spec->refused)
        return error_set(err, code, place, "%s takes no %s: %s", options_last_word(options),
                         option_label(spec, label, sizeof label), spec->refused);
    if (value->count > 0 && spec->type != OPTION_LIST)
        return error_set(err, code, place, "%s is given twice", option_label(spec, label, sizeof label));
    if (strpbrk(text, "\r\n"))
        return error_set(err, code, place, "%s: the value has a line break", option_label(spec, label, sizeof label));
    const char **texts = arena_alloc(&options->arena, (size_t)value->count + 1, sizeof *texts);
    if (!texts)
        return error_no_memory(err, 0, "options");
    if (value->count > 0)
        memcpy(texts, value->texts, (size_t)value->count * sizeof *texts);
    texts[value->count++] = text;
    value->texts = texts;
    value->given = true;
    value->place = place;
    return STATUS_OK;
}

/* One option of the command line at argv[*at]; moves *at past a value that is its own argument. */
static enum status parse_option(struct options *options, int argc, char **argv, int *at, const char **config,
                                struct error *err)
{
    const char *argument = argv[*at];
    bool is_long = argument[1] == '-';
    const char *start = argument + (is_long ? 2 : 1), *equals = strchr(start, '=');
    size_t length = equals ? (size_t)(equals - start) : strlen(start);
    char *name = arena_printf(&options->arena, "%.*s", (int)length, start);
    if (!name)
        return error_no_memory(err, length, "options");
    bool is_config = is_long && strcmp(name, "config") == 0;
    int index = is_long ? find_spec(options, name) : length == 1 ? find_letter(options, name[0]) : -1;
    if (is_long && index >= 0 && options->specs[index].type == OPTION_POSITIONAL)
        return error_set(err, STATUS_USAGE, NULL, "%s is given by its place on the command line: omit --%s",
                         options->specs[index].argument, name);
    if (index < 0 && !is_config)
        return unknown(options, STATUS_USAGE, NULL, is_long ? "--" : "-", name, err);
    const char *text = equals ? equals + 1 : "true";
    if (!equals && (is_config || options->specs[index].type != OPTION_FLAG)) {
        if (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0)
            return error_set(err, STATUS_USAGE, NULL, "%.*s needs a value; see %s --help",
                             (int)(length + (is_long ? 2 : 1)), argument, options->command);
        text = argv[++*at];
    }
    if (!is_config)
        return add_text(options, index, text, NULL, err);
    if (*config)
        return error_set(err, STATUS_USAGE, NULL, "--config is given twice");
    *config = text;
    return STATUS_OK;
}

static enum status add_positional(struct options *options, const char *text, struct error *err)
{
    for (int i = 0; i < options->count; i++)
        if (options->specs[i].type == OPTION_POSITIONAL && options->values[i].count == 0)
            return add_text(options, i, text, NULL, err);
    return error_set(err, STATUS_USAGE, NULL, "unexpected argument '%s'; see %s --help", text, options->command);
}

static enum status parse_command_line(struct options *options, int argc, char **argv, const char **config,
                                      struct error *err)
{
    enum status status = STATUS_OK;
    bool only_positional = false;
    for (int i = 1; i < argc && status == STATUS_OK; i++) {
        if (!only_positional && strcmp(argv[i], "--") == 0)
            only_positional = true;
        else if (!only_positional && argv[i][0] == '-' && argv[i][1])
            status = parse_option(options, argc, argv, &i, config, err);
        else
            status = add_positional(options, argv[i], err);
    }
    return status;
}

/* A configuration file can hold the options of several commands (a whole experiment); these are their sections. */
static const char *const known_sections[] = {"teacher_dump run",      "teacher_dump inspect", "teacher_dump verify",
                                             "teacher_dump recheck",  "student_train fit",    "student_train sweep",
                                             "student_train search",  "student_train eval",   "student_train predict",
                                             "student_train compare", "student_train export", "student_train inspect"};

static bool is_known(const char *section)
{
    for (size_t i = 0; i < sizeof known_sections / sizeof *known_sections; i++)
        if (strcmp(section, known_sections[i]) == 0)
            return true;
    return false;
}

static enum status unknown_section(const struct options *options, const char *place, const char *section,
                                   struct error *err)
{
    char names[512] = "";
    size_t length = 0;
    for (size_t i = 0; i < sizeof known_sections / sizeof *known_sections && length < sizeof names; i++)
        length += (size_t)snprintf(names + length, sizeof names - length, "%s[%s]", i ? ", " : "", known_sections[i]);
    return error_set(err, STATUS_CONFIG, place, "unknown section [%s]: '%s' reads [%s]; the sections are %s", section,
                     options->command, options_last_word(options), names);
}

/* The context of take_key, which counts the keys for this command and the other keys. */
struct config_reader {
    struct options *options;
    int taken, passed_over;
    bool yields; /* a preset: to every value that was given */
};

/* One key of the configuration file. A value from the command line stays. */
static enum status take_key(void *context, const char *place, const char *section, const char *key, const char *value,
                            struct error *err)
{
    struct config_reader *reader = context;
    struct options *options = reader->options;
    const bool own = strcmp(section, options_last_word(options)) == 0 || strcmp(section, options->command) == 0;
    if (*section && !own) {
        reader->passed_over++;
        return is_known(section) ? STATUS_OK : unknown_section(options, place, section, err);
    }
    reader->taken++;
    int index = find_spec(options, key);
    if (index < 0)
        return unknown(options, STATUS_CONFIG, place, "", key, err);
    if (options->values[index].given && (reader->yields || !options->values[index].place))
        return STATUS_OK;
    char *kept_value = arena_strdup(&options->arena, value), *kept_place = arena_strdup(&options->arena, place);
    if (!kept_value || !kept_place)
        return error_no_memory(err, strlen(value), "options");
    return add_text(options, index, kept_value, kept_place, err);
}

static enum status unknown_preset(const struct options *options, const char *name, struct error *err)
{
    char list[1024] = "";
    const char *names[64];
    int count = 0;
    for (; count < options->preset_count && count < 64; count++) {
        names[count] = options->presets[count].name;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s, ", names[count]);
    }
    const char *near = suggest(name, names, count);
    return error_set(err, STATUS_USAGE, NULL, "unknown preset '%s'%s%s%s; the presets are %sor FILE.ini", name,
                     near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "", list);
}

/* The values of the preset that the option "preset" names, where no other was given. */
static enum status read_preset(struct options *options, struct error *err)
{
    const int index = find_spec(options, "preset");
    struct config_reader reader = {.options = options, .yields = true};
    if (index < 0 || options->values[index].count == 0)
        return STATUS_OK;
    const char *name = options->values[index].texts[0];
    const size_t length = strlen(name);
    if (length > 4 && strcmp(name + length - 4, ".ini") == 0)
        return ini_read(name, take_key, &reader, err);
    for (int i = 0; i < options->preset_count; i++)
        if (strcmp(options->presets[i].name, name) == 0) {
            char *text = arena_strdup(&options->arena, options->presets[i].text);
            return text ? ini_parse(text, name, take_key, &reader, err) : error_no_memory(err, 0, "options");
        }
    return unknown_preset(options, name, err);
}

static enum status read_config(struct options *options, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    struct config_reader reader = {.options = options};
    TRY(ini_read(path, take_key, &reader, err));
    if (reader.passed_over > 0 && reader.taken == 0)
        FAIL(error_set(err, STATUS_CONFIG, path, "has no options for this command: section [%s] is missing",
                       options->command));
cleanup:
    return status;
}

/* Fills in the defaults, checks that nothing required is missing, and sets the targets. */
static enum status resolve(struct options *options, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < options->count; i++) {
        const struct option_spec *spec = &options->specs[i];
        struct option_value *value = &options->values[i];
        char label[128];
        const char *fallback = spec->fallback || spec->type != OPTION_FLAG ? spec->fallback : "false";
        if (value->count == 0 && fallback) {
            value->texts = arena_alloc(&options->arena, 1, sizeof *value->texts);
            if (!value->texts)
                return error_no_memory(err, 0, "options");
            value->texts[0] = fallback;
            value->count = 1;
        }
        if (value->count == 0 && spec->required)
            return error_set(err, STATUS_USAGE, NULL, "%s is missing; see %s --help",
                             option_label(spec, label, sizeof label), options->command);
        if (value->count > 0)
            TRY(option_convert(spec, value, err));
    }
cleanup:
    return status;
}

enum status options_parse(struct options *options, int argc, char **argv, struct error *err)
{
    enum status status = STATUS_OK;
    const char *config = NULL;
    options->help = HELP_NONE;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0 && !options->help; i++)
        options->help = help_form(argv[i]);
    if (options->help)
        return STATUS_OK;
    options->values = arena_alloc(&options->arena, (size_t)options->count + 1, sizeof *options->values);
    if (!options->values)
        return error_no_memory(err, (size_t)options->count * sizeof *options->values, "options");
    TRY(parse_command_line(options, argc, argv, &config, err));
    if (config)
        TRY(read_config(options, config, err));
    TRY(read_preset(options, err));
    TRY(resolve(options, err));
cleanup:
    return status;
}

const char *options_last_word(const struct options *options)
{
    const char *blank = strrchr(options->command, ' ');
    return blank ? blank + 1 : options->command;
}

void options_release(struct options *options)
{
    arena_release(&options->arena);
    options->values = NULL;
}

bool options_given(const struct options *options, const char *name)
{
    int index = find_spec(options, name);
    return index >= 0 && options->values && options->values[index].given;
}
