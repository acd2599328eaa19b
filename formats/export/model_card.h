/* What a student's files say about it beside the network: how a picture becomes its input, and what its outputs are
 * called. It stands in run.json and as metadata in the ONNX file as the same JSON, and student.py does it. */
#ifndef FORMATS_EXPORT_MODEL_CARD_H
#define FORMATS_EXPORT_MODEL_CARD_H

#include "formats/json.h"
#include "shared/augment/view.h"
#include <stddef.h>

/* From a picture to the input, with Pillow and torchvision's names (image_resize_to and evaluation_image in
 * shared/augment/view.h do it):
 *     if upright, ImageOps.exif_transpose; convert("RGB"), for one channel then convert("L");
 *     Resize(base) or another of enum image_resize, CenterCrop(crop), Resize(size), all bilinear with antialiasing, on
 *     8-bit pixels;
 *     (pixel / 255 - mean) / std. */
struct model_card {
    int channels; /* 3: RGB, 1: gray */
    bool upright; /* pictures are turned as their orientation says */
    int base;     /* 0: as it is */
    enum image_resize resize;
    int crop, size; /* of the teacher's view; of the student's input */
    float mean[3], std[3];
    const char *const *classes; /* [class_count], in the order of the logits */
    int class_count;
};

/* All but the classes as an object:
 *     {"color": "RGB", "exif": "ignore", "resize_mode": "shorter", "resize": 256, "crop": 224, "size": 64,
 *      "interpolation": "bilinear, antialiased", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
 * color: RGB or L (gray); exif: ignore or honour; resize_mode: shorter, squash or pad; mean and std have a number per
 * channel. It has no true, false or null, so that it is a Python literal, too. The caller frees it; NULL when out of
 * memory. */
cJSON *model_card_preprocessing(const struct model_card *card);
/* The reverse. STATUS_BAD_DATA. */
enum status model_card_read_preprocessing(struct model_card *card, const struct json_place *object, struct error *err);
/* Reads `count` finite numbers of a field. STATUS_BAD_DATA. */
enum status model_card_read_numbers(const struct json_place *object, const char *field, int count, float *numbers,
                                    struct error *err);

/* Whether both make the same picture of a file for the teacher: everything but size, mean and std. */
bool model_card_same_picture(const struct model_card *a, const struct model_card *b);

/* The names of the classes as a JSON array. */
cJSON *model_card_classes(const struct model_card *card);

#endif
