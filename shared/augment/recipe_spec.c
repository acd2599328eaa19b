#include "shared/augment/recipe_spec.h"

#include "shared/base/number_text.h"
#include "shared/augment/view.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER(field, fallback, low, high)                                       \
    {                                                                            \
#field, offsetof(struct transform, field), false, false, {fallback, 0 }, \
        {                                                                        \
            low, high                                                            \
        }                                                                        \
    }
#define WHOLE(field, fallback, low, high)                                       \
    {                                                                           \
#field, offsetof(struct transform, field), false, true, {fallback, 0 }, \
        {                                                                       \
            low, high                                                           \
        }                                                                       \
    }
#define RANGE(field, a, b, low, high)                                    \
    {                                                                    \
#field, offsetof(struct transform, field), true, false, {a, b }, \
        {                                                                \
            low, high                                                    \
        }                                                                \
    }

const struct transform_spec transform_specs[TRANSFORM_KIND_COUNT] = {
    [TRANSFORM_RANDOM_RESIZED_CROP] = {"random_resized_crop",
                                       STAGE_GEOMETRY,
                                       1,
                                       {RANGE(scale, 0.08f, 1, 1e-4f, 1), RANGE(ratio, 0.75f, 4.f / 3, 0.01f, 100)}},
    [TRANSFORM_RANDOM_CROP] = {"random_crop", STAGE_GEOMETRY, 1, {WHOLE(padding, 0, 0, VIEW_MAX_SIZE)}},
    [TRANSFORM_HFLIP] = {"hflip", STAGE_GEOMETRY, RECIPE_MAX_TRANSFORMS, {NUMBER(p, 0.5f, 0, 1)}},
    [TRANSFORM_VFLIP] = {"vflip", STAGE_GEOMETRY, RECIPE_MAX_TRANSFORMS, {NUMBER(p, 0.5f, 0, 1)}},
    [TRANSFORM_ROTATE] = {"rotate", STAGE_GEOMETRY, RECIPE_MAX_TRANSFORMS, {NUMBER(degrees, 180, 0, 180)}},
    [TRANSFORM_AFFINE] = {"affine",
                          STAGE_GEOMETRY,
                          RECIPE_MAX_TRANSFORMS,
                          {NUMBER(degrees, 0, 0, 180), NUMBER(translate, 0, 0, 1), RANGE(scale, 1, 1, 0.1f, 10),
                           NUMBER(shear, 0, 0, 80)}},
    [TRANSFORM_COLOR_JITTER] = {"color_jitter",
                                STAGE_COLOR,
                                1,
                                {NUMBER(brightness, 0, 0, 10), NUMBER(contrast, 0, 0, 10), NUMBER(saturation, 0, 0, 10),
                                 NUMBER(hue, 0, 0, 0.5f)}},
    [TRANSFORM_ERASE] = {"erase",
                         STAGE_ERASE,
                         VIEW_MAX_ERASES,
                         {NUMBER(p, 0.5f, 0, 1), RANGE(scale, 0.02f, 0.33f, 1e-4f, 1),
                          RANGE(ratio, 0.3f, 3.3f, 0.01f, 100), WHOLE(value, 128, 0, 255)}},
    [TRANSFORM_MIXUP] = {"mixup", STAGE_MIX, 1, {NUMBER(alpha, 0.2f, 0.01f, 100), NUMBER(p, 1, 0, 1)}},
    [TRANSFORM_CUTMIX] = {"cutmix", STAGE_MIX, 1, {NUMBER(alpha, 1, 0.01f, 100), NUMBER(p, 1, 0, 1)}},
};

/* Appends to the canonical text; false if that is full. */
__attribute__((format(printf, 2, 3))) static bool print(struct recipe *recipe, const char *format, ...)
{
    size_t used = strlen(recipe->text), capacity = sizeof recipe->text - used;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(recipe->text + used, capacity, format, args);
    va_end(args);
    return length >= 0 && (size_t)length < capacity;
}

static bool print_number(struct recipe *recipe, float value)
{
    char digits[FLOAT_TEXT_SIZE];
    return print(recipe, "%s", float_text(value, digits));
}

static bool print_transform(struct recipe *recipe, const struct transform *transform)
{
    const struct transform_spec *spec = &transform_specs[transform->kind];
    bool fits = print(recipe, "%s(", spec->name);
    for (int i = 0; fits && i < MAX_PARAMETERS && spec->parameters[i].name; i++) {
        const struct parameter *parameter = &spec->parameters[i];
        const float *field = (const float *)((const char *)transform + parameter->offset); /* low, high for a range */
        fits = print(recipe, "%s%s=", i ? "," : "", parameter->name) && print_number(recipe, field[0]) &&
               (!parameter->is_range || (print(recipe, ":") && print_number(recipe, field[1])));
    }
    return fits && print(recipe, ")");
}

bool recipe_print(struct recipe *recipe)
{
    bool fits = recipe->count > 0 || print(recipe, "none");
    for (int i = 0; fits && i < recipe->count; i++)
        fits = (i == 0 || print(recipe, "+")) && print_transform(recipe, &recipe->transforms[i]);
    return fits;
}
