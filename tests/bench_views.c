/* Views per second on one core (CPU time of this process only): parameters, rendering compared with the reference
 * renderer, normalisation. */
#define _POSIX_C_SOURCE 200809L
#include "shared/augment/view.h"
#include "shared/base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef void renderer(const struct view *, const struct image *, int, int, uint8_t *);

struct subject {
    const char *name, *recipe;
    int h, w, channels, crop, size;
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* The best of five rounds, in seconds per view. */
static double measure(renderer *render, const struct subject *subject, const struct recipe *recipe,
                      const struct image *levels, int level_count, uint8_t *pixels, int views)
{
    double best = 1e9;
    for (int round = 0; round < 5; round++) {
        double start = now();
        for (int i = 0; i < views; i++) {
            struct view view;
            view_make(&view, recipe, 1, 0, (uint32_t)i, subject->h, subject->w, subject->crop, subject->size);
            if (render)
                render(&view, levels, level_count, subject->size, pixels);
        }
        double seconds = (now() - start) / views;
        best = seconds < best ? seconds : best;
    }
    return best;
}

static double measure_normalise(const uint8_t *pixels, size_t count, int channels, float *out)
{
    const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    float table[3][256];
    double best = 1e9;
    view_normalisation_table(table, mean, std, channels);
    for (int round = 0; round < 20; round++) {
        double start = now();
        view_normalise(out, pixels, count, channels, table);
        double seconds = now() - start;
        best = seconds < best ? seconds : best;
    }
    return best;
}

static int bench(const struct subject *subject)
{
    struct recipe recipe;
    struct image base, levels[VIEW_MAX_LEVELS];
    struct random_stream stream;
    int level_count, views = 4000000 / (subject->size * subject->size) + 1;
    size_t count = (size_t)subject->size * (size_t)subject->size;
    if (recipe_parse(&recipe, subject->recipe, NULL) != STATUS_OK ||
        image_init(&base, subject->h, subject->w, subject->channels, NULL) != STATUS_OK)
        return 1;
    random_stream_init(&stream, 1, RANDOM_INIT, 0, 0);
    for (size_t i = 0; i < (size_t)base.h * (size_t)base.w * (size_t)base.channels; i++)
        base.pixels[i] = (uint8_t)random_u32(&stream);
    if (view_pyramid(&base, levels, &level_count, NULL) != STATUS_OK)
        return 1;
    uint8_t *pixels = malloc(count * 3);
    float *out = malloc(count * 3 * sizeof *out);
    double make = measure(NULL, subject, &recipe, levels, level_count, pixels, views);
    double fast = measure(view_render, subject, &recipe, levels, level_count, pixels, views) - make;
    double slow = measure(view_render_reference, subject, &recipe, levels, level_count, pixels, views / 4 + 1) - make;
    double normalise = measure_normalise(pixels, count, subject->channels, out);
    printf("%-34s make %6.2f us  render %8.2f us  normalise %7.2f us  %8.0f views/s  reference %8.2f us, %.1f x\n",
           subject->name, 1e6 * make, 1e6 * fast, 1e6 * normalise, 1 / (make + fast + normalise), 1e6 * slow,
           slow / fast);
    free(pixels);
    free(out);
    view_pyramid_release(levels, level_count);
    image_release(&base);
    return 0;
}

int main(void)
{
    static const struct subject subjects[] = {
        {"none 224", "none", 256, 341, 3, 224, 224},
        {"light 224", "light", 256, 341, 3, 224, 224},
        {"food11-strong 224", "food11-strong", 256, 341, 3, 224, 224},
        {"food11-strong 224 seen at 128", "food11-strong", 256, 341, 3, 224, 128},
        {"light+color_jitter+erase 224", "light+color_jitter(0.4,contrast=0.4,saturation=0.4,hue=0.1)+erase", 256, 341,
         3, 224, 224},
        {"cifar 32", "cifar", 32, 32, 3, 32, 32},
        {"light 28 gray", "light", 28, 28, 1, 28, 28},
        {"rotate(15)+affine 28 gray", "rotate(15)+affine(translate=0.1,scale=0.9:1.1)", 28, 28, 1, 28, 28},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++)
        failed |= bench(&subjects[i]);
    return failed;
}
