/* Chunks of a shard's data sets, decompressed: what libhdf5's filter pipeline does, without libhdf5. */
#include "formats/cache/shard.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* Half of all bytes are of two-byte elements, and this form is compiled to vector instructions. */
static void unshuffle_pairs(unsigned char *restrict out, const unsigned char *restrict low,
                            const unsigned char *restrict high, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = low[i];
        out[2 * i + 1] = high[i];
    }
}

/* out[element][byte] = in[byte][element], for the first `count` of `total` elements */
static void unshuffle(unsigned char *out, const unsigned char *in, size_t item, size_t count, size_t total)
{
    if (item == 2) {
        unshuffle_pairs(out, in, in + total, count);
        return;
    }
    for (size_t byte = 0; byte < item; byte++)
        for (size_t i = 0; i < count; i++)
            out[i * item + byte] = in[byte * total + i];
}

enum status shard_unpacker_init(struct shard_unpacker *unpacker, const struct shard_field *field, size_t rows,
                                struct error *err)
{
    const size_t chunk = field->bytes / field->dims[0] * rows;
    *unpacker = (struct shard_unpacker){.item = field->item, .chunk = chunk};
    unpacker->scratch = malloc(chunk);
    unpacker->zstd = ZSTD_createDCtx();
    return unpacker->scratch && unpacker->zstd ? STATUS_OK : error_no_memory(err, chunk, "a chunk");
}

void shard_unpacker_release(struct shard_unpacker *unpacker)
{
    ZSTD_freeDCtx(unpacker->zstd);
    free(unpacker->scratch);
    *unpacker = (struct shard_unpacker){0};
}

bool shard_unpack(struct shard_unpacker *unpacker, const unsigned char *packed, size_t size, unsigned char *out,
                  size_t count)
{
    const size_t item = unpacker->item, chunk = unpacker->chunk;
    const bool at_once = item == 1 && count == chunk;
    unsigned char *plain = at_once ? out : unpacker->scratch;
    if (ZSTD_decompressDCtx(unpacker->zstd, plain, chunk, packed, size) != chunk)
        return false;
    if (item > 1)
        unshuffle(out, plain, item, count / item, chunk / item);
    else if (!at_once)
        memcpy(out, plain, count);
    return true;
}
