#define _POSIX_C_SOURCE 200809L
#include "formats/report/tensorboard.h"

#include "shared/base/file_calls.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_HEAD = 12, FRAME_TAIL = 4, VARINT_MAX = 10, NAME_TRIES = 1000 };
/* Protobuf wire types. */
enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct tensorboard_writer {
    int file;
    char path[4096];
};

uint32_t crc32c(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82F63B78u & -(crc & 1u));
    }
    return ~crc;
}

static uint32_t masked_crc(const void *bytes, size_t size)
{
    uint32_t crc = crc32c(bytes, size);
    return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

/* ---- protobuf, written from front to back; every put function returns the new end ---- */

static uint8_t *put_fixed(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *at++ = (uint8_t)(value >> 8 * i);
    return at;
}

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

static uint8_t *put_key(uint8_t *at, unsigned field, unsigned wire)
{
    return put_varint(at, field << 3 | wire);
}

static uint8_t *put_bytes(uint8_t *at, unsigned field, const void *bytes, size_t size)
{
    at = put_varint(put_key(at, field, WIRE_BYTES), size);
    memcpy(at, bytes, size);
    return at + size;
}

static uint8_t *put_double(uint8_t *at, unsigned field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return put_fixed(put_key(at, field, WIRE_FIXED64), bits, 8);
}

static size_t varint_size(uint64_t value)
{
    size_t size = 1;
    while (value >>= 7)
        size++;
    return size;
}

/* Summary.Value without its own key and length. */
static size_t value_size(const struct tensorboard_scalar *scalar)
{
    size_t tag = strlen(scalar->tag);
    return 1 + varint_size(tag) + tag + 1 + 4;
}

static uint8_t *put_value(uint8_t *at, const struct tensorboard_scalar *scalar)
{
    uint32_t bits;
    memcpy(&bits, &scalar->value, sizeof bits);
    at = put_varint(put_key(at, 1, WIRE_BYTES), value_size(scalar));
    at = put_bytes(at, 1, scalar->tag, strlen(scalar->tag));
    return put_fixed(put_key(at, 2, WIRE_FIXED32), bits, 4);
}

/* Frames the message [buffer + FRAME_HEAD, end) and returns the record's size. */
static size_t frame(uint8_t *buffer, uint8_t *end)
{
    uint8_t *data = buffer + FRAME_HEAD;
    size_t size = (size_t)(end - data);
    put_fixed(buffer, size, 8);
    put_fixed(buffer + 8, masked_crc(buffer, 8), 4);
    put_fixed(end, masked_crc(data, size), 4);
    return FRAME_HEAD + size + FRAME_TAIL;
}

uint8_t *tensorboard_encode(double wall_time, int64_t step, const struct tensorboard_scalar *scalars, int count,
                            size_t *size)
{
    size_t summary = 0;
    for (int i = 0; i < count; i++)
        if (!isnan(scalars[i].value))
            summary += 1 + varint_size(value_size(&scalars[i])) + value_size(&scalars[i]);
    uint8_t *buffer = malloc(FRAME_HEAD + 9 + 1 + VARINT_MAX + 1 + VARINT_MAX + summary + FRAME_TAIL);
    if (!buffer)
        return NULL;
    uint8_t *at = put_double(buffer + FRAME_HEAD, 1, wall_time);
    at = put_varint(put_key(at, 2, WIRE_VARINT), (uint64_t)step);
    at = put_varint(put_key(at, 5, WIRE_BYTES), summary);
    for (int i = 0; i < count; i++)
        if (!isnan(scalars[i].value))
            at = put_value(at, &scalars[i]);
    *size = frame(buffer, at);
    return buffer;
}

/* The two records that open a file: the version, and the start of a session at first_step. */
static size_t encode_start(uint8_t *buffer, double wall_time, int64_t first_step)
{
    static const char version[] = "brain.Event:2";
    uint8_t *at = put_double(buffer + FRAME_HEAD, 1, wall_time);
    at = put_bytes(at, 3, version, sizeof version - 1);
    size_t size = frame(buffer, at);
    uint8_t *second = buffer + size;
    static const uint8_t session_start[] = {1 << 3 | WIRE_VARINT, 1}; /* SessionLog.status = START */
    at = put_double(second + FRAME_HEAD, 1, wall_time);
    at = put_varint(put_key(at, 2, WIRE_VARINT), (uint64_t)first_step);
    at = put_bytes(at, 7, session_start, sizeof session_start);
    return size + frame(second, at);
}

static double wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static enum status write_all(const struct tensorboard_writer *writer, const uint8_t *bytes, size_t size,
                             struct error *err)
{
    while (size > 0) {
        ssize_t written = RETRY(write(writer->file, bytes, size));
        if (written <= 0)
            return file_call_failed(err, STATUS_IO, writer->path, "cannot write");
        bytes += written;
        size -= (size_t)written;
    }
    return STATUS_OK;
}

/* TensorBoard reads the files of a folder in the order of their names, so the name contains the time in seconds;
 * another start in the same second uses the next second. */
static enum status create_file(struct tensorboard_writer *writer, const char *folder, struct error *err)
{
    long long second = (long long)wall_clock();
    for (int i = 0; i < NAME_TRIES && writer->file < 0; i++) {
        if (snprintf(writer->path, sizeof writer->path, "%s/events.out.tfevents.%010lld.softcache", folder,
                     second + i) >= (int)sizeof writer->path)
            return error_set(err, STATUS_CANT_CREATE, folder, "the path is too long");
        writer->file = file_call_open(AT_FDCWD, writer->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0666);
        if (writer->file < 0 && errno != EEXIST)
            break;
    }
    if (writer->file < 0)
        return file_call_failed(err, STATUS_CANT_CREATE, writer->path, "cannot create");
    return STATUS_OK;
}

enum status tensorboard_open(struct tensorboard_writer **out, const char *folder, int64_t first_step, struct error *err)
{
    enum status status = STATUS_OK;
    uint8_t start[128];
    struct tensorboard_writer *writer = calloc(1, sizeof *writer);
    *out = NULL;
    if (!writer)
        return error_no_memory(err, sizeof *writer, "the TensorBoard writer");
    writer->file = -1;
    TRY(create_file(writer, folder, err));
    TRY(write_all(writer, start, encode_start(start, wall_clock(), first_step), err));
    *out = writer;
    writer = NULL;
cleanup:
    tensorboard_close(writer);
    return status;
}

enum status tensorboard_write(struct tensorboard_writer *writer, int64_t step, const struct tensorboard_scalar *scalars,
                              int count, struct error *err)
{
    size_t size = 0;
    uint8_t *record = tensorboard_encode(wall_clock(), step, scalars, count, &size);
    if (!record)
        return error_no_memory(err, 0, "a TensorBoard event");
    enum status status = write_all(writer, record, size, err);
    free(record);
    return status;
}

enum status tensorboard_write_summary(struct tensorboard_writer *writer, int64_t step, const void *summary, size_t size,
                                      struct error *err)
{
    uint8_t *buffer = malloc(FRAME_HEAD + 9 + 1 + VARINT_MAX + 1 + VARINT_MAX + size + FRAME_TAIL);
    if (!buffer)
        return error_no_memory(err, size, "a TensorBoard event");
    uint8_t *at = put_double(buffer + FRAME_HEAD, 1, wall_clock());
    at = put_varint(put_key(at, 2, WIRE_VARINT), (uint64_t)step);
    at = put_bytes(at, 5, summary, size);
    enum status status = write_all(writer, buffer, frame(buffer, at), err);
    free(buffer);
    return status;
}

void tensorboard_close(struct tensorboard_writer *writer)
{
    if (!writer)
        return;
    if (writer->file >= 0)
        close(writer->file);
    free(writer);
}
