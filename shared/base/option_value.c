#include "shared/base/options.h"

#include "shared/base/suggest.h"
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *option_label(const struct option_spec *spec, char *buffer, size_t size)
{
    if (spec->type == OPTION_POSITIONAL)
        snprintf(buffer, size, "%s", spec->argument ? spec->argument : spec->name);
    else
        snprintf(buffer, size, "--%s", spec->name);
    return buffer;
}

static enum status bad_value(const struct option_spec *spec, const struct option_value *value, const char *text,
                             struct error *err, const char *expected)
{
    char label[128];
    return error_set(err, value->place ? STATUS_CONFIG : STATUS_USAGE, value->place, "%s: '%s' is not %s",
                     option_label(spec, label, sizeof label), text, expected);
}

static bool in_range(const struct option_spec *spec, double number)
{
    return !(spec->minimum < spec->maximum) || (number >= spec->minimum && number <= spec->maximum);
}

static enum status out_of_range(const struct option_spec *spec, const struct option_value *value, const char *text,
                                struct error *err)
{
    char expected[96];
    if (spec->maximum >= INT_MAX)
        snprintf(expected, sizeof expected, "%.15g or more", spec->minimum);
    else
        snprintf(expected, sizeof expected, "between %.15g and %.15g", spec->minimum, spec->maximum);
    return bad_value(spec, value, text, err, expected);
}

/* Decimal digits only: no sign, no blanks. */
static bool parse_digits(const char *text, char **end, uint64_t *number)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long long parsed = strtoull(text, end, 10);
    *number = parsed;
    return errno == 0;
}

static bool parse_int(const char *text, int *number)
{
    char *end;
    uint64_t magnitude;
    bool negative = text[0] == '-';
    if (!parse_digits(text + negative, &end, &magnitude) || *end || magnitude > (uint64_t)INT_MAX)
        return false;
    *number = negative ? -(int)magnitude : (int)magnitude;
    return true;
}

static bool parse_size(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMGT";
    char *end;
    if (!parse_digits(text, &end, bytes))
        return false;
    if (!*end)
        return true;
    const char *unit = strchr(units, toupper((unsigned char)*end));
    if (!unit || end[1])
        return false;
    unsigned shift = 10 * (unsigned)(unit - units + 1);
    if (*bytes > UINT64_MAX >> shift)
        return false;
    *bytes <<= shift;
    return true;
}

/* A finite decimal number that ends at a terminator. */
static bool parse_float(const char *text, char terminator, const char **end, double *number)
{
    if (!isdigit((unsigned char)text[0]) && !strchr("+-.", text[0]))
        return false;
    char *stop;
    *number = strtod(text, &stop);
    *end = stop;
    return stop != text && (*stop == 0 || *stop == terminator) && isfinite(*number) &&
           !memchr(text, 'x', (size_t)(stop - text));
}

static enum status convert_floats(const struct option_spec *spec, const struct option_value *value, const char *text,
                                  struct error *err)
{
    double *numbers = spec->target;
    const char *rest = text;
    char expected[64];
    snprintf(expected, sizeof expected, "%d number%s separated by commas", spec->length, spec->length == 1 ? "" : "s");
    for (int i = 0; i < spec->length; i++) {
        if (!parse_float(rest, ',', &rest, &numbers[i]) || (*rest == ',') != (i + 1 < spec->length))
            return bad_value(spec, value, text, err, expected);
        if (!in_range(spec, numbers[i]))
            return out_of_range(spec, value, text, err);
        rest += *rest == ',';
    }
    return STATUS_OK;
}

static enum status convert_choice(const struct option_spec *spec, const struct option_value *value, const char *text,
                                  struct error *err)
{
    char expected[512] = "one of";
    int count = 0;
    for (; spec->choices[count]; count++) {
        if (strcmp(text, spec->choices[count]) == 0) {
            *(int *)spec->target = count;
            return STATUS_OK;
        }
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s %s", count ? "," : "", spec->choices[count]);
    }
    const char *near = suggest(text, spec->choices, count);
    size_t used = strlen(expected);
    if (near)
        snprintf(expected + used, sizeof expected - used, "; did you mean '%s'?", near);
    return bad_value(spec, value, text, err, expected);
}

static enum status convert_number(const struct option_spec *spec, const struct option_value *value, const char *text,
                                  struct error *err)
{
    const char *end;
    double number = 0;
    switch (spec->type) {
    case OPTION_INT:
        if (!parse_int(text, spec->target))
            return bad_value(spec, value, text, err, "a whole number");
        number = *(int *)spec->target;
        break;
    case OPTION_UINT64: {
        char *stop;
        if (!parse_digits(text, &stop, spec->target) || *stop)
            return bad_value(spec, value, text, err, "a whole number from 0 to 18446744073709551615");
        number = (double)*(uint64_t *)spec->target;
        break;
    }
    case OPTION_SIZE:
        if (!parse_size(text, spec->target))
            return bad_value(spec, value, text, err, "a size such as 4096, 512M or 2G");
        number = (double)*(uint64_t *)spec->target;
        break;
    default:
        if (!parse_float(text, 0, &end, spec->target))
            return bad_value(spec, value, text, err, "a number");
        number = *(double *)spec->target;
        break;
    }
    return in_range(spec, number) ? STATUS_OK : out_of_range(spec, value, text, err);
}

enum status option_convert(const struct option_spec *spec, const struct option_value *value, struct error *err)
{
    const char *text = value->texts[0];
    switch (spec->type) {
    case OPTION_STRING:
    case OPTION_POSITIONAL:
        *(const char **)spec->target = text;
        return STATUS_OK;
    case OPTION_LIST:
        *(struct option_list *)spec->target = (struct option_list){.items = value->texts, .count = value->count};
        return STATUS_OK;
    case OPTION_FLAG:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return bad_value(spec, value, text, err, "true or false");
        *(bool *)spec->target = text[0] == 't';
        return STATUS_OK;
    case OPTION_FLOATS:
        return convert_floats(spec, value, text, err);
    case OPTION_CHOICE:
        return convert_choice(spec, value, text, err);
    default:
        return convert_number(spec, value, text, err);
    }
}

enum status option_part(const char *text, int *part, int *parts, struct error *err)
{
    char rest;
    *part = *parts = 1;
    if (text && (sscanf(text, "%5d/%5d%c", part, parts, &rest) != 2 || *part < 1 || *part > *parts))
        return error_set(err, STATUS_USAGE, NULL, "--part %s: must be I/N with 1 <= I <= N, such as 2/5", text);
    return STATUS_OK;
}
