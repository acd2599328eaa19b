/* The filter's client data is [level] (default 1). A chunk is one zstd frame that contains its decompressed size. */
#include "formats/cache/zstd_filter.h"

#include <H5PLextern.h>
#include <stdlib.h>
#include <zstd.h>

enum { CHUNK_LIMIT = 1 << 30 };

static size_t decompress(size_t bytes, size_t *capacity, void **buffer)
{
    unsigned long long size = ZSTD_getFrameContentSize(*buffer, bytes);
    if (size == 0 || size > CHUNK_LIMIT) /* its error codes are large, too */
        return 0;
    void *plain = malloc(size);
    if (!plain || ZSTD_decompress(plain, size, *buffer, bytes) != size) {
        free(plain);
        return 0;
    }
    free(*buffer);
    *buffer = plain;
    *capacity = size;
    return size;
}

static size_t pack(int level, const void *chunk, size_t bytes, void **packed)
{
    size_t bound = ZSTD_compressBound(bytes);
    *packed = malloc(bound);
    size_t size = *packed ? ZSTD_compress(*packed, bound, chunk, bytes, level) : 0;
    if (size > 0 && !ZSTD_isError(size))
        return size;
    free(*packed);
    *packed = NULL;
    return 0;
}

static size_t compress(int level, size_t bytes, size_t *capacity, void **buffer)
{
    void *packed;
    size_t size = pack(level, *buffer, bytes, &packed);
    if (size > 0) {
        free(*buffer);
        *buffer = packed;
        *capacity = size;
    }
    return size;
}

/* H5Z_func_t: replaces *buffer, returns the number of bytes in it, 0 on failure. */
static size_t zstd_filter(unsigned flags, size_t value_count, const unsigned values[], size_t bytes, size_t *capacity,
                          void **buffer)
{
    if (flags & H5Z_FLAG_REVERSE)
        return decompress(bytes, capacity, buffer);
    return compress(value_count > 0 ? (int)values[0] : ZSTD_FILTER_LEVEL, bytes, capacity, buffer);
}

static const H5Z_class2_t filter_class = {
    .version = H5Z_CLASS_T_VERS,
    .id = ZSTD_FILTER_ID,
    .encoder_present = 1,
    .decoder_present = 1,
    .name = "zstd",
    .filter = zstd_filter,
};

H5PL_type_t H5PLget_plugin_type(void)
{
    return H5PL_TYPE_FILTER;
}

const void *H5PLget_plugin_info(void)
{
    return &filter_class;
}

#ifndef ZSTD_FILTER_PLUGIN /* a plugin must not need symbols of the program that loads it */
size_t zstd_filter_pack(const void *chunk, size_t bytes, void **packed)
{
    return pack(ZSTD_FILTER_LEVEL, chunk, bytes, packed);
}

enum status zstd_filter_register(struct error *err)
{
    if (H5Zregister(&filter_class) < 0)
        return error_set(err, STATUS_INTERNAL, NULL, "libhdf5 refused the zstd filter");
    return STATUS_OK;
}
#endif
