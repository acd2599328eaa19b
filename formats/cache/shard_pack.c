/* Chunks of a shard's data sets, compressed on threads: the same bytes as from libhdf5's filter pipeline, but without
 * its lock. */
#include "formats/cache/shard.h"

#include "formats/cache/zstd_filter.h"
#include <stdlib.h>
#include <string.h>

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
