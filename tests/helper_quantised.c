#define _POSIX_C_SOURCE 200809L
#include "tests/helper_quantised.h"

#include "shared/augment/view.h"
#include "shared/base/files.h"
#include "shared/graph/graph_reference.h"
#include "tests/helper_images.h"
#include "tests/helper_nets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const char without_form[] = "convnext-tiny";

static const char *const class_names[CLASSES] = {"cat", "dog \"x\" \\ ?\?/", "c", "d", "e*/", "f", "g"};

static int size_of_preset(const char *name)
{
    if (strstr(name, "hw13"))
        return 96;
    return strstr(name, "-32") || strstr(name, "small") || strstr(name, "nn") || strstr(name, "net18") ? 32 : 64;
}

/* Smooth pictures of different brightness: noise alone makes all logits alike. */
static void make_pictures(struct quantised *q, int size)
{
    q->pictures = (struct pixel_set){.count = PICTURES, .size = (size_t)size * (size_t)size * 3};
    q->pictures.pixels = malloc(PICTURES * q->pictures.size);
    for (size_t i = 0; i < PICTURES * q->pictures.size; i++) {
        const size_t n = i / q->pictures.size, p = i % q->pictures.size / 3, c = i % 3;
        const double y = (double)(p / (size_t)size) / size, x = (double)(p % (size_t)size) / size;
        q->pictures.pixels[i] = (uint8_t)(127 + 120 * sin((1 + (double)n) * 3 * x + (double)c * 2 + 5 * y * (double)n));
    }
}

static void run_graph(struct quantised *q, int size)
{
    struct error err = {0};
    float *input = calloc(q->pictures.size, sizeof *input), *nchw = calloc(q->pictures.size, sizeof *nchw);
    const struct graph *graph = &q->student.graph;
    for (size_t i = 0; i < PICTURES; i++) {
        pixels_normalise(q->pictures.pixels + i * q->pictures.size, q->pictures.size, 3, q->table, input);
        for (size_t k = 0; k < q->pictures.size; k++)
            nchw[k % 3 * (size_t)size * (size_t)size + k / 3] = input[k];
        assert_int_equal(graph_forward_reference(graph, nchw, 1, graph->output, q->logits + i * CLASSES, &err),
                         STATUS_OK);
    }
    free(input);
    free(nchw);
}

static void run_int8(struct quantised *q)
{
    int8_t *arena = calloc(q->lowered.arena_values, 1);
    for (size_t i = 0; i < PICTURES; i++)
        int8_run(&q->net, q->pictures.pixels + i * q->pictures.size, arena, q->int8_logits + i * CLASSES);
    free(arena);
}

enum status quantised_init(struct quantised *q, const char *student, struct error *err)
{
    enum status status = STATUS_OK;
    const int size = size_of_preset(student);
    struct calibration calibration = {0};
    struct value_range *ranges = NULL;
    *q = (struct quantised){0};
    q->card = (struct model_card){.channels = 3,
                                  .base = size + 8,
                                  .crop = size,
                                  .size = size,
                                  .mean = {0.48f, 0.45f, 0.41f},
                                  .std = {0.23f, 0.22f, 0.225f},
                                  .classes = class_names,
                                  .class_count = CLASSES};
    TRY(student_open(&q->student, student, &(struct student_input){3, size, CLASSES}, err));
    net_weights(&q->student.graph, 11);
    view_normalisation_table(q->table, q->card.mean, q->card.std, 3);
    make_pictures(q, size);
    q->logits = calloc(PICTURES * CLASSES, sizeof *q->logits);
    q->int8_logits = calloc(PICTURES * CLASSES, 1);
    TRY(lowered_init(&q->lowered, &q->student.graph, err));
    TRY(calibration_init(&calibration, &q->lowered, &q->pictures, q->table, NULL, err));
    ranges = calloc((size_t)q->lowered.value_count, sizeof *ranges);
    calibration_ranges(&calibration, RANGE_MIN_MAX, ranges);
    TRY(int8_net_init(&q->net, &q->lowered, ranges, q->table, err));
    run_graph(q, size);
    run_int8(q);
cleanup:
    free(ranges);
    calibration_release(&calibration);
    return status;
}

void quantised_release(struct quantised *q)
{
    int8_net_release(&q->net);
    lowered_release(&q->lowered);
    student_release(&q->student);
    free(q->pictures.pixels);
    free(q->logits);
    free(q->int8_logits);
}

float quantised_logit(const struct quantised *q, size_t i)
{
    const struct int8_value scale = q->net.values[q->lowered.output];
    return scale.scale * (float)(q->int8_logits[i] - scale.zero);
}

void quantised_pixels(const struct quantised *q, int h, int w, uint8_t *photo, uint8_t *pixels)
{
    struct error err = {0};
    struct image image, resized = {0}, seen = {0};
    assert_int_equal(image_init(&image, h, w, 3, &err), STATUS_OK);
    for (size_t i = 0; i < (size_t)h * (size_t)w * 3; i++)
        image.pixels[i] = (uint8_t)(i * 7 + i / 97 * 31 + i * i % 251);
    memcpy(photo, image.pixels, (size_t)h * (size_t)w * 3);
    assert_int_equal(image_resize_to(&image, q->card.resize, q->card.base, &resized, &err), STATUS_OK);
    assert_int_equal(evaluation_image(&resized, q->card.crop, q->card.size, &seen, &err), STATUS_OK);
    memcpy(pixels, seen.pixels, q->pictures.size);
    image_release(&image);
    image_release(&resized);
    image_release(&seen);
}

void for_every_resize(void (*check)(struct quantised *q, int h, int w))
{
    static const struct {
        int h, w;
        enum image_resize mode;
        int base, crop;
    } photos[] = {
        {150, 201, IMAGE_RESIZE_SHORTER, 72, 64}, {333, 120, IMAGE_RESIZE_SHORTER, 146, 128},
        {90, 131, IMAGE_RESIZE_SQUASH, 101, 96},  {61, 140, IMAGE_RESIZE_PAD, 110, 97},
        {140, 61, IMAGE_RESIZE_PAD, 80, 80},      {51, 70, IMAGE_RESIZE_SHORTER, 0, 64}, /* as it is: black around it */
    };
    for (size_t i = 0; i < sizeof photos / sizeof *photos; i++) {
        struct quantised q;
        struct error err = {0};
        assert_int_equal(quantised_init(&q, "speed", &err), STATUS_OK);
        q.card.resize = photos[i].mode;
        q.card.base = photos[i].base;
        q.card.crop = photos[i].crop;
        check(&q, photos[i].h, photos[i].w);
        quantised_release(&q);
    }
}

/* ---- the folder ---- */
char *work_folder;

int work_folder_setup(void **state)
{
    (void)state;
    work_folder = temporary_folder();
    return 0;
}

int work_folder_teardown(void **state)
{
    (void)state;
    remove_folder(work_folder);
    free(work_folder);
    return 0;
}

void put_file(const char *name, const void *bytes, size_t size)
{
    char path[300];
    struct error err = {0};
    snprintf(path, sizeof path, "%s/%s", work_folder, name);
    if (file_publish(path, bytes, size, &err) != STATUS_OK)
        fail_msg("%s: %s", path, err.message);
}

int in_folder(const char *format, ...)
{
    char command[1000];
    va_list arguments;
    const int length = snprintf(command, sizeof command, "cd '%s' && ", work_folder);
    va_start(arguments, format);
    vsnprintf(command + length, sizeof command - (size_t)length, format, arguments);
    va_end(arguments);
    return system(command);
}

size_t read_back(const char *name, void *bytes, size_t size)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", work_folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t got = fread(bytes, 1, size, file);
    fclose(file);
    return got;
}
