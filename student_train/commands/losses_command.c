/* `student_train losses`: lists the terms of --loss, from the table in loss_terms.c. */
#define _GNU_SOURCE
#include "formats/json.h"
#include "shared/base/number_text.h"
#include "shared/base/suggest.h"
#include "student_train/commands/command.h"
#include "student_train/commands/student_commands.h"
#include "student_train/loss/loss_terms.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 100, NAME_COLUMN = 2, LABEL_COLUMN = 16, TEXT_COLUMN = 28, MAX_NAMES = 64 };

/* What a term compares, and the heading that it is listed under; the table of terms has them in this order. */
static const struct {
    const char *heading, *text;
} compared[] = {
    [COMPARES_LOGITS] = {"On logits", "the logits"},
    [COMPARES_LOGITS_OR_FEATURE] = {"On logits", "the student's logits, or one of its features"},
    [COMPARES_ELEMENTS] = {"On features, element by element",
                           "features of the same shape (regressor= makes them so; larger maps are averaged)"},
    [COMPARES_PIXELS] = {"On features, element by element",
                         "maps of the same height and width (larger maps are averaged)"},
    [COMPARES_ROWS] = {"On how the samples of a batch relate to one another", "features of any shapes"},
    [COMPARES_EMBEDDINGS] = {"In trained embeddings", "features of any shapes, in trained embeddings"},
};

/* Prints a label, then text that is wrapped at words and indented by `column`. */
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

/* The index of a parameter's default word. */
static unsigned default_word(const struct loss_entry *entry, const struct loss_parameter *parameter)
{
    const void *value = loss_parameter_field(&entry->defaults, parameter);
    return parameter->type == PARAMETER_WORD   ? *(const unsigned *)value
           : parameter->type == PARAMETER_FLAG ? *(const bool *)value
                                               : 0;
}

/* "T=4 (0.001..10000)", "reduction=batchmean|mean" (the default first), "student=FEATURE". */
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
        fputs("FEATURE", out);
    }
}

/* A parameter's text, or that of the whole list if all is set; malloc'ed, NULL when out of memory. */
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
    const char *heading = "";
    enum status status = STATUS_OK;
    printf("Terms of --loss 'WEIGHT*TERM(PARAMETER=VALUE, ...) + ...'; the weight is 1 if none is given.\n"
           "`student_train losses TERM` shows a term's formula and the meaning of its parameters.\n");
    for (int i = 0; i < loss_entry_count; i++) {
        const char *next = compared[loss_entries[i].compares].heading;
        if (strcmp(next, heading) != 0)
            printf("\n%s\n", next);
        heading = next;
        TRY(print_row(&loss_entries[i], err));
    }
    printf("\n");
    print_text(
        "", 0,
        "Every term also has warmup=E (epochs in which its weight rises from 0), ramp=R and ramp_epochs=E (after "
        "the warm-up the weight goes to R times its value within E epochs). Without student= and teacher=, terms "
        "on features compare the vectors before the last linear layers, or the logits if the cache has no such "
        "vector.");
cleanup:
    return status;
}

static enum status print_term(const struct loss_entry *entry, struct error *err)
{
    const struct loss_parameter *const lists[] = {entry->parameters, loss_common_parameters};
    printf("%s\n", entry->name);
    print_text("  what", LABEL_COLUMN, entry->what);
    print_text("  formula", LABEL_COLUMN, entry->formula);
    print_text("  compares", LABEL_COLUMN, compared[entry->compares].text);
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
            print_text(label, LABEL_COLUMN + 26, p->meaning);
        }
    print_text(
        "", 0,
        "z: logits of n rows and C classes, s the student's, t the teacher's; y: the label; f: a feature; x: the "
        "same feature, flattened to a row.");
    return STATUS_OK;
}

/* ---- JSON ---- */

static cJSON *parameter_json(const struct loss_entry *entry, const struct loss_parameter *parameter)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "name", parameter->name);
    cJSON_AddStringToObject(item, "meaning", parameter->meaning);
    if (parameter->type == PARAMETER_NUMBER) {
        const float *value = loss_parameter_field(&entry->defaults, parameter);
        json_add(item, "default", json_float(*value));
        json_add(item, "minimum", json_float(parameter->low));
        json_add(item, "below", json_float(parameter->high));
    } else if (parameter->words) {
        cJSON *choices = cJSON_AddArrayToObject(item, "choices");
        cJSON_AddStringToObject(item, "default", parameter->words[default_word(entry, parameter)]);
        for (int i = 0; parameter->words[i]; i++)
            json_append(choices, cJSON_CreateString(parameter->words[i]));
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
    cJSON_AddStringToObject(item, "compares", compared[entry->compares].text);
    cJSON_AddStringToObject(item, "source", entry->source);
    cJSON_AddStringToObject(item, "usual", entry->usual);
    cJSON_AddBoolToObject(item, "needs_teacher", entry->needs_teacher);
    cJSON_AddBoolToObject(item, "needs_labels", entry->needs_labels);
    parameters = cJSON_AddArrayToObject(item, "parameters");
    for (int k = 0; k < 2; k++)
        for (const struct loss_parameter *p = lists[k]; p->name; p++)
            json_append(parameters, parameter_json(entry, p));
    return item;
}

static cJSON *all_json(void)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < loss_entry_count; i++)
        json_append(list, entry_json(&loss_entries[i]));
    return list;
}

/* ---- the command ---- */

static enum status find_term(const char *name, const struct loss_entry **entry, struct error *err)
{
    const char *names[MAX_NAMES];
    int count = 0;
    *entry = loss_entry_find(name);
    if (*entry)
        return STATUS_OK;
    for (; count < loss_entry_count && count < MAX_NAMES; count++)
        names[count] = loss_entries[count].name;
    const char *near = suggest(name, names, count);
    if (near)
        return error_set(err, STATUS_USAGE, NULL, "unknown term '%s'; did you mean '%s'?", name, near);
    return error_set(err, STATUS_USAGE, NULL, "unknown term '%s'; `student_train losses` lists the terms", name);
}

struct losses_options {
    const char *term;
    bool json;
};

static enum status run(void *context, struct error *err)
{
    const struct losses_options *options = context;
    const struct loss_entry *entry = NULL;
    enum status status = STATUS_OK;
    if (options->term)
        TRY(find_term(options->term, &entry, err));
    if (options->json)
        TRY(command_print_json(entry ? entry_json(entry) : all_json(), "a table", err));
    else
        TRY(entry ? print_term(entry, err) : print_table(err));
cleanup:
    return status;
}

enum status losses_command(int argc, char **argv, struct error *err)
{
    struct losses_options o = {0};
    const struct option_spec specs[] = {
        {"term", OPTION_POSITIONAL, &o.term, "TERM", NULL,
         "show only this term, with its formula and the meaning of its parameters"},
        {"json", OPTION_FLAG, &o.json, NULL, NULL, "print as JSON"},
    };
    struct options table = {.command = "student_train losses",
                            .summary = "lists the terms of --loss",
                            .specs = specs,
                            .count = sizeof specs / sizeof *specs};
    return command_run(&table, argc, argv, run, &o, err);
}
