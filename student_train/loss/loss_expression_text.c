/* The canonical text of a loss expression. */
#include "student_train/loss/loss_terms.h"

#include "shared/base/number_text.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Appends to the canonical text; false if it does not fit. */
__attribute__((format(printf, 2, 3))) static bool append(struct loss_expression *expression, const char *format, ...)
{
    const size_t length = strlen(expression->text), capacity = sizeof expression->text - length;
    va_list args;
    va_start(args, format);
    const int written = vsnprintf(expression->text + length, capacity, format, args);
    va_end(args);
    return written >= 0 && (size_t)written < capacity;
}

static bool append_features(struct loss_expression *expression, const char (*names)[LOSS_MAX_FEATURE_NAME], int count)
{
    bool fits = append(expression, count > 1 ? "[" : "");
    for (int i = 0; i < count; i++) {
        bool quoted = false;
        for (const char *c = names[i]; *c; c++)
            quoted |= !loss_name_plain(*c);
        const char *quote = !quoted ? "" : strchr(names[i], '"') ? "'" : "\"";
        fits &= append(expression, "%s%s%s%s", i ? ", " : "", quote, names[i], quote);
    }
    return append(expression, count > 1 ? "]" : "") && fits;
}

/* " NAME=VALUE" of a parameter that is not at its default. */
static bool append_parameter(struct loss_expression *expression, int i, const struct loss_parameter *parameter,
                             int *written)
{
    const struct loss_term *term = &expression->terms[i], *defaults = &expression->entries[i]->defaults;
    const struct feature_names *features = &expression->features[i];
    const void *value = loss_parameter_field(term, parameter), *usual = loss_parameter_field(defaults, parameter);
    const enum loss_parameter_type type = parameter->type;
    char number[FLOAT_TEXT_SIZE];
    const bool there = type == PARAMETER_NUMBER    ? *(const float *)value != *(const float *)usual
                       : type == PARAMETER_WORD    ? *(const unsigned *)value != *(const unsigned *)usual
                       : type == PARAMETER_FLAG    ? *(const bool *)value != *(const bool *)usual
                       : type == PARAMETER_STUDENT ? features->student_count > 0
                       : type == PARAMETER_TEACHER ? features->teacher_count > 0
                                                   : features->regressor != REGRESSOR_NONE;
    if (!there && !parameter->always)
        return true;
    bool fits = append(expression, "%s%s=", (*written)++ ? ", " : "(", parameter->name);
    switch (type) {
    case PARAMETER_NUMBER:
        return append(expression, "%s", float_text(*(const float *)value, number)) && fits;
    case PARAMETER_WORD:
        return append(expression, "%s", parameter->words[*(const unsigned *)value]) && fits;
    case PARAMETER_FLAG:
        return append(expression, "%s", parameter->words[*(const bool *)value]) && fits;
    case PARAMETER_STUDENT:
        return append_features(expression, (const char(*)[LOSS_MAX_FEATURE_NAME])features->student,
                               features->student_count) &&
               fits;
    case PARAMETER_TEACHER:
        return append_features(expression, (const char(*)[LOSS_MAX_FEATURE_NAME])features->teacher,
                               features->teacher_count) &&
               fits;
    default:
        return append(expression, "%s", parameter->words[features->regressor]) && fits;
    }
}

static bool write_term(struct loss_expression *expression, int i)
{
    const struct loss_entry *entry = expression->entries[i];
    const struct loss_parameter *const lists[] = {entry->parameters, loss_common_parameters};
    char number[FLOAT_TEXT_SIZE];
    int written = 0;
    bool fits = append(expression, i ? " + " : "");
    if (expression->terms[i].weight != 1)
        fits &= append(expression, "%s*", float_text(expression->terms[i].weight, number));
    fits &= append(expression, "%s", entry->name);
    for (int k = 0; k < 2; k++)
        for (const struct loss_parameter *p = lists[k]; p->name; p++)
            fits &= append_parameter(expression, i, p, &written);
    return append(expression, written ? ")" : "") && fits;
}

bool loss_expression_write(struct loss_expression *expression)
{
    bool fits = true;
    expression->text[0] = 0;
    for (int i = 0; i < expression->count; i++)
        fits &= write_term(expression, i);
    return fits;
}
