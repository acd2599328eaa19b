/* Normalisations that teachers are trained with. */
#include "teacher_dump/teacher_check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BYTE (1 / 255.0f)
static const struct input_form usual[] = {
    {"ImageNet's", {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}, false},
    {"pixels from -1 to 1", {0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}, false},
    {"pixels from 0 to 1", {0, 0, 0}, {1, 1, 1}, false},
    {"pixels from 0 to 255", {0, 0, 0}, {BYTE, BYTE, BYTE}, false},
    {"Caffe's", {0.485f, 0.456f, 0.406f}, {BYTE, BYTE, BYTE}, false},
};
static const struct input_form usual_gray[] = {
    {"pixels from -1 to 1", {0.5f}, {0.5f}, false},   {"pixels from 0 to 1", {0}, {1}, false},
    {"pixels from 0 to 255", {0}, {BYTE}, false},     {"MNIST's", {0.1307f}, {0.3081f}, false},
    {"Fashion-MNIST's", {0.2860f}, {0.3530f}, false},
};

/* Differences that no network notices do not count. */
static bool same_form(const struct input_form *a, const struct input_form *b, int channels)
{
    for (int c = 0; c < channels; c++)
        if (fabsf(a->mean[c] - b->mean[c]) > 0.02f || fabsf(a->std[c] / b->std[c] - 1) > 0.05f)
            return false;
    return a->bgr == b->bgr;
}

int check_input_forms(const struct input_form *present, int channels, struct input_form forms[INPUT_FORMS])
{
    const struct input_form *list = channels == 3 ? usual : usual_gray;
    const int count = (int)(channels == 3 ? sizeof usual / sizeof *usual : sizeof usual_gray / sizeof *usual_gray);
    const int orders = channels == 3 ? 2 : 1;
    int found = 0;
    for (int swapped = 0; swapped < orders; swapped++) {
        for (int i = -1; i < count; i++) {
            struct input_form form = i < 0 ? *present : list[i];
            form.bgr = present->bgr != (swapped == 1);
            bool listed = same_form(&form, present, channels);
            for (int j = 0; j < found && !listed; j++)
                listed = same_form(&form, &forms[j], channels);
            if (!listed)
                forms[found++] = form;
        }
    }
    return found;
}

static size_t add_values(char *text, size_t size, const char *option, const float values[3])
{
    return (size_t)snprintf(text, size, "%s %.6g,%.6g,%.6g", option, (double)values[0], (double)values[1],
                            (double)values[2]);
}

void check_input_options(const struct input_form *present, const struct input_form *form, int channels, char *text,
                         size_t size)
{
    struct input_form whole = *form;
    for (int c = channels; c < 3; c++) { /* the options always take three values */
        whole.mean[c] = whole.mean[0];
        whole.std[c] = whole.std[0];
    }
    const bool values = memcmp(form->mean, present->mean, sizeof form->mean) != 0 ||
                        memcmp(form->std, present->std, sizeof form->std) != 0;
    size_t used = 0;
    *text = 0;
    if (values) {
        used += add_values(text, size, "--mean", whole.mean);
        used += add_values(text + used, size - used, " --std", whole.std);
    }
    if (form->bgr != present->bgr)
        snprintf(text + used, size - used, "%s--channels %s", values ? " " : "", form->bgr ? "bgr" : "rgb");
}

static double largest_of(const double values[3])
{
    return fmax(fmax(values[0], values[1]), values[2]);
}

bool check_pixel_range(const double mean[3], const double std[3], char *text, size_t size)
{
    const bool large_mean = largest_of(mean) > 1, large_std = largest_of(std) > 1;
    if (!large_mean && !large_std)
        return false;
    /* (p - mean) with a std of 1 is a usual form for pixels up to 255; other small deviations are already divided. */
    const bool divide_std = large_std || (largest_of(std) == 1 && large_mean);
    const double m = large_mean ? 255 : 1, s = divide_std ? 255 : 1;
    snprintf(text, size, "--mean %.6g,%.6g,%.6g --std %.6g,%.6g,%.6g", mean[0] / m, mean[1] / m, mean[2] / m,
             std[0] / s, std[1] / s, std[2] / s);
    return true;
}
