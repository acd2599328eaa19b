/* Resizing with the arithmetic of Pillow's Resample.c (Image.BILINEAR): a triangle filter as wide as the reduction, its
 * coefficients normalised in double precision and rounded to 22 bits; rows first, then columns, with 8 bits in between.
 */
#include "shared/augment/view.h"

#include "shared/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { PRECISION_BITS = 32 - 8 - 2, HALF = 1 << (PRECISION_BITS - 1), BLOCK = 16 };

/* One axis: output pixel i of `count` is made from `taps` input pixels, beginning at `first`. */
struct filter {
    struct span {
        int first, taps;
    } * spans;        /* [count] */
    int32_t *weights; /* [count, max_taps] fixed point with PRECISION_BITS bits */
    double *exact;    /* [max_taps] scratch */
    struct tap_pair {
        int32_t low, high; /* the 16-bit halves of two weights */
    } * pairs;             /* [count, max_taps / 2 + 1] */
    int count, max_taps;
};

static void filter_release(struct filter *filter)
{
    free(filter->spans);
    free(filter->weights);
    free(filter->exact);
    free(filter->pairs);
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

#ifdef __SSE2__
/* A weight is LOW_BITS low bits and the others; each part fits 16 bits, so pmaddwd multiplies two taps at once by
 * them. high * 2^LOW_BITS + low is the exact sum, since that of all taps fits 32 bits. */
enum { LOW_BITS = PRECISION_BITS / 2, LOW_MASK = (1 << LOW_BITS) - 1 };

static enum status filter_pair_up(struct filter *filter, struct error *err)
{
    const size_t pairs = size_mul((size_t)filter->count, (size_t)filter->max_taps / 2 + 1);
    const int32_t *from = filter->weights;
    struct tap_pair *to = filter->pairs = calloc(pairs, sizeof *to);
    if (!to)
        return error_no_memory(err, size_mul(pairs, sizeof *to), "a resize filter");
    for (int i = 0; i < filter->count; i++, from += filter->max_taps, to += filter->max_taps / 2 + 1)
        for (int t = 0; t < filter->spans[i].taps; t += 2) {
            const int32_t second = t + 1 < filter->spans[i].taps ? from[t + 1] : 0;
            to[t / 2] = (struct tap_pair){(second & LOW_MASK) << 16 | (from[t] & LOW_MASK),
                                          second >> LOW_BITS << 16 | from[t] >> LOW_BITS};
        }
    return STATUS_OK;
}
#else
static enum status filter_pair_up(struct filter *filter, struct error *err)
{
    (void)filter, (void)err;
    return STATUS_OK;
}
#endif

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
    return filter_pair_up(filter, err);
}

static uint8_t clip(int32_t sum)
{
    sum >>= PRECISION_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

#ifdef __SSE2__
static uint32_t four_bytes(const uint8_t *from)
{
    uint32_t bytes;
    memcpy(&bytes, from, sizeof bytes);
    return bytes;
}

/* Adds two pixels, in the low three bytes of a and b, to low[red, green, blue, -] and high. */
static inline void add_pair(__m128i *low, __m128i *high, uint32_t a, uint32_t b, const struct tap_pair *pair)
{
    const __m128i bytes = _mm_unpacklo_epi8(_mm_cvtsi32_si128((int)a), _mm_cvtsi32_si128((int)b));
    const __m128i taps = _mm_unpacklo_epi8(bytes, _mm_setzero_si128());
    *low = _mm_add_epi32(*low, _mm_madd_epi16(taps, _mm_set1_epi32(pair->low)));
    *high = _mm_add_epi32(*high, _mm_madd_epi16(taps, _mm_set1_epi32(pair->high)));
}

/* One row, from in[w, 3] to out[filter->count, 3]. */
static void resize_row_rgb(const struct filter *filter, const uint8_t *in, uint8_t *out)
{
    const struct tap_pair *row_pairs = filter->pairs;
    for (int i = 0; i < filter->count; i++, out += 3, row_pairs += filter->max_taps / 2 + 1) {
        const uint8_t *pixel = in + 3 * (size_t)filter->spans[i].first;
        const struct tap_pair *pair = row_pairs;
        __m128i low = _mm_set1_epi32(HALF), high = _mm_setzero_si128();
        int taps = filter->spans[i].taps;
        for (; taps >= 2; taps -= 2, pixel += 6, pair++) /* two pixels have six bytes: not one more is read */
            add_pair(&low, &high, four_bytes(pixel), four_bytes(pixel + 2) >> 8, pair);
        if (taps)
            add_pair(&low, &high, (uint32_t)pixel[0] | (uint32_t)pixel[1] << 8 | (uint32_t)pixel[2] << 16, 0, pair);
        const __m128i sum = _mm_add_epi32(low, _mm_slli_epi32(high, LOW_BITS));
        const __m128i words = _mm_packs_epi32(_mm_srai_epi32(sum, PRECISION_BITS), _mm_setzero_si128());
        const uint32_t bytes = (uint32_t)_mm_cvtsi128_si32(_mm_packus_epi16(words, words));
        out[0] = (uint8_t)bytes;
        out[1] = (uint8_t)(bytes >> 8);
        out[2] = (uint8_t)(bytes >> 16);
    }
}
#else
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
#endif

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

#ifdef __SSE2__
/* The same for BLOCK bytes, two rows at a time. */
static inline void combine_pairs(const uint8_t *column, size_t stride, const struct tap_pair *pair, int taps,
                                 uint8_t *out)
{
    const __m128i zero = _mm_setzero_si128();
    __m128i low[4], high[4];
    for (int k = 0; k < 4; k++)
        low[k] = _mm_set1_epi32(HALF), high[k] = zero;
    for (; taps > 0; taps -= 2, column += 2 * stride, pair++) {
        const __m128i first = _mm_loadu_si128((const __m128i *)(const void *)column);
        const __m128i second = taps > 1 ? _mm_loadu_si128((const __m128i *)(const void *)(column + stride)) : zero;
        const __m128i left = _mm_unpacklo_epi8(first, second), right = _mm_unpackhi_epi8(first, second);
        const __m128i both[4] = {_mm_unpacklo_epi8(left, zero), _mm_unpackhi_epi8(left, zero),
                                 _mm_unpacklo_epi8(right, zero), _mm_unpackhi_epi8(right, zero)};
        const __m128i low_weights = _mm_set1_epi32(pair->low), high_weights = _mm_set1_epi32(pair->high);
        for (int k = 0; k < 4; k++) {
            low[k] = _mm_add_epi32(low[k], _mm_madd_epi16(both[k], low_weights));
            high[k] = _mm_add_epi32(high[k], _mm_madd_epi16(both[k], high_weights));
        }
    }
    for (int k = 0; k < 4; k++)
        low[k] = _mm_srai_epi32(_mm_add_epi32(low[k], _mm_slli_epi32(high[k], LOW_BITS)), PRECISION_BITS);
    const __m128i words[2] = {_mm_packs_epi32(low[0], low[1]), _mm_packs_epi32(low[2], low[3])};
    _mm_storeu_si128((__m128i *)(void *)out, _mm_packus_epi16(words[0], words[1]));
}
#endif

/* Output row i of the vertical pass over rows of `length` bytes, block by block, so that sums stay in registers. */
static void combine_rows(const struct filter *filter, int i, const uint8_t *rows, size_t length, uint8_t *out)
{
    const struct span span = filter->spans[i];
    const int32_t *weights = filter->weights + (size_t)i * (size_t)filter->max_taps;
    const uint8_t *column = rows + (size_t)span.first * length;
    size_t x = 0;
    for (; x + BLOCK <= length; x += BLOCK)
#ifdef __SSE2__
        combine_pairs(column + x, length, filter->pairs + (size_t)i * (size_t)(filter->max_taps / 2 + 1), span.taps,
                      out + x);
#else
        combine_block(column + x, length, weights, span.taps, BLOCK, out + x);
#endif
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
