#include "student_train/run/prediction_ids.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *base_name(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

/* The length of a base name without its ending. */
static int stem_length(const char *base)
{
    const char *dot = strrchr(base, '.');
    return (int)(dot && dot != base ? (size_t)(dot - base) : strlen(base));
}

/* The last run of digits in a stem, without leading zeros. False if there is none. */
static bool last_number(const char *stem, int length, const char **digits, int *count)
{
    int end = length, first;
    while (end > 0 && !(stem[end - 1] >= '0' && stem[end - 1] <= '9'))
        end--;
    for (first = end; first > 0 && stem[first - 1] >= '0' && stem[first - 1] <= '9';)
        first--;
    if (first == end)
        return false;
    while (first < end - 1 && stem[first] == '0')
        first++;
    *digits = stem + first;
    *count = end - first;
    return true;
}

static const char *padded(struct arena *arena, const char *digits, int count, int width)
{
    static const char zeros[] = "00000000000000000000000000000000";
    const int missing = width > count ? width - count : 0;
    return arena_printf(arena, "%.*s%.*s", missing, zeros, count, digits);
}

static enum status make_id(const struct id_rule *rule, const char *name, size_t position, struct arena *arena,
                           const char **id, struct error *err)
{
    const char *base = base_name(name), *digits;
    const int length = stem_length(base);
    int count;
    switch (rule->kind) {
    case ID_STEM:
        *id = arena_printf(arena, "%.*s", length, base);
        break;
    case ID_NUMBER:
        if (!last_number(base, length, &digits, &count))
            return error_set(err, STATUS_CONFIG, name, "the name has no number; use --id stem, name or position");
        *id = padded(arena, digits, count, rule->width);
        break;
    case ID_POSITION:
        *id = arena_printf(arena, "%0*zu", rule->width, position + (size_t)rule->first);
        break;
    default:
        *id = name;
    }
    return *id ? STATUS_OK : error_no_memory(err, strlen(name), "Ids");
}

/* An Id and the name that it comes from, to find two names of one Id. */
struct pair {
    const char *id, *name;
};

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    return strcmp(x->id, y->id);
}

/* Finds two photos with the same Id; (*twice)[0].id is NULL if there are none. */
static enum status find_twice(const char *const *ids, const char *const *names, size_t count, struct pair twice[2],
                              struct error *err)
{
    struct pair *pairs = calloc(count + 1, sizeof *pairs);
    twice[0] = twice[1] = (struct pair){NULL, NULL};
    if (!pairs)
        return error_no_memory(err, count * sizeof *pairs, "Ids");
    for (size_t i = 0; i < count; i++)
        pairs[i] = (struct pair){ids[i], names[i]};
    qsort(pairs, count, sizeof *pairs, compare_pairs);
    for (size_t i = 1; i < count && !twice[0].id; i++)
        if (strcmp(pairs[i - 1].id, pairs[i].id) == 0) {
            twice[0] = pairs[i - 1];
            twice[1] = pairs[i];
        }
    free(pairs);
    return STATUS_OK;
}

enum status prediction_ids(struct id_rule *rule, const char *const *names, size_t count, struct arena *arena,
                           const char *const **ids, struct error *err)
{
    enum status status = STATUS_OK;
    const bool chooses = rule->kind == ID_AUTO;
    const char **made = arena_alloc(arena, count + 1, sizeof *made);
    struct pair twice[2];
    if (!made)
        return error_no_memory(err, count * sizeof *made, "Ids");
    if (chooses)
        rule->kind = ID_STEM;
    for (size_t i = 0; i < count; i++)
        TRY(make_id(rule, names[i], i, arena, &made[i], err));
    TRY(find_twice(made, names, count, twice, err));
    if (twice[0].id && chooses) {
        rule->kind = ID_NAME; /* names are paths, which differ */
        return prediction_ids(rule, names, count, arena, ids, err);
    }
    if (twice[0].id)
        FAIL(error_set(err, STATUS_CONFIG, NULL, "%s and %s would both have Id %s; use --id name or position",
                       twice[0].name, twice[1].name, twice[0].id));
    *ids = made;
cleanup:
    return status;
}
