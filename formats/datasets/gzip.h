/* Gzip (RFC 1952), decompressed in memory. */
#ifndef FORMATS_DATASETS_GZIP_H
#define FORMATS_DATASETS_GZIP_H

#include "shared/base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool gzip_recognises(const uint8_t *bytes, size_t size);

/* Decompresses one gzip member; *out is malloc'ed, the caller frees it. STATUS_BAD_DATA for damaged or truncated input,
 * bytes after the end, and output of more than `limit` bytes. At most 2 * limit bytes are ever allocated, and at most
 * twice the real output. */
enum status gzip_decompress(const uint8_t *bytes, size_t size, size_t limit, const char *path, uint8_t **out,
                            size_t *out_size, struct error *err);

/* The first bytes of the decompressed file, `count` at most; returns how many there are (0 if it is damaged). */
size_t gzip_peek(const uint8_t *bytes, size_t size, uint8_t *out, size_t count);

#endif
