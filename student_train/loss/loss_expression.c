#include "student_train/loss/loss_terms.h"

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

enum { MAX_NAMES = 32 };

__attribute__((format(printf, 2, 3))) static enum status bad(const struct reader *reader, const char *format, ...)
{
    char text[1024];
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

/* An identifier; false if there is none. */
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
    char list[512] = "";
    const char *near = suggest(word, names, count);
    for (int i = 0; i < count; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", names[i]);
    reader->at -= strlen(word);
    return bad(reader, "unknown %s '%s'%s%s%s; known: %s", what, word, near ? ", did you mean '" : "", near ? near : "",
               near ? "'?" : "", list);
}

/* The index of a word in the parameter's words. */
static enum status read_choice(struct reader *reader, const struct loss_parameter *parameter, int *choice)
{
    char word[LOSS_MAX_NAME];
    int count = 0;
    if (!read_word(reader, word))
        return bad(reader, "'%s' needs a word", parameter->name);
    for (; parameter->words[count]; count++)
        if (strcmp(parameter->words[count], word) == 0) {
            *choice = count;
            return STATUS_OK;
        }
    return unknown(reader, parameter->name, word, parameter->words, count);
}

/* The name of a feature: plain characters, or anything in quotes. */
static enum status read_feature(struct reader *reader, char name[LOSS_MAX_FEATURE_NAME])
{
    size_t length = 0;
    skip_blanks(reader);
    const char quote = *reader->at == '\'' || *reader->at == '"' ? *reader->at++ : 0;
    while (reader->at[length] && (quote ? reader->at[length] != quote : loss_name_plain(reader->at[length])))
        length++;
    if (length == 0 || length >= LOSS_MAX_FEATURE_NAME || (quote && reader->at[length] != quote))
        return bad(reader, "the name of a feature is missing, such as student=block5");
    memcpy(name, reader->at, length);
    name[length] = 0;
    reader->at += length + (quote != 0);
    return STATUS_OK;
}

static enum status read_features(struct reader *reader, char names[LOSS_MAX_PAIRS][LOSS_MAX_FEATURE_NAME], int *count)
{
    enum status status = STATUS_OK;
    const bool list = take(reader, '[');
    *count = 0;
    do {
        if (*count == LOSS_MAX_PAIRS)
            return bad(reader, "more than %d features", LOSS_MAX_PAIRS);
        TRY(read_feature(reader, names[(*count)++]));
    } while (list && take(reader, ','));
    if (list && !take(reader, ']'))
        TRY(bad(reader, "']' is missing"));
cleanup:
    return status;
}

static enum status read_value(struct reader *reader, const struct loss_parameter *parameter, struct loss_term *term,
                              struct feature_names *features)
{
    enum status status = STATUS_OK;
    float number = 0;
    int choice = 0;
    switch (parameter->type) {
    case PARAMETER_STUDENT:
        return read_features(reader, features->student, &features->student_count);
    case PARAMETER_TEACHER:
        return read_features(reader, features->teacher, &features->teacher_count);
    case PARAMETER_REGRESSOR:
        TRY(read_choice(reader, parameter, &choice));
        features->regressor = (enum loss_regressor)choice;
        break;
    case PARAMETER_WORD:
        TRY(read_choice(reader, parameter, &choice));
        *(unsigned *)loss_parameter_field(term, parameter) = (unsigned)choice;
        break;
    case PARAMETER_FLAG:
        TRY(read_choice(reader, parameter, &choice));
        *(bool *)loss_parameter_field(term, parameter) = choice != 0;
        break;
    case PARAMETER_NUMBER:
        if (!read_number(reader, &number) || number < parameter->low || number >= parameter->high)
            return bad(reader, "'%s' must be a number from %g to below %g", parameter->name, (double)parameter->low,
                       (double)parameter->high);
        *(float *)loss_parameter_field(term, parameter) = number;
        break;
    }
cleanup:
    return status;
}

static int list_parameters(const struct loss_entry *entry, const char *names[MAX_NAMES])
{
    const struct loss_parameter *const lists[] = {entry->parameters, loss_common_parameters};
    int count = 0;
    for (int i = 0; i < 2; i++)
        for (const struct loss_parameter *p = lists[i]; p->name; p++)
            names[count++] = p->name;
    return count;
}

static enum status read_parameters(struct reader *reader, const struct loss_entry *entry, struct loss_term *term,
                                   struct feature_names *features)
{
    enum status status = STATUS_OK;
    if (!take(reader, '(') || take(reader, ')'))
        return STATUS_OK;
    do {
        const char *names[MAX_NAMES];
        char word[LOSS_MAX_NAME];
        const int count = list_parameters(entry, names);
        if (!read_word(reader, word))
            return bad(reader, "a parameter of %s is missing, such as %s=...", entry->name, names[0]);
        const struct loss_parameter *parameter = loss_parameter_find(entry, word);
        if (!parameter)
            return unknown(reader, "parameter", word, names, count);
        if (!take(reader, '='))
            return bad(reader, "'=' is missing after '%s'", word);
        status = read_value(reader, parameter, term, features);
    } while (status == STATUS_OK && take(reader, ','));
    if (status == STATUS_OK && !take(reader, ')'))
        return bad(reader, "')' is missing");
    return status;
}

/* Features come in pairs, except for a term that compares the student's feature with the labels. */
static enum status check_features(const struct reader *reader, const struct loss_entry *entry,
                                  const struct feature_names *features)
{
    if (entry->compares == COMPARES_LOGITS_OR_FEATURE && features->student_count > 1)
        return bad(reader, "%s takes one feature", entry->name);
    if (entry->compares != COMPARES_LOGITS_OR_FEATURE && features->student_count != features->teacher_count)
        return bad(reader, "%s has %d features of the student and %d of the teacher; give them in pairs", entry->name,
                   features->student_count, features->teacher_count);
    return STATUS_OK;
}

static enum status read_term(struct reader *reader, struct loss_expression *expression)
{
    char word[LOSS_MAX_NAME];
    const int i = expression->count;
    float weight = 1;
    int same = 1;
    enum status status = STATUS_OK;
    if (i == LOSS_MAX_TERMS)
        return bad(reader, "more than %d terms", LOSS_MAX_TERMS);
    if (read_number(reader, &weight) && !take(reader, '*'))
        return bad(reader, "'*' is missing after the weight");
    if (!read_word(reader, word))
        return bad(reader, "a term is missing, such as ce or kd(T=4)");
    const struct loss_entry *entry = loss_entry_find(word);
    if (!entry) {
        const char *names[MAX_NAMES];
        for (int k = 0; k < loss_entry_count; k++)
            names[k] = loss_entries[k].name;
        return unknown(reader, "term", word, names, loss_entry_count);
    }
    for (int k = 0; k < i; k++)
        same += expression->entries[k] == entry;
    snprintf(expression->names[i], LOSS_MAX_NAME, same > 1 ? "%.40s_%d" : "%.40s", word, same);
    expression->entries[i] = entry;
    expression->terms[i] = entry->defaults;
    expression->terms[i].weight = weight;
    expression->needs_teacher |= entry->needs_teacher;
    expression->needs_labels |= entry->needs_labels;
    expression->count++;
    TRY(read_parameters(reader, entry, &expression->terms[i], &expression->features[i]));
    TRY(check_features(reader, entry, &expression->features[i]));
cleanup:
    return status;
}

float loss_term_weight(const struct loss_term *term, int epoch)
{
    const float risen = (float)epoch + 1;
    float weight = term->weight;
    if (risen < term->warmup)
        return weight * risen / term->warmup;
    if (term->ramp_epochs > 0) {
        const float way = ((float)epoch - term->warmup) / term->ramp_epochs;
        weight *= 1 + (term->ramp - 1) * (way < 0 ? 0 : way < 1 ? way : 1);
    }
    return weight;
}

bool loss_expression_on_features(const struct loss_expression *expression, int i)
{
    const enum loss_compares compares = expression->entries[i]->compares;
    return compares == COMPARES_LOGITS_OR_FEATURE ? expression->features[i].student_count > 0
                                                  : compares != COMPARES_LOGITS;
}

bool loss_expression_alike(const struct loss_expression *a, const struct loss_expression *b)
{
    bool same = a->count == b->count;
    for (int i = 0; same && i < a->count; i++)
        same = a->entries[i] == b->entries[i] && memcmp(&a->features[i], &b->features[i], sizeof a->features[i]) == 0;
    return same;
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
    if (!loss_expression_write(expression))
        TRY(bad(&reader, "the expression is too long"));
cleanup:
    return status;
}
