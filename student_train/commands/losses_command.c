/* `student_train losses`: the terms that --loss may have, from the table in loss_terms.c. */
#define _GNU_SOURCE
#include "formats/json.h"
#include "shared/base/number_text.h"
#include "shared/base/options.h"
#include "shared/base/suggest.h"
#include "student_train/commands/commands.h"
#include "student_train/loss/loss_terms.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 100, NAME_COLUMN = 2, LABEL_COLUMN = 16, TEXT_COLUMN = 28, MAX_NAMES = 64 };

/* What a parameter means; a row with a term comes before the one for all terms. */
static const struct {
    const char *term, *parameter, *meaning;
} meanings[] = {
    {"dkd", "alpha", "weight of the target class against the rest"},
    {"dkd", "beta", "weight of the other classes among themselves"},
    {"dist", "beta", "weight of the correlation within rows (classes of a sample)"},
    {"dist", "gamma", "weight of the correlation within columns (samples of a class)"},
    {"nkd", "gamma", "weight of the classes other than the label"},
    {"ce", "student", "a value of the student instead of its logits"},
    {"crd", "momentum", "of the memories"},
    {NULL, "T", "temperature: logits are divided by it"},
    {NULL, "label_smoothing", "share of the target that all classes get alike"},
    {NULL, "reduction", "batchmean: the sum over classes; mean: their mean, which is weaker by the number of classes"},
    {NULL, "standardise", "logits minus their mean, divided by their standard deviation, row by row"},
    {NULL, "form", "kl: the divergence; printed: with probabilities where it has their logarithm"},
    {NULL, "student", "value of the student, or several as [a, b]; student_train inspect lists them"},
    {NULL, "teacher", "feature of the cache, or several as [a, b]; as many as student has"},
    {NULL, "regressor", "trained layer that brings the student's value to the teacher's channels"},
    {NULL, "distance", "of differences: squared, or smooth L1 (huber: the same, beta 1)"},
    {NULL, "scale", "mean: distances are divided by their mean"},
    {NULL, "variance", "of every channel at the beginning"},
    {NULL, "negatives", "other samples that a sample is held against"},
    {NULL, "warmup", "epochs in which the weight rises from 0"},
    {NULL, "ramp", "then the weight goes to this many times itself ..."},
    {NULL, "ramp_epochs", "... in so many epochs; 0: it stays"},
};

static const char *const compared[] = {
    [VALUES_NONE] = "the logits",
    [VALUES_OPTIONAL] = "the student's logits, or a value of it",
    [VALUES_EQUAL] = "values of the same shape (regressor= makes them so; larger maps are averaged)",
    [VALUES_PIXELS] = "maps of the same height and width (larger ones are averaged)",
    [VALUES_ANY] = "values of any shapes",
    [VALUES_EMBEDDED] = "values of any shapes, in trained embeddings",
};

static const char *meaning(const struct loss_entry *entry, const struct loss_parameter *parameter)
{
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if ((!meanings[i].term || strcmp(meanings[i].term, entry->name) == 0) &&
            strcmp(meanings[i].parameter, parameter->name) == 0)
            return meanings[i].meaning;
    return "";
}

/* Prints text in words after a label; further lines are as far in. */
static void print_text(const char *label, int column, const char *text)
{
    int at = printf("%-*s", column, label);
    if (at > column) {
        printf("\n%*s", column, "");
        at = column;
    }
    for (bool first = true; *text; first = false) {
        const int length = (int)strcspn(text, " ");
        if (!first && at + 1 + length > WIDTH) {
            printf("\n%*s", column, "");
            at = column;
            first = true;
        }
        at += printf("%s%.*s", first ? "" : " ", length, text);
        text += length;
        text += strspn(text, " ");
    }
    printf("\n");
}

/* Which of its words a parameter has by itself. */
static unsigned default_word(const struct loss_entry *entry, const struct loss_parameter *parameter)
{
    const void *value = loss_parameter_field(&entry->defaults, parameter);
    return parameter->type == PARAMETER_WORD   ? *(const unsigned *)value
           : parameter->type == PARAMETER_FLAG ? *(const bool *)value
                                               : 0;
}

/* "T=4 (0.001..10000)", "reduction=batchmean|mean" (the default first), "student=VALUE". */
static void write_parameter(FILE *out, const struct loss_entry *entry, const struct loss_parameter *parameter)
{
    char number[FLOAT_TEXT_SIZE];
    fprintf(out, "%s=", parameter->name);
    if (parameter->type == PARAMETER_NUMBER) {
        const float value = *(const float *)loss_parameter_field(&entry->defaults, parameter);
        fprintf(out, "%s (%.7g..%.7g)", float_text(value, number), (double)parameter->low, (double)parameter->high);
    } else if (parameter->words) {
        const unsigned usual = default_word(entry, parameter);
        fputs(parameter->words[usual], out);
        for (unsigned i = 0; parameter->words[i]; i++)
            if (i != usual)
                fprintf(out, "|%s", parameter->words[i]);
    } else {
        fputs("VALUE", out);
    }
}

/* A parameter's text, malloc'ed; of the whole list where all is set. NULL out of memory. */
static char *parameter_text(const struct loss_entry *entry, const struct loss_parameter *list, bool all)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (const struct loss_parameter *p = list; p->name && (all || p == list); p++) {
        fputs(p == list ? "" : ", ", out);
        write_parameter(out, entry, p);
    }
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

/* ---- the table, and one term ---- */

static enum status print_row(const struct loss_entry *entry, struct error *err)
{
    char label[64], *parameters = parameter_text(entry, entry->parameters, true);
    if (!parameters)
        return error_no_memory(err, 0, "a table");
    snprintf(label, sizeof label, "%*s%s", NAME_COLUMN, "", entry->name);
    print_text(label, LABEL_COLUMN, entry->what);
    snprintf(label, sizeof label, "%*ssource", LABEL_COLUMN, "");
    if (*entry->source)
        print_text(label, TEXT_COLUMN, entry->source);
    snprintf(label, sizeof label, "%*susual", LABEL_COLUMN, "");
    print_text(label, TEXT_COLUMN, entry->usual);
    snprintf(label, sizeof label, "%*sparameters", LABEL_COLUMN, "");
    if (*parameters)
        print_text(label, TEXT_COLUMN, parameters);
    free(parameters);
    return STATUS_OK;
}

static enum status print_table(struct error *err)
{
    static const struct {
        const char *title;
        unsigned values; /* a bit for each of enum loss_compared */
    } groups[] = {{"On logits", 1u << VALUES_NONE | 1u << VALUES_OPTIONAL},
                  {"On features, element by element", 1u << VALUES_EQUAL | 1u << VALUES_PIXELS},
                  {"On how the samples of a batch lie to one another", 1u << VALUES_ANY},
                  {"In trained embeddings", 1u << VALUES_EMBEDDED}};
    enum status status = STATUS_OK;
    printf("Terms of --loss 'WEIGHT*TERM(PARAMETER=VALUE, ...) + ...', a weight is 1 where none is given.\n"
           "`student_train losses TERM` has a term's formula and what its parameters mean.\n");
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        printf("\n%s\n", groups[g].title);
        for (int i = 0; i < loss_entry_count; i++)
            if (groups[g].values >> loss_entries[i].values & 1)
                TRY(print_row(&loss_entries[i], err));
    }
    printf("\n");
    print_text("", 0,
               "Every term also has warmup=E (epochs in which its weight rises from 0), ramp=R and ramp_epochs=E (then "
               "it goes to R times itself in E epochs). Without student= and teacher= terms on features compare the "
               "vectors before the last linear layers; the logits where the cache has no such feature.");
cleanup:
    return status;
}

static enum status print_term(const struct loss_entry *entry, struct error *err)
{
    const struct loss_parameter *const lists[] = {entry->parameters, loss_common_parameters};
    printf("%s\n", entry->name);
    print_text("  what", LABEL_COLUMN, entry->what);
    print_text("  formula", LABEL_COLUMN, entry->formula);
    print_text("  compares", LABEL_COLUMN, compared[entry->values]);
    print_text("  needs", LABEL_COLUMN,
               entry->needs_teacher && entry->needs_labels ? "a cache with a teacher, and labels"
               : entry->needs_teacher                      ? "a cache with a teacher; no labels"
                                                           : "labels; no teacher");
    if (*entry->source)
        print_text("  source", LABEL_COLUMN, entry->source);
    print_text("  usual", LABEL_COLUMN, entry->usual);
    printf("  parameters\n");
    for (int k = 0; k < 2; k++)
        for (const struct loss_parameter *p = lists[k]; p->name; p++) {
            char label[160], *text = parameter_text(entry, p, false);
            if (!text)
                return error_no_memory(err, 0, "a table");
            snprintf(label, sizeof label, "    %s  ", text);
            free(text);
            print_text(label, LABEL_COLUMN + 26, meaning(entry, p));
        }
    print_text("", 0,
               "z: logits of n rows and C classes, s the student's, t the teacher's; y: label; f: a value; x: the "
               "same, flattened to a row.");
    return STATUS_OK;
}

/* ---- JSON ---- */

static cJSON *parameter_json(const struct loss_entry *entry, const struct loss_parameter *parameter)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "name", parameter->name);
    cJSON_AddStringToObject(item, "meaning", meaning(entry, parameter));
    if (parameter->type == PARAMETER_NUMBER) {
        const float *value = loss_parameter_field(&entry->defaults, parameter);
        cJSON_AddItemToObject(item, "default", json_float(*value));
        cJSON_AddItemToObject(item, "minimum", json_float(parameter->low));
        cJSON_AddItemToObject(item, "below", json_float(parameter->high));
    } else if (parameter->words) {
        cJSON *choices = cJSON_AddArrayToObject(item, "choices");
        cJSON_AddStringToObject(item, "default", parameter->words[default_word(entry, parameter)]);
        for (int i = 0; parameter->words[i]; i++)
            cJSON_AddItemToArray(choices, cJSON_CreateString(parameter->words[i]));
    }
    return item;
}

static cJSON *entry_json(const struct loss_entry *entry)
{
    const struct loss_parameter *const lists[] = {entry->parameters, loss_common_parameters};
    cJSON *item = cJSON_CreateObject(), *parameters;
    cJSON_AddStringToObject(item, "term", entry->name);
    cJSON_AddStringToObject(item, "what", entry->what);
    cJSON_AddStringToObject(item, "formula", entry->formula);
    cJSON_AddStringToObject(item, "compares", compared[entry->values]);
    cJSON_AddStringToObject(item, "source", entry->source);
    cJSON_AddStringToObject(item, "usual", entry->usual);
    cJSON_AddBoolToObject(item, "needs_teacher", entry->needs_teacher);
    cJSON_AddBoolToObject(item, "needs_labels", entry->needs_labels);
    parameters = cJSON_AddArrayToObject(item, "parameters");
    for (int k = 0; k < 2; k++)
        for (const struct loss_parameter *p = lists[k]; p->name; p++)
            cJSON_AddItemToArray(parameters, parameter_json(entry, p));
    return item;
}

/* One term's object, or the array of all. */
static enum status print_json(const struct loss_entry *entry, struct error *err)
{
    cJSON *tree = entry ? entry_json(entry) : cJSON_CreateArray();
    for (int i = 0; i < loss_entry_count && !entry; i++)
        cJSON_AddItemToArray(tree, entry_json(&loss_entries[i]));
    char *text = cJSON_Print(tree);
    cJSON_Delete(tree);
    if (!text)
        return error_no_memory(err, 0, "a table");
    printf("%s\n", text);
    free(text);
    return STATUS_OK;
}

static enum status find_term(const char *name, const struct loss_entry **entry, struct error *err)
{
    const char *names[MAX_NAMES];
    int count = 0;
    for (; count < loss_entry_count && count < MAX_NAMES; count++) {
        names[count] = loss_entries[count].name;
        if (strcmp(name, names[count]) == 0) {
            *entry = &loss_entries[count];
            return STATUS_OK;
        }
    }
    const char *near = suggest(name, names, count);
    if (near)
        return error_set(err, STATUS_USAGE, NULL, "unknown term '%s'; did you mean '%s'?", name, near);
    return error_set(err, STATUS_USAGE, NULL, "unknown term '%s'; `student_train losses` lists them", name);
}

enum status losses_command(int argc, char **argv, struct error *err)
{
    enum status status = STATUS_OK;
    const char *term = NULL;
    const struct loss_entry *entry = NULL;
    bool json = false;
    const struct option_spec specs[] = {
        {"term", OPTION_POSITIONAL, &term, "TERM", NULL, "only this one, with its formula and what parameters mean"},
        {"json", OPTION_FLAG, &json, NULL, NULL, "as JSON"},
    };
    struct options table = {.command = "student_train losses",
                            .summary = "lists the terms that --loss may have",
                            .specs = specs,
                            .count = sizeof specs / sizeof *specs};
    TRY(options_parse(&table, argc, argv, err));
    if (table.help) {
        options_print_help(&table, stdout);
        goto cleanup;
    }
    if (term)
        TRY(find_term(term, &entry, err));
    status = json ? print_json(entry, err) : entry ? print_term(entry, err) : print_table(err);
cleanup:
    options_release(&table);
    return status;
}
