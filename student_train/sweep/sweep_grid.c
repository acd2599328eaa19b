#include "student_train/sweep/sweep_grid.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status add_value(struct grid *grid, struct grid_key *key, const char *text, size_t length,
                             struct error *err)
{
    if (key->count == GRID_MAX_VALUES)
        return error_set(err, STATUS_USAGE, NULL, "--grid %s: more than %d values", key->name, GRID_MAX_VALUES);
    if (length == 0 || length >= 4096)
        return error_set(err, STATUS_USAGE, NULL, "--grid %s: a value is missing", key->name);
    key->values[key->count] = arena_printf(&grid->arena, "%.*s", (int)length, text);
    if (!key->values[key->count++])
        return error_no_memory(err, length, "a grid");
    return STATUS_OK;
}

/* first:last[:step] */
static enum status read_range(struct grid *grid, struct grid_key *key, const char *text, struct error *err)
{
    enum status status = STATUS_OK;
    double ends[3] = {0, 0, 1};
    int parts = 0;
    char *end = NULL;
    for (const char *at = text; parts < 3; at = end + 1) {
        ends[parts++] = strtod(at, &end);
        if (end == at || *end != ':')
            break;
    }
    if (!end || *end || parts < 2 || !isfinite(ends[0]) || !isfinite(ends[1]) || !(ends[2] > 0) || ends[1] < ends[0])
        return error_set(err, STATUS_USAGE, NULL, "--grid %s: '%s' is not a range; write first:last or first:last:step",
                         key->name, text);
    const double count = floor((ends[1] - ends[0]) / ends[2] + 1e-6) + 1;
    for (int i = 0; i < (count > GRID_MAX_VALUES ? GRID_MAX_VALUES + 1 : (int)count); i++) {
        char value[GRID_MAX_TEXT];
        int length = snprintf(value, sizeof value, "%.10g", ends[0] + i * ends[2]);
        TRY(add_value(grid, key, value, (size_t)length, err));
    }
cleanup:
    return status;
}

/* Up to the next comma outside of parentheses: kd(T=4, reduction=mean) is one value. */
static size_t value_length(const char *text)
{
    int depth = 0;
    size_t length = 0;
    for (; text[length] && (text[length] != ',' || depth > 0); length++)
        depth += text[length] == '(' ? 1 : text[length] == ')' ? -1 : 0;
    return length;
}

/* a,b,c */
static enum status read_list(struct grid *grid, struct grid_key *key, const char *text, struct error *err)
{
    enum status status = STATUS_OK;
    for (const char *at = text;; at++) {
        const size_t length = value_length(at);
        TRY(add_value(grid, key, at, length, err));
        at += length;
        if (!*at)
            break;
    }
cleanup:
    return status;
}

static enum status read_key(struct grid *grid, const char *text, const struct options *options, struct error *err)
{
    const char *equals = strchr(text, '=');
    struct grid_key *key = &grid->keys[grid->key_count];
    if (!equals || equals == text || !equals[1])
        return error_set(err, STATUS_USAGE, NULL, "--grid '%s': write KEY=VALUES, such as lr=1e-3,3e-4 or T=1:10",
                         text);
    if (grid->key_count == GRID_MAX_KEYS)
        return error_set(err, STATUS_USAGE, NULL, "--grid is given more than %d times", GRID_MAX_KEYS);
    *key = (struct grid_key){.name = arena_printf(&grid->arena, "%.*s", (int)(equals - text), text),
                             .values = arena_alloc(&grid->arena, GRID_MAX_VALUES, sizeof *key->values),
                             .variable = true};
    if (!key->name || !key->values)
        return error_no_memory(err, GRID_MAX_VALUES * sizeof *key->values, "a grid");
    for (int i = 0; i < grid->key_count; i++)
        if (strcmp(grid->keys[i].name, key->name) == 0)
            return error_set(err, STATUS_USAGE, NULL, "--grid %s is given twice", key->name);
    for (int i = 0; i < options->count; i++)
        if (strcmp(options->specs[i].name, key->name) == 0)
            key->variable = false;
    grid->key_count++;
    if (strchr(equals, ':') && !strpbrk(equals, ",*(/"))
        return read_range(grid, key, equals + 1, err);
    return read_list(grid, key, equals + 1, err);
}

enum status grid_parse(struct grid *grid, const struct option_list *texts, const struct options *options,
                       struct error *err)
{
    enum status status = STATUS_OK;
    double cells = 1;
    *grid = (struct grid){0};
    for (int i = 0; i < texts->count; i++)
        TRY(read_key(grid, texts->items[i], options, err));
    for (int k = 0; k < grid->key_count; k++)
        cells *= grid->keys[k].count;
    if (cells > GRID_MAX_CELLS)
        FAIL(error_set(err, STATUS_USAGE, NULL, "the grid has %.0f cells; at most %d are allowed", cells,
                       GRID_MAX_CELLS));
    grid->cells = (int)cells;
cleanup:
    if (status != STATUS_OK)
        grid_release(grid);
    return status;
}

void grid_release(struct grid *grid)
{
    arena_release(&grid->arena);
    *grid = (struct grid){0};
}

int grid_index(const struct grid *grid, int cell, int key)
{
    for (int k = grid->key_count - 1; k > key; k--)
        cell /= grid->keys[k].count;
    return cell % grid->keys[key].count;
}

const char *grid_value(const struct grid *grid, int cell, int key)
{
    return grid->keys[key].values[grid_index(grid, cell, key)];
}

const char *grid_option(const struct grid *grid, int cell, const char *name)
{
    for (int k = 0; k < grid->key_count; k++)
        if (!grid->keys[k].variable && strcmp(grid->keys[k].name, name) == 0)
            return grid_value(grid, cell, k);
    return NULL;
}

void grid_trim(char *text)
{
    const size_t length = strlen(text);
    size_t start = length;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    const unsigned char first = (unsigned char)text[--start];
    const size_t whole = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    if (start + whole > length)
        text[start] = 0;
}

void grid_label(const struct grid *grid, int cell, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (int k = 0; k < grid->key_count && used < size; k++)
        used += (size_t)snprintf(text + used, size - used, "%s%s=%s", k ? ", " : "", grid->keys[k].name,
                                 grid_value(grid, cell, k));
    grid_trim(text);
}

/* The value of what is between braces, "alpha" or "1-alpha"; NULL if the grid has no such variable. */
static const char *variable(const struct grid *grid, int cell, const char *name, size_t length,
                            char text[GRID_MAX_TEXT])
{
    const bool rest = length > 2 && strncmp(name, "1-", 2) == 0;
    if (rest)
        name += 2, length -= 2;
    for (int k = 0; k < grid->key_count; k++) {
        const struct grid_key *key = &grid->keys[k];
        if (!key->variable || strlen(key->name) != length || memcmp(key->name, name, length) != 0)
            continue;
        if (!rest)
            return grid_value(grid, cell, k);
        const double value = 1 - strtod(grid_value(grid, cell, k), NULL);
        snprintf(text, GRID_MAX_TEXT, "%.10g", fabs(value) < 1e-9 ? 0 : value);
        return text;
    }
    return NULL;
}

enum status grid_loss(const struct grid *grid, int cell, const char *loss, char *text, size_t size, struct error *err)
{
    size_t used = 0;
    for (const char *at = loss; *at && used + 1 < size;) {
        const char *close = *at == '{' ? strchr(at, '}') : NULL;
        if (!close) {
            text[used++] = *at++;
            continue;
        }
        char rest[GRID_MAX_TEXT];
        const char *value = variable(grid, cell, at + 1, (size_t)(close - at - 1), rest);
        if (!value)
            return error_set(err, STATUS_USAGE, NULL, "--loss has %.*s, but no --grid gives it values",
                             (int)(close - at + 1), at);
        used += (size_t)snprintf(text + used, size - used, "%s", value);
        at = close + 1;
    }
    if (used + 1 >= size)
        return error_set(err, STATUS_USAGE, NULL, "the loss is longer than %zu characters", size);
    text[used] = 0;
    for (int k = 0; k < grid->key_count; k++) {
        char plain[GRID_MAX_TEXT + 2], rest[GRID_MAX_TEXT + 4];
        snprintf(plain, sizeof plain, "{%.60s}", grid->keys[k].name);
        snprintf(rest, sizeof rest, "{1-%.60s}", grid->keys[k].name);
        if (grid->keys[k].variable && !strstr(loss, plain) && !strstr(loss, rest))
            return error_set(
                err, STATUS_USAGE, NULL,
                "--grid %s is neither an option of fit nor a variable of --loss '%s'; write {%s} in --loss",
                grid->keys[k].name, loss, grid->keys[k].name);
    }
    return STATUS_OK;
}
