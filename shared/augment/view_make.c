/* From (recipe, seed, sample, view) to struct view. Every transform draws a fixed number of random words, so that
 * appending to a recipe leaves the transforms before it as they were. */
#include "shared/augment/view.h"

#include "shared/augment/portable_math.h"
#include "shared/augment/view_draw.h"
#include <assert.h>
#include <math.h>
#include <stdbool.h>

enum { TRIES = 10 }; /* of RandomResizedCrop and RandomErasing, as in torchvision */

/* The picture after the transforms so far: h x w, where point (x, y) shows the base at
 * (a[0]*x + a[1]*y + a[2], a[3]*x + a[4]*y + a[5]). Points are continuous: pixel i covers [i, i + 1]. */
struct canvas {
    double a[6];
    double h, w;
};

/* Replaces the canvas by a picture of h x w whose point (x, y) shows the canvas at b * (x, y, 1). */
static void compose(struct canvas *canvas, const double b[6], double h, double w)
{
    double *a = canvas->a;
    const double result[6] = {a[0] * b[0] + a[1] * b[3], a[0] * b[1] + a[1] * b[4], a[0] * b[2] + a[1] * b[5] + a[2],
                              a[3] * b[0] + a[4] * b[3], a[3] * b[1] + a[4] * b[4], a[3] * b[2] + a[4] * b[5] + a[5]};
    for (int i = 0; i < 6; i++)
        a[i] = result[i];
    canvas->h = h;
    canvas->w = w;
}

/* Cuts h x w at (top, left) and shows it as size x size. */
static void compose_crop(struct canvas *canvas, double top, double left, double h, double w, double size)
{
    const double b[6] = {w / size, 0, left, 0, h / size, top};
    compose(canvas, b, size, size);
}

/* ---- random numbers ---- */

static double draw_between(struct random_stream *stream, double low, double high)
{
    return low + (high - low) * draw(stream);
}

static double draw_log_between(struct random_stream *stream, struct range range)
{
    return portable_exp(draw_between(stream, portable_log((double)range.low), portable_log((double)range.high)));
}

/* ---- geometry ---- */

/* Where torchvision's CenterCrop begins along a side: half the difference, rounded to even as in Python; negative
 * (padding) if the crop is larger. */
static int center_offset(int side, int crop)
{
    int spare = side - crop;
    if (spare < 0)
        return -(-spare / 2);
    return spare % 2 && spare / 2 % 2 ? spare / 2 + 1 : spare / 2;
}

static void center_crop(struct canvas *canvas, int crop)
{
    compose_crop(canvas, center_offset((int)canvas->h, crop), center_offset((int)canvas->w, crop), crop, crop, crop);
}

static void random_resized_crop(struct canvas *canvas, const struct transform *transform, int crop,
                                struct random_stream *stream)
{
    double h = canvas->h, w = canvas->w, top = 0, left = 0, crop_h = 0, crop_w = 0;
    double low = (double)transform->ratio.low, high = (double)transform->ratio.high;
    bool found = false;
    for (int i = 0; i < TRIES; i++) {
        double area = h * w * draw_between(stream, (double)transform->scale.low, (double)transform->scale.high);
        double aspect = draw_log_between(stream, transform->ratio);
        double try_w = round_half_up(sqrt(area * aspect)), try_h = round_half_up(sqrt(area / aspect));
        double try_top = draw_whole(stream, h - try_h + 1), try_left = draw_whole(stream, w - try_w + 1);
        if (found || try_w < 1 || try_h < 1 || try_w > w || try_h > h)
            continue;
        top = try_top, left = try_left, crop_h = try_h, crop_w = try_w;
        found = true;
    }
    if (!found) { /* the centre crop, as large as the ratio allows */
        crop_w = w / h > high ? fmax(round_half_up(h * high), 1) : w;
        crop_h = w / h < low ? fmax(round_half_up(w / low), 1) : h;
        top = floor((h - crop_h) / 2);
        left = floor((w - crop_w) / 2);
    }
    compose_crop(canvas, top, left, crop_h, crop_w, crop);
}

static double random_crop_offset(double side, int crop, double padding, struct random_stream *stream)
{
    double spare = side + 2 * padding - crop, offset = draw_whole(stream, fmax(spare, 0) + 1);
    return spare < 0 ? center_offset((int)side, crop) : offset - padding;
}

static void random_crop(struct canvas *canvas, const struct transform *transform, int crop,
                        struct random_stream *stream)
{
    double top = random_crop_offset(canvas->h, crop, (double)transform->padding, stream);
    double left = random_crop_offset(canvas->w, crop, (double)transform->padding, stream);
    compose_crop(canvas, top, left, crop, crop, crop);
}

static void flip(struct canvas *canvas, const struct transform *transform, struct random_stream *stream)
{
    double h = canvas->h, w = canvas->w;
    const double horizontal[6] = {-1, 0, w, 0, 1, 0}, vertical[6] = {1, 0, 0, 0, -1, h};
    if (draw(stream) < (double)transform->p)
        compose(canvas, transform->kind == TRANSFORM_HFLIP ? horizontal : vertical, h, w);
}

/* The inverse of torchvision.transforms.functional.affine about the centre: angle clockwise, in degrees; shear of x. */
static void compose_affine(struct canvas *canvas, double angle, double tx, double ty, double scale, double shear)
{
    double s, c, shear_s, shear_c, cx = canvas->w / 2, cy = canvas->h / 2;
    portable_sincos(angle, &s, &c);
    portable_sincos(shear, &shear_s, &shear_c);
    double tangent = shear_s / shear_c;
    double b[6] = {(c - s * tangent) / scale, (c * tangent + s) / scale, 0, -s / scale, c / scale, 0};
    b[2] = cx - b[0] * (cx + tx) - b[1] * (cy + ty);
    b[5] = cy - b[3] * (cx + tx) - b[4] * (cy + ty);
    compose(canvas, b, canvas->h, canvas->w);
}

static void rotate(struct canvas *canvas, const struct transform *transform, struct random_stream *stream)
{
    double degrees = (double)transform->degrees;
    compose_affine(canvas, -draw_between(stream, -degrees, degrees), 0, 0, 1, 0); /* rotate is counter-clockwise */
}

static void affine(struct canvas *canvas, const struct transform *transform, struct random_stream *stream)
{
    double degrees = (double)transform->degrees, translate = (double)transform->translate,
           shear = (double)transform->shear;
    double angle = draw_between(stream, -degrees, degrees);
    double tx = round_half_up(canvas->w * draw_between(stream, -translate, translate));
    double ty = round_half_up(canvas->h * draw_between(stream, -translate, translate));
    double scale = draw_between(stream, (double)transform->scale.low, (double)transform->scale.high);
    compose_affine(canvas, angle, tx, ty, scale, draw_between(stream, -shear, shear));
}

/* v in 16.16, clamped so that absurd recipes (ten affines that each shrink by 10) do not overflow. */
static int64_t fixed_point(double v, double limit)
{
    return (int64_t)floor(fmin(fmax(v * 65536, -limit), limit) + 0.5);
}

/* A view of fewer pixels than the crop is antialiased like evaluation images, by a triangle filter as wide as the
 * reduction s (s base pixels per pixel of the view): variance s^2/6. A bilinear sample of a level of unit u (2^level)
 * has variance u^2/12 (the boxes of the level) + u^2/6, and the mean of four samples s/2 apart has s^2/16 more. These
 * are the areas s^2/u^2 at which the next level, and four samples instead of one, come nearer (geometrically): the
 * variance is then 0.7 to 1.4 of the triangle's. */
static const double NEXT_LEVEL = 4.33, FOUR_SAMPLES = 1.81;

static void set_map(struct view *view, const struct canvas *canvas, int base_h, int base_w, int size, bool smaller)
{
    const double *a = canvas->a;
    double step = canvas->w / size; /* canvas points per output pixel; the canvas is square by now */
    double shrink = fabs(a[0] * a[4] - a[1] * a[3]) * step * step, unit = 1; /* areas: base pixels per output pixel */
    int levels = view_level_count(base_h, base_w);
    for (; shrink >= (smaller ? NEXT_LEVEL : 4) && view->level + 1 < levels; shrink /= 4, unit *= 2)
        view->level++;
    const bool fine = smaller && shrink >= FOUR_SAMPLES;
    step /= fine ? 2 : 1;
    for (int row = 0; row < 2; row++) {
        const double *r = a + 3 * row;
        int64_t *m = view->m + 3 * row;
        double x = r[0] * step, y = r[1] * step, origin = (r[2] + x / 2 + y / 2) / unit - 0.5;
        m[0] = fixed_point(x / unit, 0x1p31);
        m[1] = fixed_point(y / unit, 0x1p31);
        m[2] = fixed_point(origin, 0x1p50) + 128;
    }
    const bool exact = view->m[0] == 65536 && view->m[1] == 0 && view->m[3] == 0 && view->m[4] == 65536 &&
                       (view->m[2] & 0xff00) == 0 && (view->m[5] & 0xff00) == 0;
    view->sampling = fine ? VIEW_FINE : exact ? VIEW_EXACT : VIEW_BILINEAR;
}

/* ---- colours and erasing ---- */

/* Rotation about the gray axis by a fraction of a turn: 1/3 turns red to green. */
static void hue_weights(int32_t weight[3], double turn)
{
    double s, c;
    portable_sincos(360 * turn, &s, &c);
    s /= sqrt(3);
    weight[1] = (int32_t)fixed_point((1 - c) / 3 - s, 0x1p31);
    weight[2] = (int32_t)fixed_point((1 - c) / 3 + s, 0x1p31);
    weight[0] = 65536 - weight[1] - weight[2]; /* gray stays gray, exactly */
}

static void color_jitter(struct view *view, const struct transform *transform, struct random_stream *stream)
{
    const double strength[VIEW_MAX_COLORS] = {
        [VIEW_BRIGHTNESS] = (double)transform->brightness,
        [VIEW_CONTRAST] = (double)transform->contrast,
        [VIEW_SATURATION] = (double)transform->saturation,
        [VIEW_HUE] = (double)transform->hue,
    };
    int order[VIEW_MAX_COLORS] = {0, 1, 2, 3};
    double factor[VIEW_MAX_COLORS];
    for (int i = 0; i < VIEW_MAX_COLORS; i++)
        factor[i] = i == VIEW_HUE ? draw_between(stream, -strength[i], strength[i])
                                  : draw_between(stream, fmax(0, 1 - strength[i]), 1 + strength[i]);
    for (int i = VIEW_MAX_COLORS - 1; i > 0; i--) {
        int j = (int)draw_whole(stream, i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    for (int i = 0; i < VIEW_MAX_COLORS; i++) {
        int kind = order[i];
        if (strength[kind] == 0)
            continue;
        int32_t *weight = view->color[view->color_count].weight;
        if (kind == VIEW_HUE)
            hue_weights(weight, factor[kind]);
        else
            weight[0] = (int32_t)fixed_point(factor[kind], 0x1p31);
        view->color[view->color_count++].kind = kind;
    }
}

/* The rectangle is chosen in pixels of the crop and then converted to the grid of the size. */
static void erase(struct view *view, const struct transform *transform, int crop, int size,
                  struct random_stream *stream)
{
    bool done = draw(stream) >= (double)transform->p;
    for (int i = 0; i < TRIES; i++) {
        double area =
            (double)crop * crop * draw_between(stream, (double)transform->scale.low, (double)transform->scale.high);
        double aspect = draw_log_between(stream, transform->ratio);
        double h = round_half_up(sqrt(area * aspect)), w = round_half_up(sqrt(area / aspect));
        double top = draw_whole(stream, crop - h + 1), left = draw_whole(stream, crop - w + 1),
               grid = (double)size / crop;
        if (done || h < 1 || w < 1 || h >= crop || w >= crop)
            continue;
        done = true;
        int32_t x = (int32_t)round_half_up(left * grid), y = (int32_t)round_half_up(top * grid);
        int32_t right = (int32_t)round_half_up((left + w) * grid), bottom = (int32_t)round_half_up((top + h) * grid);
        if (right == x || bottom == y)
            continue; /* too small to be seen at this size */
        view->erase[view->erase_count].x = x;
        view->erase[view->erase_count].y = y;
        view->erase[view->erase_count].w = right - x;
        view->erase[view->erase_count].h = bottom - y;
        view->erase[view->erase_count++].value = (int32_t)transform->value;
    }
}

/* ---- the whole ---- */

static bool has_crop(const struct recipe *recipe)
{
    for (int i = 0; i < recipe->count; i++)
        if (recipe->transforms[i].kind == TRANSFORM_RANDOM_RESIZED_CROP ||
            recipe->transforms[i].kind == TRANSFORM_RANDOM_CROP)
            return true;
    return false;
}

void view_make(struct view *view, const struct recipe *recipe, uint64_t seed, uint32_t id, uint32_t number, int base_h,
               int base_w, int crop, int size)
{
    assert(base_h > 0 && base_w > 0 && crop > 0 && crop <= VIEW_MAX_SIZE && size > 0 && size <= VIEW_MAX_SIZE);
    struct canvas canvas = {.a = {1, 0, 0, 0, 1, 0}, .h = base_h, .w = base_w};
    struct random_stream stream;
    random_stream_init(&stream, seed, RANDOM_VIEW, id, number);
    *view = (struct view){.level = 0};
    if (!has_crop(recipe))
        center_crop(&canvas, crop);
    for (int i = 0; i < recipe->count; i++) {
        const struct transform *transform = &recipe->transforms[i];
        switch (transform->kind) {
        case TRANSFORM_RANDOM_RESIZED_CROP:
            random_resized_crop(&canvas, transform, crop, &stream);
            break;
        case TRANSFORM_RANDOM_CROP:
            random_crop(&canvas, transform, crop, &stream);
            break;
        case TRANSFORM_HFLIP:
        case TRANSFORM_VFLIP:
            flip(&canvas, transform, &stream);
            break;
        case TRANSFORM_ROTATE:
            rotate(&canvas, transform, &stream);
            break;
        case TRANSFORM_AFFINE:
            affine(&canvas, transform, &stream);
            break;
        case TRANSFORM_COLOR_JITTER:
            color_jitter(view, transform, &stream);
            break;
        case TRANSFORM_ERASE:
            erase(view, transform, crop, size, &stream);
            break;
        case TRANSFORM_MIXUP: /* done by view_mix_make */
        case TRANSFORM_CUTMIX:
        case TRANSFORM_KIND_COUNT:
            break;
        }
    }
    set_map(view, &canvas, base_h, base_w, size, size < crop);
}

void view_make_evaluation(struct view *view, int base_h, int base_w, int crop)
{
    static const struct recipe none = {.count = 0};
    view_make(view, &none, 0, 0, 0, base_h, base_w, crop, crop);
}
