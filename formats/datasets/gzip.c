#include "formats/datasets/gzip.h"

#include "shared/base/memory.h"
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

enum { GZIP_WINDOW = 16 + MAX_WBITS };

bool gzip_recognises(const uint8_t *bytes, size_t size)
{
    return size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

enum status gzip_decompress(const uint8_t *bytes, size_t size, size_t limit, const char *path, uint8_t **out,
                            size_t *out_size, struct error *err)
{
    enum status status = STATUS_OK;
    size_t capacity = 0, used = 0;
    int code = Z_OK;
    z_stream stream = {.next_in = (z_const Bytef *)bytes, .avail_in = (uInt)size};
    *out = NULL;
    *out_size = 0;
    if (size > UINT_MAX)
        return error_set(err, STATUS_BAD_DATA, path, "is too large: %zu bytes", size);
    if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
        return error_no_memory(err, 0, "decompression");
    while (code != Z_STREAM_END) {
        TRY(array_grow(out, 1, used, &capacity, "a decompressed file", err));
        uInt piece = capacity - used < 1u << 30 ? (uInt)(capacity - used) : 1u << 30;
        stream.next_out = *out + used;
        stream.avail_out = piece;
        code = inflate(&stream, Z_NO_FLUSH);
        used += piece - stream.avail_out;
        if (code == Z_BUF_ERROR || (code == Z_OK && stream.avail_in == 0 && stream.avail_out > 0))
            FAIL(error_set(err, STATUS_BAD_DATA, path, "truncated gzip file: the data ends after %zu bytes", size));
        if (code != Z_OK && code != Z_STREAM_END)
            FAIL(error_set(err, STATUS_BAD_DATA, path, "damaged gzip file near byte %lu: %s", stream.total_in,
                           stream.msg ? stream.msg : "bad data"));
        if (used > limit)
            FAIL(error_set(err, STATUS_BAD_DATA, path, "decompresses to more than the limit of %zu bytes", limit));
    }
    if (stream.avail_in > 0)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "has %u bytes after the end of the gzip data", stream.avail_in));
    *out_size = used;
cleanup:
    inflateEnd(&stream);
    if (status != STATUS_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

size_t gzip_peek(const uint8_t *bytes, size_t size, uint8_t *out, size_t count)
{
    z_stream stream = {.next_in = (z_const Bytef *)bytes,
                       .avail_in = size < UINT_MAX ? (uInt)size : UINT_MAX,
                       .next_out = out,
                       .avail_out = (uInt)count};
    if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
        return 0;
    const int code = inflate(&stream, Z_SYNC_FLUSH);
    inflateEnd(&stream);
    return code == Z_OK || code == Z_STREAM_END ? count - stream.avail_out : 0;
}
