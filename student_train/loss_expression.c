#include "student_train/loss_expression.h"

#include "shared/base/number_text.h"
#include "shared/base/suggest.h"
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    const char *text, *at;
    struct error *err;
};

/* A parameter of a term: a number in [low, high), or one of two words. */
struct parameter {
    const char *name;
    void (*set)(struct loss_term *term, float value);
    float low, high;
    const char *const *words; /* ends with NULL; then the value is the word's index */
};

static void set_smoothing(struct loss_term *term, float value)
{
    term->label_smoothing = value;
}

static void set_temperature(struct loss_term *term, float value)
{
    term->temperature = value;
}

static void set_reduction(struct loss_term *term, float value)
{
    term->reduction = value == 0 ? REDUCTION_BATCHMEAN : REDUCTION_MEAN;
}

static const char *const reductions[] = {"batchmean", "mean", NULL};
static const struct parameter ce_parameters[] = {{"label_smoothing", set_smoothing, 0, 1, NULL}, {0}};
static const struct parameter kd_parameters[] = {
    {"T", set_temperature, 1e-3f, 1e4f, NULL}, {"reduction", set_reduction, 0, 0, reductions}, {0}};

static const struct term_kind {
    const char *name;
    const struct parameter *parameters;
    bool needs_teacher, needs_labels;
} kinds[LOSS_KIND_COUNT] = {
    [LOSS_CE] = {"ce", ce_parameters, false, true},
    [LOSS_KD] = {"kd", kd_parameters, true, false},
};

enum { MAX_NAMES = 32 };

__attribute__((format(printf, 2, 3))) static enum status bad(const struct reader *reader, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return error_set(reader->err, STATUS_USAGE, NULL, "loss '%.200s', column %d: %s", reader->text,
                     (int)(reader->at - reader->text) + 1, text);
}

static void skip_blanks(struct reader *reader)
{
    while (isspace((unsigned char)*reader->at))
        reader->at++;
}

static bool take(struct reader *reader, char c)
{
    skip_blanks(reader);
    bool there = *reader->at == c;
    reader->at += there;
    return there;
}

/* An identifier; false where there is none. */
static bool read_word(struct reader *reader, char word[LOSS_MAX_NAME])
{
    size_t length = 0;
    skip_blanks(reader);
    while (isalnum((unsigned char)reader->at[length]) || (length && reader->at[length] == '_'))
        length++;
    if (length == 0 || length >= LOSS_MAX_NAME || isdigit((unsigned char)reader->at[0]))
        return false;
    memcpy(word, reader->at, length);
    word[length] = 0;
    reader->at += length;
    return true;
}

static bool read_number(struct reader *reader, float *number)
{
    char *end = NULL;
    skip_blanks(reader);
    if (!isdigit((unsigned char)*reader->at) && *reader->at != '.')
        return false;
    *number = strtof(reader->at, &end);
    if (end == reader->at || !isfinite(*number))
        return false;
    reader->at = end;
    return true;
}

/* "unknown WHAT 'word'[, did you mean 'near'?]; known: a, b" */
static enum status unknown(struct reader *reader, const char *what, const char *word, const char *const *names,
                           int count)
{
    char list[256] = "";
    const char *near = suggest(word, names, count);
    for (int i = 0; i < count; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", names[i]);
    reader->at -= strlen(word);
    return bad(reader, "unknown %s '%s'%s%s%s; known: %s", what, word, near ? ", did you mean '" : "", near ? near : "",
               near ? "'?" : "", list);
}

static enum status read_value(struct reader *reader, const struct parameter *parameter, struct loss_term *term)
{
    char word[LOSS_MAX_NAME];
    float number = 0;
    int count = 0;
    if (parameter->words) {
        if (!read_word(reader, word))
            return bad(reader, "'%s' wants a word", parameter->name);
        for (; parameter->words[count]; count++)
            if (strcmp(parameter->words[count], word) == 0) {
                parameter->set(term, (float)count);
                return STATUS_OK;
            }
        return unknown(reader, parameter->name, word, parameter->words, count);
    }
    if (!read_number(reader, &number) || number < parameter->low || number >= parameter->high)
        return bad(reader, "'%s' wants a number from %g up to %g", parameter->name, (double)parameter->low,
                   (double)parameter->high);
    parameter->set(term, number);
    return STATUS_OK;
}

static enum status read_parameters(struct reader *reader, const struct term_kind *kind, struct loss_term *term)
{
    enum status status = STATUS_OK;
    if (!take(reader, '(') || take(reader, ')'))
        return STATUS_OK;
    do {
        const char *names[MAX_NAMES];
        char word[LOSS_MAX_NAME];
        const struct parameter *parameter = kind->parameters;
        int count = 0;
        if (!read_word(reader, word))
            return bad(reader, "a parameter of %s is missing, such as %s=...", kind->name, kind->parameters->name);
        for (; parameter->name && strcmp(parameter->name, word) != 0; parameter++)
            names[count++] = parameter->name;
        if (!parameter->name)
            return unknown(reader, "parameter", word, names, count);
        if (!take(reader, '='))
            return bad(reader, "'=' is missing after '%s'", word);
        status = read_value(reader, parameter, term);
    } while (status == STATUS_OK && take(reader, ','));
    if (status == STATUS_OK && !take(reader, ')'))
        return bad(reader, "')' is missing");
    return status;
}

static enum status read_term(struct reader *reader, struct loss_expression *expression)
{
    const char *names[LOSS_KIND_COUNT];
    char word[LOSS_MAX_NAME];
    struct loss_term *term = &expression->terms[expression->count];
    int kind = 0, same = 1;
    if (expression->count == LOSS_MAX_TERMS)
        return bad(reader, "more than %d terms", LOSS_MAX_TERMS);
    *term = (struct loss_term){.weight = 1, .temperature = 4};
    if (read_number(reader, &term->weight) && !take(reader, '*'))
        return bad(reader, "'*' is missing after the weight");
    if (!read_word(reader, word))
        return bad(reader, "a term is missing, such as ce or kd(T=4)");
    for (int i = 0; i < LOSS_KIND_COUNT; i++)
        names[i] = kinds[i].name;
    while (kind < LOSS_KIND_COUNT && strcmp(names[kind], word) != 0)
        kind++;
    if (kind == LOSS_KIND_COUNT)
        return unknown(reader, "term", word, names, LOSS_KIND_COUNT);
    term->kind = (enum loss_kind)kind;
    for (int i = 0; i < expression->count; i++)
        same += expression->terms[i].kind == term->kind;
    snprintf(expression->names[expression->count], LOSS_MAX_NAME, same > 1 ? "%.40s_%d" : "%.40s", word, same);
    expression->needs_teacher |= kinds[kind].needs_teacher;
    expression->needs_labels |= kinds[kind].needs_labels;
    expression->count++;
    return read_parameters(reader, &kinds[kind], term);
}

static void append(struct loss_expression *expression, const char *text)
{
    size_t length = strlen(expression->text);
    snprintf(expression->text + length, sizeof expression->text - length, "%s", text);
}

static void append_number(struct loss_expression *expression, float number)
{
    char text[FLOAT_TEXT_SIZE];
    append(expression, float_text(number, text));
}

static void write_text(struct loss_expression *expression)
{
    for (int i = 0; i < expression->count; i++) {
        const struct loss_term *term = &expression->terms[i];
        append(expression, i ? " + " : "");
        if (term->weight != 1) {
            append_number(expression, term->weight);
            append(expression, "*");
        }
        append(expression, kinds[term->kind].name);
        if (term->kind == LOSS_KD) {
            append(expression, "(T=");
            append_number(expression, term->temperature);
            append(expression, term->reduction == REDUCTION_MEAN ? ", reduction=mean)" : ")");
        } else if (term->label_smoothing > 0) {
            append(expression, "(label_smoothing=");
            append_number(expression, term->label_smoothing);
            append(expression, ")");
        }
    }
}

enum status loss_expression_parse(struct loss_expression *expression, const char *text, struct error *err)
{
    enum status status = STATUS_OK;
    struct reader reader = {.text = text, .at = text, .err = err};
    *expression = (struct loss_expression){0};
    do
        TRY(read_term(&reader, expression));
    while (take(&reader, '+'));
    skip_blanks(&reader);
    if (*reader.at)
        TRY(bad(&reader, "'+' is missing between terms"));
    write_text(expression);
cleanup:
    return status;
}
