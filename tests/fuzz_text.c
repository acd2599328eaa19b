/* libFuzzer: the short languages of the command line: recipes, loss expressions, configuration files. What is accepted
 * must be accepted again, unchanged, in its canonical form (make fuzz). */
#include "shared/augment/recipe.h"
#include "shared/base/ini.h"
#include "student_train/loss/loss_expression.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static enum status accept(void *context, const char *place, const char *section, const char *key, const char *value,
                          struct error *err)
{
    (void)context, (void)place, (void)section, (void)err;
    return *key || *value ? STATUS_OK : STATUS_CONFIG;
}

static void try_recipe(const char *text)
{
    struct recipe recipe, again;
    if (recipe_parse(&recipe, text, NULL) != STATUS_OK)
        return;
    if (recipe_parse(&again, recipe.text, NULL) != STATUS_OK || strcmp(again.text, recipe.text) != 0)
        abort();
}

static void try_loss(const char *text)
{
    struct loss_expression loss, again;
    if (loss_expression_parse(&loss, text, NULL) != STATUS_OK)
        return;
    if (loss_expression_parse(&again, loss.text, NULL) != STATUS_OK || strcmp(again.text, loss.text) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = malloc(size + 1);
    memcpy(text, bytes, size);
    text[size] = 0;
    try_recipe(text);
    try_loss(text);
    ini_parse(text, "fuzz", accept, NULL, NULL);
    free(text);
    return 0;
}
