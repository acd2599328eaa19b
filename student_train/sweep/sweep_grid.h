/* The grid of a sweep: `--grid KEY=VALUES`. VALUES is a list, `1e-3,3e-4`, or a range, `1:10` or `0.1:1:0.1` (first,
 * last, step; both ends included). KEY is an option of fit (lr, seed, student, ...) or a variable of the loss, which
 * --loss has as {KEY} or {1-KEY}:
 *
 *     --loss '{1-alpha}*ce + {alpha}*kd(T={T})' --grid alpha=0.1:1:0.1 --grid T=1:10 */
#ifndef STUDENT_TRAIN_SWEEP_SWEEP_GRID_H
#define STUDENT_TRAIN_SWEEP_SWEEP_GRID_H

#include "shared/base/options.h"

enum { GRID_MAX_KEYS = 8, GRID_MAX_VALUES = 1000, GRID_MAX_CELLS = 10000, GRID_MAX_TEXT = 64 };

struct grid_key {
    const char *name;
    const char **values; /* [count] texts, as in fit's options */
    int count;
    bool variable; /* a variable of the loss, not an option */
};

struct grid {
    struct arena arena; /* owns all texts */
    struct grid_key keys[GRID_MAX_KEYS];
    int key_count;
    int cells; /* product of the counts */
};

/* options: fit's table, to distinguish options from variables. STATUS_USAGE names what cannot be read. */
enum status grid_parse(struct grid *grid, const struct option_list *texts, const struct options *options,
                       struct error *err);
void grid_release(struct grid *grid);

/* The index of a key's value in a cell (0 .. cells - 1); the last key changes fastest. */
int grid_index(const struct grid *grid, int cell, int key);
const char *grid_value(const struct grid *grid, int cell, int key);
/* The cell's value of an option, or NULL if the grid does not have the option. */
const char *grid_option(const struct grid *grid, int cell, const char *name);
/* Removes the part of a UTF-8 character at the end of a text that was cut. */
void grid_trim(char *text);
/* "T=4, alpha=0.5"; cut between characters if it is longer than size - 1. */
void grid_label(const struct grid *grid, int cell, char *text, size_t size);
/* Replaces the variables of a loss. STATUS_USAGE: the grid lacks a variable of the loss, or the loss one of the
 * grid. */
enum status grid_loss(const struct grid *grid, int cell, const char *loss, char *text, size_t size, struct error *err);

#endif
