#define _GNU_SOURCE
#include "formats/datasets/class_order.h"

#include "shared/base/files.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORDER_FILE_LIMIT = 64 << 20 };

/* ---- natural order ---- */

/* Compares two runs of digits by value, of any length. */
static int compare_numbers(const char **a, const char **b)
{
    const char *x = *a + strspn(*a, "0"), *y = *b + strspn(*b, "0");
    const size_t x_digits = strspn(x, "0123456789"), y_digits = strspn(y, "0123456789");
    *a = x + x_digits;
    *b = y + y_digits;
    if (x_digits != y_digits)
        return x_digits < y_digits ? -1 : 1;
    return strncmp(x, y, x_digits);
}

static int compare_natural(const char *a, const char *b)
{
    const char *const all_a = a, *const all_b = b;
    while (*a && *b) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            const int order = compare_numbers(&a, &b);
            if (order != 0)
                return order;
            continue;
        }
        const int order = tolower((unsigned char)*a) - tolower((unsigned char)*b);
        if (order != 0)
            return order;
        a++, b++;
    }
    if (*a || *b)
        return *a ? 1 : -1;
    return strcmp(all_a, all_b);
}

static int compare_indices(const void *a, const void *b, void *names)
{
    const char *const *list = names;
    return compare_natural(list[*(const int *)a], list[*(const int *)b]);
}

void class_order_natural(const char *const *names, int count, int *order)
{
    for (int i = 0; i < count; i++)
        order[i] = i;
    qsort_r(order, (size_t)count, sizeof *order, compare_indices, (void *)(size_t)names);
}

/* ---- a file ---- */

struct named_class {
    const char *name;
    int index;
};

static int compare_named(const void *a, const void *b)
{
    return strcmp(((const struct named_class *)a)->name, ((const struct named_class *)b)->name);
}

/* The next line without blanks at its ends, or NULL at the end of the text; cuts the text. */
static char *next_line(char **text, int *number)
{
    while (**text) {
        char *line = *text, *end = line + strcspn(line, "\n");
        *text = *end ? end + 1 : end;
        *end = 0;
        ++*number;
        line += strspn(line, " \t\r");
        for (end = line + strlen(line); end > line && strchr(" \t\r", end[-1]); end--)
            end[-1] = 0;
        if (*line)
            return line;
    }
    return NULL;
}

static enum status read_lines(const struct image_source *source, const char *path, char *text, int *order,
                              struct named_class *classes, struct error *err)
{
    const int count = source->class_count;
    int given = 0, number = 0;
    for (int i = 0; i < count; i++)
        classes[i] = (struct named_class){source->classes[i], i};
    qsort(classes, (size_t)count, sizeof *classes, compare_named);
    for (char *line; (line = next_line(&text, &number));) {
        const struct named_class key = {line, 0};
        struct named_class *found = bsearch(&key, classes, (size_t)count, sizeof *classes, compare_named);
        if (!found)
            return error_set(err, STATUS_CONFIG, path, "line %d: the data set has no class '%.200s'", number, line);
        if (found->index < 0)
            return error_set(err, STATUS_CONFIG, path, "line %d: '%.200s' is there twice", number, line);
        order[given++] = found->index;
        found->index = -1;
    }
    for (int i = 0; i < count; i++)
        if (classes[i].index >= 0)
            return error_set(err, STATUS_CONFIG, path,
                             "has %d of the data set's %d classes: '%.200s' is missing; each must have a line", given,
                             count, classes[i].name);
    return STATUS_OK;
}

static enum status read_order(const struct image_source *source, const char *path, int *order, struct error *err)
{
    enum status status = STATUS_OK;
    unsigned char *text = NULL;
    size_t size;
    struct named_class *classes = calloc((size_t)source->class_count, sizeof *classes);
    if (!classes)
        return error_no_memory(err, (size_t)source->class_count * sizeof *classes, "class names");
    TRY(file_read(path, ORDER_FILE_LIMIT, &text, &size, err));
    TRY(read_lines(source, path, (char *)text, order, classes, err));
cleanup:
    free(text);
    free(classes);
    return status;
}

/* ---- both ---- */

/* order[i]: which of the present classes becomes class i. */
static enum status reorder(struct image_source *source, const int *order, struct error *err)
{
    const int count = source->class_count;
    const char **names = arena_alloc(&source->arena, (size_t)count, sizeof *names);
    int *places = malloc((size_t)count * sizeof *places);
    if (!names || !places) {
        free(places);
        return error_no_memory(err, (size_t)count * sizeof *names, "class names");
    }
    for (int i = 0; i < count; i++) {
        names[i] = source->classes[order[i]];
        places[order[i]] = i;
    }
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (size_t i = 0; i < source->sets[s].count; i++) {
            struct image_sample *sample = &source->sets[s].samples[i];
            sample->label = sample->label >= 0 ? places[sample->label] : -1;
        }
    source->classes = names;
    free(places);
    return STATUS_OK;
}

enum status class_order_apply(struct image_source *source, const char *order, struct error *err)
{
    enum status status = STATUS_OK;
    if (!order || strcmp(order, "as-is") == 0)
        return STATUS_OK;
    int *indices = malloc((size_t)source->class_count * sizeof *indices);
    if (!indices)
        return error_no_memory(err, (size_t)source->class_count * sizeof *indices, "class names");
    if (strcmp(order, "natural") == 0)
        class_order_natural(source->classes, source->class_count, indices);
    else
        TRY(read_order(source, order, indices, err));
    TRY(reorder(source, indices, err));
cleanup:
    free(indices);
    return status;
}
