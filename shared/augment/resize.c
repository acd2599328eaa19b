/* Resizing with the arithmetic of Pillow's Resample.c (Image.BILINEAR): a triangle filter as wide as the reduction, its
 * coefficients normalised in double precision and rounded to 22 bits; rows first, then columns, with 8 bits in between.
 */
#include "shared/augment/view.h"

#include "shared/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PRECISION_BITS = 32 - 8 - 2, HALF = 1 << (PRECISION_BITS - 1), BLOCK = 16 };

/* One axis: output pixel i of `count` is made from `taps` input pixels, beginning at `first`. */
struct filter {
    struct span {
        int first, taps;
    } * spans;        /* [count] */
    int32_t *weights; /* [count, max_taps] fixed point with PRECISION_BITS bits */
    double *exact;    /* [max_taps] scratch */
    int count, max_taps;
};

static void filter_release(struct filter *filter)
{
    free(filter->spans);
    free(filter->weights);
    free(filter->exact);
}

/* The weights of output pixel i: precompute_coeffs and normalize_coeffs_8bpc of Resample.c. */
static void filter_pixel(struct filter *filter, int i, int in, double scale)
{
    const double width =
        scale < 1.0 ? 1.0 : scale; /* filterscale; also the support, because that of the triangle is 1 */
    const double center = ((double)i + 0.5) * scale, step = 1.0 / width;
    int first = (int)(center - width + 0.5), end = (int)(center + width + 0.5);
    double sum = 0.0;
    first = first < 0 ? 0 : first;
    end = end > in ? in : end;
    for (int t = 0; t < end - first; t++) {
        double distance = fabs((t + first - center + 0.5) * step);
        filter->exact[t] = distance < 1.0 ? 1.0 - distance : 0.0;
        sum += filter->exact[t];
    }
    for (int t = 0; t < end - first; t++) {
        double weight = sum != 0.0 ? filter->exact[t] / sum : filter->exact[t];
        filter->weights[(size_t)i * (size_t)filter->max_taps + (size_t)t] =
            (int32_t)(0.5 + weight * (1 << PRECISION_BITS));
    }
    filter->spans[i] = (struct span){first, end - first};
}

static enum status filter_init(struct filter *filter, int in, int out, struct error *err)
{
    const double scale = (double)in / out, width = scale < 1.0 ? 1.0 : scale;
    *filter = (struct filter){.count = out, .max_taps = (int)ceil(width) * 2 + 1};
    size_t weights = size_mul((size_t)out, (size_t)filter->max_taps);
    filter->spans = calloc((size_t)out, sizeof *filter->spans);
    filter->weights = calloc(weights, sizeof *filter->weights);
    filter->exact = calloc((size_t)filter->max_taps, sizeof *filter->exact);
    if (!filter->spans || !filter->weights || !filter->exact)
        return error_no_memory(err, size_mul(weights, sizeof *filter->weights), "a resize filter");
    for (int i = 0; i < out; i++)
        filter_pixel(filter, i, in, scale);
    return STATUS_OK;
}

static uint8_t clip(int32_t sum)
{
    sum >>= PRECISION_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* One row, from in[w, 3] to out[filter->count, 3]. */
static void resize_row_rgb(const struct filter *filter, const uint8_t *in, uint8_t *out)
{
    const int32_t *row_weights = filter->weights;
    for (int i = 0; i < filter->count; i++, out += 3, row_weights += filter->max_taps) {
        const uint8_t *pixel = in + 3 * (size_t)filter->spans[i].first;
        int32_t red = HALF, green = HALF, blue = HALF;
        for (int t = 0; t < filter->spans[i].taps; t++, pixel += 3) {
            red += pixel[0] * row_weights[t];
            green += pixel[1] * row_weights[t];
            blue += pixel[2] * row_weights[t];
        }
        out[0] = clip(red);
        out[1] = clip(green);
        out[2] = clip(blue);
    }
}

/* One row, from in[w] to out[filter->count]. */
static void resize_row_gray(const struct filter *filter, const uint8_t *in, uint8_t *out)
{
    const int32_t *row_weights = filter->weights;
    for (int i = 0; i < filter->count; i++, row_weights += filter->max_taps) {
        const uint8_t *pixel = in + filter->spans[i].first;
        int32_t sum = HALF;
        for (int t = 0; t < filter->spans[i].taps; t++)
            sum += pixel[t] * row_weights[t];
        out[i] = clip(sum);
    }
}

/* `length` bytes of an output row, beginning at `column`: weighted sums down the columns; rows are `stride` bytes
 * apart. */
static inline void combine_block(const uint8_t *column, size_t stride, const int32_t *weights, int taps, size_t length,
                                 uint8_t *out)
{
    int32_t sums[BLOCK];
    for (size_t x = 0; x < length; x++)
        sums[x] = HALF;
    for (int t = 0; t < taps; t++, column += stride)
        for (size_t x = 0; x < length; x++)
            sums[x] += column[x] * weights[t];
    for (size_t x = 0; x < length; x++)
        out[x] = clip(sums[x]);
}

/* Output row i of the vertical pass over rows of `length` bytes, block by block, so that sums stay in registers. */
static void combine_rows(const struct filter *filter, int i, const uint8_t *rows, size_t length, uint8_t *out)
{
    const struct span span = filter->spans[i];
    const int32_t *weights = filter->weights + (size_t)i * (size_t)filter->max_taps;
    const uint8_t *column = rows + (size_t)span.first * length;
    size_t x = 0;
    for (; x + BLOCK <= length; x += BLOCK)
        combine_block(column + x, length, weights, span.taps, BLOCK, out + x);
    combine_block(column + x, length, weights, span.taps, length - x, out + x);
}

static enum status resize_width(const struct image *from, int w, struct image *to, struct error *err)
{
    enum status status = STATUS_OK;
    struct filter filter = {0};
    const size_t in_row = (size_t)from->w * (size_t)from->channels, out_row = (size_t)w * (size_t)from->channels;
    TRY(filter_init(&filter, from->w, w, err));
    TRY(image_init(to, from->h, w, from->channels, err));
    for (int y = 0; y < from->h; y++) {
        const uint8_t *in = from->pixels + (size_t)y * in_row;
        uint8_t *out = to->pixels + (size_t)y * out_row;
        if (from->channels == 3)
            resize_row_rgb(&filter, in, out);
        else
            resize_row_gray(&filter, in, out);
    }
cleanup:
    filter_release(&filter);
    return status;
}

static enum status resize_height(const struct image *from, int h, struct image *to, struct error *err)
{
    enum status status = STATUS_OK;
    struct filter filter = {0};
    const size_t row = (size_t)from->w * (size_t)from->channels;
    TRY(filter_init(&filter, from->h, h, err));
    TRY(image_init(to, h, from->w, from->channels, err));
    for (int y = 0; y < h; y++)
        combine_rows(&filter, y, from->pixels, row, to->pixels + (size_t)y * row);
cleanup:
    filter_release(&filter);
    return status;
}

static enum status resize(const struct image *from, int h, int w, struct image *to, struct error *err)
{
    enum status status = STATUS_OK;
    struct image wide = {0};
    if (h == from->h && w == from->w) {
        TRY(image_init(to, h, w, from->channels, err));
        memcpy(to->pixels, from->pixels, (size_t)h * (size_t)w * (size_t)from->channels);
        return STATUS_OK;
    }
    TRY(resize_width(from, w, &wide, err));
    TRY(resize_height(&wide, h, to, err));
cleanup:
    image_release(&wide);
    return status;
}

/* Black around the picture, as torchvision's CenterCrop pads: the odd pixel comes last. */
static enum status pad(struct image *image, int side, struct error *err)
{
    struct image padded;
    const size_t channels = (size_t)image->channels, row = (size_t)image->w * channels;
    enum status status = image_init(&padded, side, side, image->channels, err);
    if (status != STATUS_OK)
        return status;
    const int top = (side - image->h) / 2, left = (side - image->w) / 2;
    memset(padded.pixels, 0, (size_t)side * (size_t)side * channels);
    for (int y = 0; y < image->h; y++)
        memcpy(padded.pixels + ((size_t)(top + y) * (size_t)side + (size_t)left) * channels,
               image->pixels + (size_t)y * row, row);
    image_release(image);
    *image = padded;
    return STATUS_OK;
}

/* base times a proportion of two sides, as torchvision rounds it. */
static int scaled(int base, int side, int other)
{
    const int length = (int)((double)((int64_t)base * side) / other);
    return length > 0 ? length : 1;
}

enum status image_resize_to(const struct image *from, enum image_resize mode, int base, struct image *to,
                            struct error *err)
{
    enum status status = STATUS_OK;
    const int short_side = from->w < from->h ? from->w : from->h, long_side = from->w < from->h ? from->h : from->w;
    *to = (struct image){0};
    if (short_side < 1 || long_side > (int64_t)IMAGE_MAX_ASPECT * short_side)
        return error_set(err, STATUS_BAD_DATA, NULL,
                         "an image of %d x %d is too long and thin: one side may be at most %d times the other",
                         from->h, from->w, IMAGE_MAX_ASPECT);
    if (base == 0)
        return resize(from, from->h, from->w, to, err);
    if (mode == IMAGE_RESIZE_SQUASH)
        TRY(resize(from, base, base, to, err));
    else if (mode == IMAGE_RESIZE_PAD)
        TRY(resize(from, scaled(base, from->h, long_side), scaled(base, from->w, long_side), to, err));
    else if (base == short_side)
        TRY(resize(from, from->h, from->w, to, err));
    else
        TRY(resize(from, scaled(base, from->h, short_side), scaled(base, from->w, short_side), to, err));
    if (mode == IMAGE_RESIZE_PAD)
        TRY(pad(to, base, err));
cleanup:
    if (status != STATUS_OK)
        image_release(to);
    return status;
}

enum status image_resize_short_side(const struct image *from, int base, struct image *to, struct error *err)
{
    return image_resize_to(from, IMAGE_RESIZE_SHORTER, base, to, err);
}
