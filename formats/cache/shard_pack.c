/* Chunks of a shard's data sets, compressed on threads and decompressed: the same bytes as from libhdf5's filter
 * pipeline, but without its lock. */
#include "formats/cache/shard.h"

#include "formats/cache/zstd_filter.h"
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

size_t shard_chunk_rows(const struct shard_field *field)
{
    size_t row = field->bytes / (size_t)field->dims[0];
    size_t rows = row < SHARD_CHUNK_BYTES ? SHARD_CHUNK_BYTES / row : 1;
    return rows < field->dims[0] ? rows : (size_t)field->dims[0];
}

/* out[byte][element] = in[element][byte] */
static void shuffle(const unsigned char *in, unsigned char *out, size_t elements, size_t item)
{
    for (size_t byte = 0; byte < item; byte++)
        for (size_t i = 0; i < elements; i++)
            *out++ = in[i * item + byte];
}

struct pack_job {
    const struct shard_field *field;
    size_t first, rows;
    struct shard_chunk *packed;
};

/* The last chunk is as large as the others: it is filled up with zeros. */
static enum status pack_task(void *context, int index, int worker, struct error *err)
{
    (void)worker;
    const struct pack_job *job = context;
    const struct shard_field *field = job->field;
    size_t row = field->bytes / (size_t)field->dims[0], bytes = row * job->rows;
    size_t at = (job->first + (size_t)index) * bytes;
    size_t there = field->bytes - at < bytes ? field->bytes - at : bytes;
    const unsigned char *data = (const unsigned char *)field->data + at;
    unsigned char *chunk = calloc(2, bytes); /* the padded chunk, then the shuffled one */
    if (chunk) {
        const unsigned char *plain = data;
        if (there < bytes)
            plain = memcpy(chunk, data, there);
        if (field->item > 1) {
            shuffle(plain, chunk + bytes, bytes / field->item, field->item);
            plain = chunk + bytes;
        }
        job->packed[index].size = zstd_filter_pack(plain, bytes, &job->packed[index].bytes);
    }
    free(chunk);
    return job->packed[index].bytes ? STATUS_OK : error_no_memory(err, bytes, "a chunk of a shard");
}

enum status shard_pack(const struct shard_field *field, size_t first, int count, struct thread_pool *pool,
                       struct shard_chunk *packed, struct error *err)
{
    struct pack_job job = {.field = field, .first = first, .rows = shard_chunk_rows(field), .packed = packed};
    for (int i = 0; i < count; i++)
        packed[i] = (struct shard_chunk){0};
    return thread_pool_try(pool, count, pack_task, &job, err);
}

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
