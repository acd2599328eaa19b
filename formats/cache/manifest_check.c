/* Checks of a manifest beyond the form of its fields. */
#include "formats/cache/manifest.h"

#include "formats/json.h"
#include "shared/augment/recipe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Means and deviations are of pixels in [0, 1], or of 8-bit pixels for whoever scales differently. */
static const float LARGEST_MEAN = 1e4f, SMALLEST_STD = 1e-6f, LARGEST_STD = 1e6f;

static enum status check_recipe(const struct cache_manifest *manifest, const char *path, struct error *err)
{
    struct recipe recipe;
    struct error bad = {0};
    if (recipe_parse(&recipe, manifest->recipe, &bad) != STATUS_OK)
        return error_set(err, STATUS_BAD_DATA, path, "field augmentation.recipe: %.600s", bad.message);
    if (strcmp(recipe.text, manifest->recipe) != 0)
        return error_set(err, STATUS_BAD_DATA, path,
                         "field augmentation.recipe is '%.300s', which is not its canonical form '%.300s'",
                         manifest->recipe, recipe.text);
    return STATUS_OK;
}

enum status manifest_check_replay(const struct cache_manifest *manifest, const char *path, struct error *err)
{
    if (manifest->augment_version != AUGMENT_VERSION)
        return error_set(err, STATUS_CONFIG, path,
                         "its views were made by algorithm %d, but this program has %d: use the program that wrote it, "
                         "or make the cache again",
                         manifest->augment_version, AUGMENT_VERSION);
    for (int c = 0; c < 3; c++) {
        const float mean = manifest->mean[c], std = manifest->std[c];
        if (!(std > 0))
            return error_set(err, STATUS_BAD_DATA, path, "field preprocessing.std[%d] must be positive", c);
        if (!(fabsf(mean) <= LARGEST_MEAN))
            return error_set(err, STATUS_BAD_DATA, path, "field preprocessing.mean[%d] is %g, which is too large", c,
                             (double)mean);
        if (!(std >= SMALLEST_STD && std <= LARGEST_STD))
            return error_set(err, STATUS_BAD_DATA, path, "field preprocessing.std[%d] is %g, not between %g and %g", c,
                             (double)std, (double)SMALLEST_STD, (double)LARGEST_STD);
    }
    return check_recipe(manifest, path, err);
}

enum status manifest_check_text(const struct cache_manifest *manifest, const char *text, bool published,
                                const char *path, struct error *err)
{
    static const char *const everything[] = {NULL};
    enum status status = STATUS_OK;
    struct cache_manifest again = {0};
    const cJSON *a, *b;
    cJSON *here = NULL, *there = NULL;
    char field[128] = "";
    TRY(manifest_parse(&again, text, strlen(text), published, path, err));
    here = manifest_to_json(manifest, published);
    there = manifest_to_json(&again, published);
    if (json_out_of_memory())
        FAIL(error_no_memory(err, 0, path));
    if (json_difference(here, there, everything, field, sizeof field, &a, &b))
        status = error_set(err, STATUS_INTERNAL, path,
                           "was not published: field %s does not read back as it was written", field);
cleanup:
    cJSON_Delete(here);
    cJSON_Delete(there);
    arena_release(&again.arena);
    return status;
}
