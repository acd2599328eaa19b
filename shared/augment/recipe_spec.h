/* The transforms and their parameters as a table, for the parser and for the canonical text. Internal to recipe*.c. */
#ifndef SHARED_AUGMENT_RECIPE_SPEC_H
#define SHARED_AUGMENT_RECIPE_SPEC_H

#include "shared/augment/recipe.h"
#include <stdbool.h>
#include <stddef.h>

enum { MAX_PARAMETERS = 4 };

enum stage { STAGE_GEOMETRY, STAGE_COLOR, STAGE_ERASE, STAGE_MIX };

struct parameter {
    const char *name;      /* NULL after the last one */
    size_t offset;         /* in struct transform: a float, or a struct range */
    bool is_range, whole;  /* is_range: written low:high; whole: no fraction allowed */
    struct range fallback; /* of a number: low */
    struct range limits;   /* inclusive */
};

struct transform_spec {
    const char *name;
    enum stage stage;
    int at_most; /* how often a recipe may have it; the two crops count as one */
    struct parameter parameters[MAX_PARAMETERS];
};

extern const struct transform_spec transform_specs[TRANSFORM_KIND_COUNT];

/* Writes the canonical text; false if it does not fit. */
bool recipe_print(struct recipe *recipe);

#endif
