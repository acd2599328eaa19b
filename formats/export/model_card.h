/* What a student's files say about it beside the network: how a picture becomes its input, and what its outputs are
 * called. It stands in run.json and as metadata in the ONNX file as the same JSON, and student.py does it. */
#ifndef FORMATS_EXPORT_MODEL_CARD_H
#define FORMATS_EXPORT_MODEL_CARD_H

#include "formats/json.h"
#include <stddef.h>

/* From a picture to the input, with Pillow and torchvision's names (image_resize_short_side and evaluation_image in
 * shared/augment/view.h do it):
 *     convert("RGB"), for one channel then convert("L");
 *     Resize(base), CenterCrop(crop), Resize(size), all bilinear with antialiasing, on 8-bit pixels;
 *     (pixel / 255 - mean) / std. */
struct model_card {
    int channels;   /* 3: RGB, 1: gray */
    int base;       /* the short side; 0: as it is */
    int crop, size; /* of the teacher's view; of the student's input */
    float mean[3], std[3];
    const char *const *classes; /* [class_count], in the order of the logits */
    int class_count;
};

/* The first five fields as an object:
 *     {"color": "RGB", "resize": 256, "crop": 224, "size": 64, "interpolation": "bilinear, antialiased",
 *      "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
 * mean and std have a number per channel. The caller frees it; NULL when out of memory. */
cJSON *model_card_preprocessing(const struct model_card *card);
/* The reverse. STATUS_BAD_DATA. */
enum status model_card_read_preprocessing(struct model_card *card, const struct json_place *object, struct error *err);
/* Reads `count` finite numbers of a field. STATUS_BAD_DATA. */
enum status model_card_read_numbers(const struct json_place *object, const char *field, int count, float *numbers,
                                    struct error *err);

/* The names of the classes as a JSON array. */
cJSON *model_card_classes(const struct model_card *card);

#endif
