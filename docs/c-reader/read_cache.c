/* Reads the logits and labels of a softcache cache in C, without HDF5, and counts how often the teacher is right.
 *
 *     cc read_cache.c $(pkg-config --cflags --libs softcache) -o read_cache
 *     ./read_cache CACHE
 *
 * All functions are described in softcache.h. */
#include <softcache.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static char message[CALL_MESSAGE]; /* of the last call that failed */

/* All rows of a data set of the given item size, as one block of memory; NULL: message says why. */
static void *read_all(const struct softcache_shard *shard, const char *name, int item, struct softcache_data *data)
{
    if (softcache_shard_data(shard, name, data, message) != 0)
        return NULL;
    if (data->item != item) {
        snprintf(message, sizeof message, "%s has items of %d bytes, not %d", name, (int)data->item, item);
        return NULL;
    }
    size_t values = 1;
    for (int i = 0; i < data->rank; i++)
        values *= (size_t)data->dims[i];
    const size_t rows = (size_t)data->dims[0];
    void *out = malloc(values * (size_t)item + 1);
    int64_t *numbers = malloc(rows * sizeof *numbers + 1);
    for (size_t i = 0; numbers && i < rows; i++)
        numbers[i] = (int64_t)i;
    if (!out || !numbers || softcache_shard_rows(shard, name, numbers, rows, out, message) != 0) {
        free(out);
        out = NULL;
    }
    free(numbers);
    return out;
}

/* IEEE half precision. */
static float half(uint16_t bits)
{
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const float value = exponent ? ldexpf((float)(1024 + fraction), exponent - 25) : ldexpf((float)fraction, -24);
    return bits & 0x8000 ? -value : value;
}

int main(int argc, char **argv)
{
    struct softcache_cache *cache = NULL;
    struct softcache_shard *shard = NULL;
    struct softcache_data labels_data, logits_data;
    int right = 0, views = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: read_cache CACHE\n");
        return 64;
    }
    if (softcache_interface() != CALL_INTERFACE || softcache_cache_open(&cache, argv[1], message) != 0 ||
        softcache_shard_open(&shard, cache, 0, 0, message) != 0) { /* the training split's first shard */
        fprintf(stderr, "read_cache: %s\n", *message ? message : "the library is of another version than softcache.h");
        softcache_cache_close(cache);
        return 65;
    }
    int32_t *labels = read_all(shard, "labels", 4, &labels_data);                  /* [samples]; -1: none */
    uint16_t *logits = labels ? read_all(shard, "logits", 2, &logits_data) : NULL; /* [samples, views, classes] */
    if (!logits)
        fprintf(stderr, "read_cache: %s\n", message);
    for (int64_t s = 0; logits && s < logits_data.dims[0]; s++)
        for (int64_t v = 0; labels[s] >= 0 && v < logits_data.dims[1]; v++, views++) {
            const uint16_t *row = logits + (s * logits_data.dims[1] + v) * logits_data.dims[2];
            int best = 0;
            for (int c = 1; c < logits_data.dims[2]; c++)
                best = half(row[c]) > half(row[best]) ? c : best;
            right += best == labels[s];
        }
    if (logits)
        printf("%lld samples, %lld views each, %lld classes: the teacher is right on %d of %d views\n",
               (long long)logits_data.dims[0], (long long)logits_data.dims[1], (long long)logits_data.dims[2], right,
               views);
    const int code = logits ? 0 : 65;
    free(labels);
    free(logits);
    softcache_shard_close(shard);
    softcache_cache_close(cache);
    return code;
}
