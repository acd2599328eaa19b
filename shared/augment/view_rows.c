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

/* The sample at sx from the left of the columns: [red, green, blue, unused], 32 bits each. weights[4]: 256 - fx, fx. */
static inline __m128i blend_columns(const int16_t *sums, uint32_t sx, __m128i weights)
{
    const __m128i both = load_numbers(sums + (size_t)(sx >> 16) * 3);
    const __m128i pairs = _mm_unpacklo_epi16(both, _mm_srli_si128(both, 6));
    const __m128i sum = _mm_madd_epi16(pairs, weights);
    return _mm_srli_epi32(_mm_add_epi32(sum, _mm_set1_epi32(256 * 32768 + 32768)), 16);
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

/* Four samples at once; each writes four bytes, of which the next overwrites one, and the last samples three. */
VECTORISE static void blend_block(const int16_t *sums, uint32_t sx, uint32_t step, int count, uint8_t *pixels)
{
    __m128i places = _mm_set_epi32((int)(sx + 3 * step), (int)(sx + 2 * step), (int)(sx + step), (int)sx);
    int i = 0;
    for (; i + 4 < count; i += 4, sx += 4 * step, pixels += 12) {
        const __m128i w = weights_of(places);
        const __m128i a = blend_columns(sums, sx, _mm_shuffle_epi32(w, 0x00));
        const __m128i b = blend_columns(sums, sx + step, _mm_shuffle_epi32(w, 0x55));
        const __m128i c = blend_columns(sums, sx + 2 * step, _mm_shuffle_epi32(w, 0xaa));
        const __m128i d = blend_columns(sums, sx + 3 * step, _mm_shuffle_epi32(w, 0xff));
        const __m128i words = _mm_packus_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d));
        store_pixel(pixels, words, 4);
        store_pixel(pixels + 3, _mm_srli_si128(words, 4), 4);
        store_pixel(pixels + 6, _mm_srli_si128(words, 8), 4);
        store_pixel(pixels + 9, _mm_srli_si128(words, 12), 4);
        places = _mm_add_epi32(places, _mm_set1_epi32((int)(4 * step)));
    }
    for (; i < count; i++, sx += step, pixels += 3) {
        const __m128i pixel = blend_columns(sums, sx, weights_of(_mm_set1_epi32((int)sx)));
        const __m128i words = _mm_packs_epi32(pixel, pixel);
        store_pixel(pixels, _mm_packus_epi16(words, words), 3);
    }
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

bool view_rows_halve(const uint8_t *upper, const uint8_t *lower, size_t count, uint8_t *pixels)
{
    (void)upper, (void)lower, (void)count, (void)pixels;
    return false;
}
#endif
