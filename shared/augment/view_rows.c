#include "shared/augment/view_rows.h"

#ifdef __SSE2__
#include "shared/base/vectorise.h"

#include <emmintrin.h>
#include <string.h>

/* Upright views: all samples of a row have the same two rows as taps, with the same weights. So the rows are blended
 * once for every column, and a sample blends two columns: the sums are those of the general formula, in another order
 * and without any rounding between them. It is done in blocks, so that the columns stay on the stack. */
enum { BLOCK = 64, LONGEST_STEP = 2 << 16, COLUMNS = 2 * BLOCK + 2 };

/* sums[i] = (256 - fy) * upper + fy * lower - 32768, which fits 16 bits with a sign. */
VECTORISE static void blend_rows(int16_t *restrict sums, const uint8_t *restrict upper, const uint8_t *restrict lower,
                                 uint16_t fy, int count)
{
    const uint16_t rest = (uint16_t)(256 - fy);
    for (int i = 0; i < count; i++)
        sums[i] = (int16_t)(uint16_t)((uint16_t)(rest * upper[i]) + (uint16_t)(fy * lower[i]) - 32768);
}

static inline __m128i load_numbers(const int16_t *eight)
{
    return _mm_loadu_si128((const __m128i *)(const void *)eight);
}

/* Two neighbouring columns of sums to [red, green, blue, unused], 32 bits each. weights[4]: 256 - fx, fx. */
static inline __m128i blend_columns(__m128i both, __m128i weights)
{
    const __m128i pairs = _mm_unpacklo_epi16(both, _mm_srli_si128(both, 6));
    const __m128i sum = _mm_madd_epi16(pairs, weights);
    return _mm_srli_epi32(_mm_add_epi32(sum, _mm_set1_epi32(256 * 32768 + 32768)), 16);
}

/* The sample at sx from the left of the columns. */
static inline __m128i upright_sample(const int16_t *sums, uint32_t sx, __m128i weights)
{
    return blend_columns(load_numbers(sums + (size_t)(sx >> 16) * 3), weights);
}

/* fx << 16 | (256 - fx) of four places */
static inline __m128i weights_of(__m128i sx)
{
    const __m128i fx = _mm_and_si128(_mm_srli_epi32(sx, 8), _mm_set1_epi32(255));
    return _mm_add_epi32(_mm_sub_epi32(_mm_slli_epi32(fx, 16), fx), _mm_set1_epi32(256));
}

static inline void store_pixel(uint8_t *pixel, __m128i word, int bytes)
{
    const int value = _mm_cvtsi128_si32(word);
    memcpy(pixel, &value, (size_t)bytes);
}

/* Four samples; each writes four bytes, of which the next overwrites one. */
static inline void store_four(uint8_t *pixels, __m128i a, __m128i b, __m128i c, __m128i d)
{
    const __m128i words = _mm_packus_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d));
    store_pixel(pixels, words, 4);
    store_pixel(pixels + 3, _mm_srli_si128(words, 4), 4);
    store_pixel(pixels + 6, _mm_srli_si128(words, 8), 4);
    store_pixel(pixels + 9, _mm_srli_si128(words, 12), 4);
}

static inline void store_one(uint8_t *pixel, __m128i sample)
{
    const __m128i words = _mm_packs_epi32(sample, sample);
    store_pixel(pixel, _mm_packus_epi16(words, words), 3);
}

static inline __m128i four_places(uint32_t from, uint32_t step)
{
    return _mm_set_epi32((int)(from + 3 * step), (int)(from + 2 * step), (int)(from + step), (int)from);
}

VECTORISE static void blend_block(const int16_t *sums, uint32_t sx, uint32_t step, int count, uint8_t *pixels)
{
    __m128i places = four_places(sx, step);
    int i = 0;
    for (; i + 4 < count; i += 4, sx += 4 * step, pixels += 12) {
        const __m128i w = weights_of(places);
        store_four(pixels, upright_sample(sums, sx, _mm_shuffle_epi32(w, 0x00)),
                   upright_sample(sums, sx + step, _mm_shuffle_epi32(w, 0x55)),
                   upright_sample(sums, sx + 2 * step, _mm_shuffle_epi32(w, 0xaa)),
                   upright_sample(sums, sx + 3 * step, _mm_shuffle_epi32(w, 0xff)));
        places = _mm_add_epi32(places, _mm_set1_epi32((int)(4 * step)));
    }
    for (; i < count; i++, sx += step, pixels += 3)
        store_one(pixels, upright_sample(sums, sx, weights_of(_mm_set1_epi32((int)sx))));
}

bool view_rows_upright(const struct image *level, int64_t step, int64_t sx, int64_t sy, int count, uint8_t *pixels)
{
    int16_t sums[3 * COLUMNS + 2]; /* a sample loads 8 numbers */
    if (step > LONGEST_STEP || step < -LONGEST_STEP)
        return false;
    for (int i = 0; i < count; i += BLOCK, sx += step * BLOCK, pixels += 3 * BLOCK) {
        const int block = count - i < BLOCK ? count - i : BLOCK;
        const int64_t end = sx + step * (block - 1);
        const int first = (int)((step < 0 ? end : sx) >> 16), last = (int)((step < 0 ? sx : end) >> 16) + 1;
        const uint8_t *upper = level->pixels + ((size_t)(sy >> 16) * (size_t)level->w + (size_t)first) * 3;
        blend_rows(sums, upper, upper + (size_t)level->w * 3, (uint16_t)(sy >> 8 & 255), 3 * (last - first + 1));
        blend_block(sums, (uint32_t)(sx - ((int64_t)first << 16)), (uint32_t)step, block, pixels);
    }
    return true;
}

/* Other views: each sample has two rows of its own, so it blends them first, as blend_rows does, and then the columns.
 * No load leaves the level: that of the upper row reaches into the lower one, and that of the lower row begins two
 * bytes early. fy[8]: the lower row's weight, in each number */
static inline __m128i slanted_sample(const uint8_t *pixels, size_t stride, uint32_t x, uint32_t y, __m128i fx,
                                     __m128i fy)
{
    const uint8_t *upper = pixels + (y >> 16) * stride + (size_t)(x >> 16) * 3, *lower = upper + stride;
    const __m128i zero = _mm_setzero_si128(), u = _mm_loadl_epi64((const __m128i *)(const void *)upper);
    const __m128i l = _mm_srli_epi64(_mm_loadl_epi64((const __m128i *)(const void *)(lower - 2)), 16);
    const __m128i change = _mm_sub_epi16(_mm_unpacklo_epi8(l, zero), _mm_unpacklo_epi8(u, zero));
    const __m128i sums =
        _mm_add_epi16(_mm_unpacklo_epi8(zero, u), _mm_mullo_epi16(change, fy)); /* 256 * u + fy * (l - u) */
    return blend_columns(_mm_xor_si128(sums, _mm_set1_epi16(-32768)), fx);
}

/* fy in both halves of four places */
static inline __m128i lower_weights(__m128i sy)
{
    const __m128i fy = _mm_and_si128(_mm_srli_epi32(sy, 8), _mm_set1_epi32(255));
    return _mm_or_si128(fy, _mm_slli_epi32(fy, 16));
}

VECTORISE static void slanted_run(const uint8_t *level, size_t stride, uint32_t sx, uint32_t sy, uint32_t step_x,
                                  uint32_t step_y, int count, uint8_t *pixels)
{
    __m128i x = four_places(sx, step_x), y = four_places(sy, step_y);
    int i = 0;
    for (; i + 4 < count; i += 4, sx += 4 * step_x, sy += 4 * step_y, pixels += 12) {
        const __m128i fx = weights_of(x), fy = lower_weights(y);
        store_four(pixels,
                   slanted_sample(level, stride, sx, sy, _mm_shuffle_epi32(fx, 0x00), _mm_shuffle_epi32(fy, 0x00)),
                   slanted_sample(level, stride, sx + step_x, sy + step_y, _mm_shuffle_epi32(fx, 0x55),
                                  _mm_shuffle_epi32(fy, 0x55)),
                   slanted_sample(level, stride, sx + 2 * step_x, sy + 2 * step_y, _mm_shuffle_epi32(fx, 0xaa),
                                  _mm_shuffle_epi32(fy, 0xaa)),
                   slanted_sample(level, stride, sx + 3 * step_x, sy + 3 * step_y, _mm_shuffle_epi32(fx, 0xff),
                                  _mm_shuffle_epi32(fy, 0xff)));
        x = _mm_add_epi32(x, _mm_set1_epi32((int)(4 * step_x)));
        y = _mm_add_epi32(y, _mm_set1_epi32((int)(4 * step_y)));
    }
    for (; i < count; i++, sx += step_x, sy += step_y, pixels += 3)
        store_one(pixels, slanted_sample(level, stride, sx, sy, weights_of(_mm_set1_epi32((int)sx)),
                                         lower_weights(_mm_set1_epi32((int)sy))));
}

bool view_rows_slanted(const struct image *level, const int64_t step[2], int64_t sx, int64_t sy, int count,
                       uint8_t *pixels)
{
    slanted_run(level->pixels, (size_t)level->w * 3, (uint32_t)sx, (uint32_t)sy, (uint32_t)step[0], (uint32_t)step[1],
                count, pixels);
    return true;
}

/* count <= BLOCK; as blend_block, one pixel at a time */
VECTORISE static void halve_block(const uint8_t *restrict upper, const uint8_t *restrict lower, int count,
                                  uint8_t *restrict pixels)
{
    int16_t sums[6 * BLOCK + 2];
    for (int i = 0; i < 6 * count; i++)
        sums[i] = (int16_t)(upper[i] + lower[i]);
    for (int x = 0; x < count; x++) {
        const __m128i both = load_numbers(sums + 6 * x);
        const __m128i four = _mm_add_epi16(_mm_add_epi16(both, _mm_srli_si128(both, 6)), _mm_set1_epi16(2));
        const __m128i mean = _mm_srli_epi16(four, 2);
        store_pixel(pixels + 3 * x, _mm_packus_epi16(mean, mean), x + 1 < count ? 4 : 3);
    }
}

bool view_rows_halve(const uint8_t *upper, const uint8_t *lower, size_t count, uint8_t *pixels)
{
    for (size_t x = 0; x < count; x += BLOCK)
        halve_block(upper + 6 * x, lower + 6 * x, count - x < BLOCK ? (int)(count - x) : BLOCK, pixels + 3 * x);
    return true;
}
#else
bool view_rows_upright(const struct image *level, int64_t step, int64_t sx, int64_t sy, int count, uint8_t *pixels)
{
    (void)level, (void)step, (void)sx, (void)sy, (void)count, (void)pixels;
    return false;
}

bool view_rows_slanted(const struct image *level, const int64_t step[2], int64_t sx, int64_t sy, int count,
                       uint8_t *pixels)
{
    (void)level, (void)step, (void)sx, (void)sy, (void)count, (void)pixels;
    return false;
}

bool view_rows_halve(const uint8_t *upper, const uint8_t *lower, size_t count, uint8_t *pixels)
{
    (void)upper, (void)lower, (void)count, (void)pixels;
    return false;
}
#endif
