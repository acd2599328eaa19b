#include "tests/helper_synthetic.h"

#include "shared/augment/portable_math.h"
#include "shared/base/random.h"

#include <stdbool.h>
#include <stddef.h>

enum shape_kind { SHAPE_DISC, SHAPE_RING, SHAPE_SQUARE, SHAPE_CROSS, SHAPE_KINDS };
enum { STRIPE_WIDTHS = 2, HUES = 3, WAVE_SIZE = 256, SHAPES_MIN = 4, SHAPES_MORE = 4 };

/* The cues of a class and the random properties of a photo. */
struct scene {
    int back[3], stripe[3];         /* colour of the background, and what the stripes add to it at their crest */
    int32_t light[2];               /* what one pixel to the right and one down adds to the brightness, 16.16 */
    uint32_t phase, step_x, step_y; /* of the stripes, in 2^-32 periods */
    int noise;                      /* amplitude in 1/256 of a byte's noise */
    enum shape_kind kind;
};

static int between(struct random_stream *stream, int low, int high)
{
    return low + (int)random_below(stream, (uint32_t)(high - low + 1));
}

/* A saturated colour of hue [0, 1536) (six ramps of 256), mixed with gray: 0 is gray, 256 the full colour. */
static void hue_color(int hue, int saturation, int brightness, int color[3])
{
    for (int c = 0; c < 3; c++) {
        int at = (hue + 1536 - 512 * c) % 1536; /* distance from this channel's peak, around the wheel */
        int distance = at < 768 ? at : 1536 - at;
        int value = distance <= 256 ? 255 : distance >= 512 ? 0 : 511 - distance;
        color[c] = brightness * (255 * (256 - saturation) + value * saturation) / (256 * 256);
    }
}

static void draw_scene(struct scene *scene, struct random_stream *stream, const struct image *image, int label,
                       int classes)
{
    /* periods in the image's short side; a crop of 0.7 of the area changes them by 1.2 */
    static const int periods[STRIPE_WIDTHS] = {6, 12};
    const int per_hue = STRIPE_WIDTHS * SHAPE_KINDS;
    const int hues = classes > HUES * per_hue ? (classes + per_hue - 1) / per_hue : HUES;
    const int short_side = image->h < image->w ? image->h : image->w, long_side = image->h + image->w - short_side;
    const int spread = 1536 / hues * 2 / 5; /* neighbouring hues come close to each other */
    double sine, cosine;
    int hue = (label % hues * 1536 / hues + between(stream, -spread, spread) + 1536) % 1536;
    hue_color(hue, between(stream, 60, 140), between(stream, 130, 200), scene->back);
    hue_color((hue + between(stream, 500, 1000)) % 1536, 160, between(stream, 20, 60), scene->stripe);
    scene->light[0] = between(stream, -40, 40) * 65536 / long_side;
    scene->light[1] = between(stream, -40, 40) * 65536 / long_side;
    portable_sincos(between(stream, 0, 359), &sine, &cosine);
    double frequency =
        4294967296. / short_side * periods[label / hues % STRIPE_WIDTHS] * between(stream, 85, 115) / 100;
    scene->phase = random_u32(stream);
    scene->step_x = (uint32_t)(int64_t)(frequency * cosine);
    scene->step_y = (uint32_t)(int64_t)(frequency * sine);
    scene->noise = between(stream, 15, 50);
    scene->kind = (enum shape_kind)(label / hues / STRIPE_WIDTHS % SHAPE_KINDS);
}

static uint8_t clamp_byte(int value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Background, stripes, light and noise. */
static void paint_ground(struct image *image, const struct scene *scene, struct random_stream *stream)
{
    int8_t wave[WAVE_SIZE]; /* one period of the stripes */
    for (int i = 0; i < WAVE_SIZE; i++) {
        double sine, cosine;
        portable_sincos(i * 360. / WAVE_SIZE, &sine, &cosine);
        wave[i] = (int8_t)(127 * sine);
    }
    uint8_t *pixel = image->pixels;
    for (int y = 0; y < image->h; y++) {
        uint32_t phase = scene->phase + (uint32_t)y * scene->step_y;
        int32_t light = (y - image->h / 2) * scene->light[1] - image->w / 2 * scene->light[0];
        for (int x = 0; x < image->w; x++, pixel += 3, phase += scene->step_x, light += scene->light[0]) {
            uint32_t bits = random_u32(stream);
            int crest = wave[phase >> 24];
            for (int c = 0; c < 3; c++, bits >>= 8) {
                int noise = ((int)(bits & 255) - 128) * scene->noise >> 8;
                pixel[c] = clamp_byte(scene->back[c] + scene->stripe[c] * crest / 128 + light / 65536 + noise);
            }
        }
    }
}

/* dx, dy: coordinates that rotate with the shape, in units of 1/256 of its radius. */
static bool is_inside(enum shape_kind kind, int dx, int dy)
{
    const int x = dx < 0 ? -dx : dx, y = dy < 0 ? -dy : dy, square = x * x + y * y;
    switch (kind) {
    case SHAPE_DISC:
        return square < 256 * 256;
    case SHAPE_RING:
        return square < 256 * 256 && square > 150 * 150;
    case SHAPE_SQUARE:
        return x < 200 && y < 200;
    case SHAPE_CROSS:
        return (x < 70 && y < 256) || (y < 70 && x < 256);
    default:
        return false;
    }
}

/* One shape of the class's kind with random place, size, angle and colour. It is translucent. */
static void paint_shape(struct image *image, const struct scene *scene, struct random_stream *stream)
{
    const int short_side = image->h < image->w ? image->h : image->w;
    const int radius = short_side * between(stream, 60, 150) / 1000 + 2;
    const int center_x = between(stream, 0, image->w - 1), center_y = between(stream, 0, image->h - 1);
    double sine, cosine;
    int color[3];
    portable_sincos(between(stream, 0, 89), &sine, &cosine);
    const int turn_x = (int)(65536 * cosine) / radius, turn_y = (int)(65536 * sine) / radius; /* 1/256 of a unit */
    hue_color(between(stream, 0, 1535), between(stream, 0, 200), between(stream, 20, 255), color);
    const int reach = radius + radius / 2;
    for (int y = center_y < reach ? 0 : center_y - reach; y < image->h && y <= center_y + reach; y++)
        for (int x = center_x < reach ? 0 : center_x - reach; x < image->w && x <= center_x + reach; x++) {
            int dx = x - center_x, dy = y - center_y;
            if (!is_inside(scene->kind, (dx * turn_x + dy * turn_y) / 256, (dy * turn_x - dx * turn_y) / 256))
                continue;
            uint8_t *pixel = image->pixels + ((size_t)y * (size_t)image->w + (size_t)x) * 3;
            for (int c = 0; c < 3; c++)
                pixel[c] = (uint8_t)((pixel[c] + 3 * color[c]) / 4);
        }
}

void synthetic_paint(struct image *image, int label, int classes, uint64_t seed, uint32_t number)
{
    struct random_stream stream;
    struct scene scene;
    random_stream_init(&stream, seed, RANDOM_VIEW, (uint32_t)label, number);
    draw_scene(&scene, &stream, image, label, classes);
    paint_ground(image, &scene, &stream);
    for (int shapes = between(&stream, SHAPES_MIN, SHAPES_MIN + SHAPES_MORE); shapes > 0; shapes--)
        paint_shape(image, &scene, &stream);
}
