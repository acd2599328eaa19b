/* Converts the teacher's values to the forms in which a cache stores them, and back. */
#include "formats/cache/cache.h"

#include "shared/tensor/half.h"
#include <math.h>
#include <string.h>

static const float HALF_LIMIT = 65504; /* the largest float16 */
static const double SMALLEST_NORM = 1e-12;

struct shape cache_feature_shape(enum feature_form form, struct shape value)
{
    if (form == FEATURE_POOLED)
        return (struct shape){value.c, 1, 1};
    if (form == FEATURE_AT)
        return (struct shape){1, value.h, value.w};
    return value;
}

size_t cache_feature_count(const struct cache_feature *feature)
{
    return size_mul(size_mul((size_t)feature->c, (size_t)feature->h), (size_t)feature->w);
}

size_t cache_feature_bytes(const struct cache_feature *feature)
{
    size_t count = cache_feature_count(feature);
    if (feature->form != FEATURE_INT8)
        return size_mul(count, sizeof(uint16_t));
    return count < SIZE_MAX / 2 ? count + (size_t)feature->c * sizeof(float) : SIZE_MAX;
}

static void store_int8(const float *value, int channels, size_t area, int8_t *out, float *scales)
{
    for (int c = 0; c < channels; c++, value += area, out += area) {
        float largest = 0;
        for (size_t i = 0; i < area; i++)
            largest = fmaxf(largest, fabsf(value[i]));
        scales[c] = largest / 127;
        for (size_t i = 0; i < area; i++)
            out[i] = scales[c] > 0 ? (int8_t)fmaxf(-127, fminf(127, rintf(value[i] / scales[c]))) : 0;
    }
}

static void store_pooled(const float *value, int channels, size_t area, uint16_t *out)
{
    for (int c = 0; c < channels; c++, value += area) {
        double sum = 0;
        for (size_t i = 0; i < area; i++)
            sum += value[i];
        out[c] = half_from_float((float)(sum / (double)area));
    }
}

static double mean_square(const float *value, int channels, size_t area, size_t pixel)
{
    double sum = 0;
    for (int c = 0; c < channels; c++) {
        double one = value[(size_t)c * area + pixel];
        sum += one * one;
    }
    return sum / channels;
}

static void store_attention(const float *value, int channels, size_t area, uint16_t *out)
{
    double squares = 0;
    for (size_t i = 0; i < area; i++) {
        double one = mean_square(value, channels, area, i);
        squares += one * one;
    }
    double norm = fmax(sqrt(squares), SMALLEST_NORM);
    for (size_t i = 0; i < area; i++)
        out[i] = half_from_float((float)(mean_square(value, channels, area, i) / norm));
}

enum status cache_store_feature(const struct cache_manifest *manifest, struct cache_shard *shard, int index,
                                uint32_t sample, int view, const float *value, struct shape shape, struct error *err)
{
    const struct cache_feature *feature = &manifest->features[index];
    size_t row = (size_t)sample * (size_t)feature->views + (size_t)view, area = (size_t)shape.h * (size_t)shape.w;
    size_t count = (size_t)shape.c * area, stored = cache_feature_count(feature);
    bool whole = feature->form == FEATURE_FP16 || feature->form == FEATURE_POOLED;
    float limit = whole ? HALF_LIMIT : INFINITY; /* the other forms scale or normalise */
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(value[i]) < limit))
            return error_set(err, STATUS_BAD_DATA, shard->names[sample],
                             "the teacher's %s is %g for view %d: the form %s cannot hold that value", feature->tensor,
                             (double)value[i], view, feature_form_name(feature->form));
    uint16_t *half = shard->features[index].half;
    half = half ? half + row * stored : NULL; /* int8 has none */
    switch (feature->form) {
    case FEATURE_FP16:
        half_from_floats(half, value, count);
        break;
    case FEATURE_INT8:
        store_int8(value, shape.c, area, shard->features[index].int8 + row * count,
                   shard->features[index].scales + row * (size_t)shape.c);
        break;
    case FEATURE_POOLED:
        store_pooled(value, shape.c, area, half);
        break;
    case FEATURE_AT:
        store_attention(value, shape.c, area, half);
        break;
    case FEATURE_FORM_COUNT:
        break;
    }
    return STATUS_OK;
}

void cache_feature_value(const struct cache_manifest *manifest, const struct cache_shard *shard, int index,
                         uint32_t sample, int view, float *value)
{
    const struct cache_feature *feature = &manifest->features[index];
    size_t row = (size_t)sample * (size_t)feature->views + (size_t)view, area = (size_t)feature->h * (size_t)feature->w;
    size_t count = cache_feature_count(feature);
    if (feature->form != FEATURE_INT8) {
        half_to_floats(value, shard->features[index].half + row * count, count);
        return;
    }
    const int8_t *stored = shard->features[index].int8 + row * count;
    const float *scales = shard->features[index].scales + row * (size_t)feature->c;
    for (size_t i = 0; i < count; i++)
        value[i] = (float)stored[i] * scales[i / area];
}
