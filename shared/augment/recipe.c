#include "shared/augment/recipe.h"

#include "shared/augment/recipe_spec.h"
#include "shared/base/suggest.h"
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_SIZE = 40 };

#define PHOTOS "random_resized_crop(scale=0.4:1)+hflip+rotate(15)+color_jitter(0.2,contrast=0.2,saturation=0.2)"
static const struct {
    const char *name, *text;
} presets[] = {
    {"none", ""},
    {"light", "random_resized_crop(scale=0.7:1)+hflip"},
    {"photos", PHOTOS},
    {"photos-mix", PHOTOS "+mixup(0.2)+cutmix"},
    {"food11-strong", "random_resized_crop(scale=0.7:1)+hflip+vflip+rotate(180)+affine(degrees=30)"},
    {"cifar", "random_crop(padding=4)+hflip"},
};

enum { PRESET_COUNT = sizeof presets / sizeof *presets };

const char *recipe_presets(void)
{
    return "none           no augmentation: the evaluation view\n"
           "light          random_resized_crop(scale=0.7:1)+hflip(p=0.5)\n"
           "photos         random_resized_crop(scale=0.4:1)+hflip(p=0.5)+rotate(15)+color_jitter(brightness=0.2,"
           "contrast=0.2,saturation=0.2)\n"
           "photos-mix     photos+mixup(alpha=0.2)+cutmix(alpha=1)\n"
           "food11-strong  random_resized_crop(scale=0.7:1)+hflip(p=0.5)+vflip(p=0.5)+rotate(180)+affine(degrees=30)\n"
           "cifar          random_crop(padding=4)+hflip(p=0.5)\n";
}

int recipe_preset_count(void)
{
    return PRESET_COUNT;
}

const char *recipe_preset_name(int preset)
{
    return presets[preset].name;
}

struct parser {
    const char *text, *at;
    struct recipe *recipe;
    struct error *err;
};

__attribute__((format(printf, 3, 4))) static enum status refuse(const struct parser *parser, enum status code,
                                                                const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return error_set(parser->err, code, NULL, "augmentation recipe, character %d: %s",
                     (int)(parser->at - parser->text) + 1, what);
}

static void skip_blanks(struct parser *parser)
{
    while (isspace((unsigned char)*parser->at))
        parser->at++;
}

/* Takes the character if it comes next (after blanks). */
static bool take(struct parser *parser, char character)
{
    skip_blanks(parser);
    if (*parser->at != character)
        return false;
    parser->at++;
    skip_blanks(parser);
    return true;
}

/* A name: letters, digits, '_' and '-', beginning with a letter. Empty if there is no name here. */
static enum status read_word(struct parser *parser, char word[WORD_SIZE])
{
    size_t length = 0;
    skip_blanks(parser);
    if (isalpha((unsigned char)*parser->at))
        while (isalnum((unsigned char)parser->at[length]) || parser->at[length] == '_' || parser->at[length] == '-')
            length++;
    if (length >= WORD_SIZE)
        return refuse(parser, STATUS_USAGE, "a name of %zu letters is longer than that of any transform", length);
    memcpy(word, parser->at, length);
    word[length] = 0;
    parser->at += length;
    return STATUS_OK;
}

static enum status read_number(struct parser *parser, const struct parameter *parameter, float *number)
{
    char digits[WORD_SIZE], *end;
    skip_blanks(parser);
    size_t length = strspn(parser->at, "0123456789.eE+-");
    if (length == 0 || length >= sizeof digits)
        return refuse(parser, STATUS_USAGE, "%s: expected a number", parameter->name);
    memcpy(digits, parser->at, length);
    digits[length] = 0;
    float value = strtof(digits, &end);
    if (*end)
        return refuse(parser, STATUS_USAGE, "%s: '%s' is not a number", parameter->name, digits);
    if (!(value >= parameter->limits.low && value <= parameter->limits.high))
        return refuse(parser, STATUS_USAGE, "%s=%s is outside %g to %g", parameter->name, digits,
                      (double)parameter->limits.low, (double)parameter->limits.high);
    if (parameter->whole && value != floorf(value))
        return refuse(parser, STATUS_USAGE, "%s=%s must be a whole number", parameter->name, digits);
    *number = value + 0.0f; /* turns -0 into 0 */
    parser->at += length;
    return STATUS_OK;
}

static enum status read_value(struct parser *parser, const struct parameter *parameter, struct transform *transform)
{
    enum status status = STATUS_OK;
    void *field = (char *)transform + parameter->offset;
    if (!parameter->is_range)
        return read_number(parser, parameter, field);
    struct range *range = field;
    TRY(read_number(parser, parameter, &range->low));
    if (!take(parser, ':'))
        return refuse(parser, STATUS_USAGE, "%s needs a range low:high", parameter->name);
    TRY(read_number(parser, parameter, &range->high));
    if (range->low > range->high)
        return refuse(parser, STATUS_USAGE, "%s: the low end %g of the range is above its high end %g", parameter->name,
                      (double)range->low, (double)range->high);
cleanup:
    return status;
}

static int find_parameter(const struct transform_spec *spec, const char *name)
{
    for (int i = 0; i < MAX_PARAMETERS && spec->parameters[i].name; i++)
        if (strcmp(spec->parameters[i].name, name) == 0)
            return i;
    return -1;
}

static enum status refuse_parameter(const struct parser *parser, const struct transform_spec *spec, const char *name)
{
    const char *names[MAX_PARAMETERS];
    int count = 0;
    for (; count < MAX_PARAMETERS && spec->parameters[count].name; count++)
        names[count] = spec->parameters[count].name;
    const char *nearest = suggest(name, names, count);
    return refuse(parser, STATUS_USAGE, "%s has no parameter '%s'%s%s%s", spec->name, name,
                  nearest ? " (did you mean " : "", nearest ? nearest : "", nearest ? "?)" : "");
}

/* The parameters after '(', up to and including ')'. */
static enum status read_parameters(struct parser *parser, const struct transform_spec *spec,
                                   struct transform *transform)
{
    enum status status = STATUS_OK;
    bool seen[MAX_PARAMETERS] = {false};
    if (take(parser, ')'))
        return STATUS_OK;
    for (int position = 0;; position++) {
        char name[WORD_SIZE];
        int index = 0;
        TRY(read_word(parser, name));
        if (name[0]) {
            index = find_parameter(spec, name);
            if (index < 0)
                return refuse_parameter(parser, spec, name);
            if (!take(parser, '='))
                return refuse(parser, STATUS_USAGE, "expected '=' after %s", name);
        } else if (position > 0) {
            return refuse(parser, STATUS_USAGE, "expected the name of a parameter: %s(name=value, ...)", spec->name);
        }
        if (seen[index])
            return refuse(parser, STATUS_USAGE, "%s is given twice", name);
        seen[index] = true;
        TRY(read_value(parser, &spec->parameters[index], transform));
        if (take(parser, ')'))
            break;
        if (!take(parser, ','))
            return refuse(parser, STATUS_USAGE, "expected ',' or ')' in %s(...)", spec->name);
    }
cleanup:
    return status;
}

static bool is_crop(enum transform_kind kind)
{
    return kind == TRANSFORM_RANDOM_RESIZED_CROP || kind == TRANSFORM_RANDOM_CROP;
}

static enum status append(const struct parser *parser, const struct transform *transform)
{
    struct recipe *recipe = parser->recipe;
    const struct transform_spec *spec = &transform_specs[transform->kind];
    int same = 0;
    for (int i = 0; i < recipe->count; i++) {
        enum transform_kind kind = recipe->transforms[i].kind;
        same += kind == transform->kind || (is_crop(kind) && is_crop(transform->kind));
    }
    if (same == spec->at_most)
        return is_crop(transform->kind) ? refuse(parser, STATUS_USAGE, "a second crop: a recipe may have only one")
                                        : refuse(parser, STATUS_USAGE, "too many %s: a recipe may have at most %d",
                                                 spec->name, spec->at_most);
    if (recipe->count == RECIPE_MAX_TRANSFORMS)
        return refuse(parser, STATUS_USAGE, "too many transforms: a recipe may have at most %d", RECIPE_MAX_TRANSFORMS);
    if (recipe->count && transform_specs[recipe->transforms[recipe->count - 1].kind].stage > spec->stage)
        return refuse(parser, STATUS_USAGE,
                      "%s cannot come after %s: write crops, flips and rotations first, then color_jitter, then erase, "
                      "then mixup and cutmix",
                      spec->name, transform_specs[recipe->transforms[recipe->count - 1].kind].name);
    recipe->transforms[recipe->count++] = *transform;
    return STATUS_OK;
}

static enum status append_preset(const struct parser *parser, const char *text)
{
    enum status status = STATUS_OK;
    struct recipe expansion;
    if (text[0] == 0)
        return STATUS_OK;
    TRY(recipe_parse(&expansion, text, parser->err));
    for (int i = 0; i < expansion.count; i++)
        TRY(append(parser, &expansion.transforms[i]));
cleanup:
    return status;
}

static enum status refuse_name(const struct parser *parser, const char *name)
{
    const char *names[TRANSFORM_KIND_COUNT + PRESET_COUNT];
    int count = 0;
    for (int i = 0; i < TRANSFORM_KIND_COUNT; i++)
        names[count++] = transform_specs[i].name;
    for (int i = 0; i < PRESET_COUNT; i++)
        names[count++] = presets[i].name;
    const char *nearest = suggest(name, names, count);
    if (nearest)
        return refuse(parser, STATUS_USAGE, "unknown transform '%s' (did you mean %s?)", name, nearest);
    return refuse(
        parser, STATUS_USAGE,
        "unknown transform '%s'; the known ones are random_resized_crop, random_crop, hflip, vflip, rotate, affine, "
        "color_jitter, erase, mixup, cutmix and the presets none, light, photos, photos-mix, food11-strong, cifar",
        name);
}

static enum status read_item(struct parser *parser)
{
    enum status status = STATUS_OK;
    char name[WORD_SIZE];
    TRY(read_word(parser, name));
    if (name[0] == 0)
        return refuse(parser, STATUS_USAGE, "expected the name of a transform or preset");
    for (int i = 0; i < PRESET_COUNT; i++)
        if (strcmp(name, presets[i].name) == 0)
            return append_preset(parser, presets[i].text);
    for (int kind = 0; kind < TRANSFORM_KIND_COUNT; kind++) {
        const struct transform_spec *spec = &transform_specs[kind];
        if (strcmp(name, spec->name) != 0)
            continue;
        struct transform transform = {.kind = (enum transform_kind)kind};
        for (int i = 0; i < MAX_PARAMETERS && spec->parameters[i].name; i++)
            memcpy((char *)&transform + spec->parameters[i].offset, &spec->parameters[i].fallback,
                   spec->parameters[i].is_range ? sizeof(struct range) : sizeof(float));
        if (take(parser, '('))
            TRY(read_parameters(parser, spec, &transform));
        return append(parser, &transform);
    }
    status = refuse_name(parser, name);
cleanup:
    return status;
}

bool recipe_mixes(const struct recipe *recipe)
{
    return recipe->count && transform_specs[recipe->transforms[recipe->count - 1].kind].stage == STAGE_MIX;
}

enum status recipe_parse(struct recipe *recipe, const char *text, struct error *err)
{
    enum status status = STATUS_OK;
    struct parser parser = {text, text, recipe, err};
    *recipe = (struct recipe){.count = 0};
    if (!memchr(text, 0, RECIPE_MAX_TEXT))
        return refuse(&parser, STATUS_USAGE, "the text is longer than %d characters", RECIPE_MAX_TEXT - 1);
    do
        TRY(read_item(&parser));
    while (take(&parser, '+') || take(&parser, ','));
    if (*parser.at)
        return refuse(&parser, STATUS_USAGE, "unexpected '%c'", isprint((unsigned char)*parser.at) ? *parser.at : '?');
    if (!recipe_print(recipe))
        return refuse(&parser, STATUS_USAGE, "with its defaults written out, the recipe is longer than %d characters",
                      RECIPE_MAX_TEXT - 1);
cleanup:
    return status;
}
