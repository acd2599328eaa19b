#include "formats/export/model_card.h"

#include <math.h>

static const char *const colors[] = {"L", "RGB"}; /* Pillow's names */
static const char *const orientations[] = {"ignore", "honour"};
static const char *const resizes[IMAGE_RESIZE_COUNT] = {"shorter", "squash", "pad"};
static const char *const interpolations[] = {"bilinear, antialiased"};

static void add_numbers(cJSON *object, const char *name, const float *numbers, int count)
{
    cJSON *array = cJSON_AddArrayToObject(object, name);
    for (int i = 0; i < count; i++)
        json_append(array, json_float(numbers[i]));
}

cJSON *model_card_preprocessing(const struct model_card *card)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "color", colors[card->channels == 3]);
    cJSON_AddStringToObject(object, "exif", orientations[card->upright]);
    cJSON_AddStringToObject(object, "resize_mode", resizes[card->resize]);
    cJSON_AddNumberToObject(object, "resize", card->base);
    cJSON_AddNumberToObject(object, "crop", card->crop);
    cJSON_AddNumberToObject(object, "size", card->size);
    cJSON_AddStringToObject(object, "interpolation", interpolations[0]);
    add_numbers(object, "mean", card->mean, card->channels);
    add_numbers(object, "std", card->std, card->channels);
    return object;
}

bool model_card_same_picture(const struct model_card *a, const struct model_card *b)
{
    return a->channels == b->channels && a->upright == b->upright && a->resize == b->resize && a->base == b->base &&
           a->crop == b->crop;
}

cJSON *model_card_classes(const struct model_card *card)
{
    return cJSON_CreateStringArray(card->classes, card->class_count);
}

enum status model_card_read_numbers(const struct json_place *object, const char *field, int count, float *numbers,
                                    struct error *err)
{
    struct json_place array;
    int found;
    enum status status = json_array(object, field, count, &array, &found, err);
    for (int i = 0; status == STATUS_OK && i < count; i++) {
        const cJSON *item = cJSON_GetArrayItem(array.node, i);
        if (found != count || !cJSON_IsNumber(item) || !isfinite((float)item->valuedouble))
            return error_set(err, STATUS_BAD_DATA, object->path, "%s must have %d numbers", field, count);
        numbers[i] = (float)item->valuedouble;
    }
    return status;
}

enum status model_card_read_preprocessing(struct model_card *card, const struct json_place *object, struct error *err)
{
    enum status status = STATUS_OK;
    int color, upright, resize, interpolation;
    int64_t base, crop, size;
    TRY(json_choice(object, "color", colors, 2, &color, err));
    TRY(json_choice(object, "exif", orientations, 2, &upright, err));
    TRY(json_choice(object, "resize_mode", resizes, IMAGE_RESIZE_COUNT, &resize, err));
    TRY(json_choice(object, "interpolation", interpolations, 1, &interpolation, err));
    TRY(json_integer(object, "resize", 0, IMAGE_MAX_SIDE, &base, err));
    TRY(json_integer(object, "crop", 1, VIEW_MAX_SIZE, &crop, err));
    TRY(json_integer(object, "size", 1, VIEW_MAX_SIZE, &size, err));
    card->channels = color ? 3 : 1;
    card->upright = upright;
    card->resize = (enum image_resize)resize;
    card->base = (int)base;
    card->crop = (int)crop;
    card->size = (int)size;
    TRY(model_card_read_numbers(object, "mean", card->channels, card->mean, err));
    TRY(model_card_read_numbers(object, "std", card->channels, card->std, err));
cleanup:
    return status;
}
