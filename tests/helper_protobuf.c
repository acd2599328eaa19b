#include "tests/helper_protobuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void put(struct proto *out, const void *bytes, size_t size)
{
    if (out->size + size > out->capacity) {
        out->capacity = 2 * (out->size + size);
        out->bytes = realloc(out->bytes, out->capacity);
        assert_non_null(out->bytes);
    }
    if (size)
        memcpy(out->bytes + out->size, bytes, size);
    out->size += size;
}

static void put_varint(struct proto *out, uint64_t value)
{
    do {
        uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        put(out, &byte, 1);
        value >>= 7;
    } while (value);
}

void proto_int(struct proto *out, int field, int64_t value)
{
    put_varint(out, (uint64_t)field << 3);
    put_varint(out, (uint64_t)value);
}

void proto_float(struct proto *out, int field, float value)
{
    put_varint(out, (uint64_t)field << 3 | 5);
    put(out, &value, sizeof value);
}

void proto_bytes(struct proto *out, int field, const void *bytes, size_t size)
{
    put_varint(out, (uint64_t)field << 3 | 2);
    put_varint(out, size);
    put(out, bytes, size);
}

void proto_text(struct proto *out, int field, const char *text)
{
    proto_bytes(out, field, text, strlen(text));
}

void proto_message(struct proto *out, int field, struct proto *part)
{
    proto_bytes(out, field, part->bytes, part->size);
    proto_release(part);
}

void proto_release(struct proto *out)
{
    free(out->bytes);
    *out = (struct proto){0};
}

static bool read_varint(const uint8_t *bytes, size_t size, size_t *at, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64 && *at < size; shift += 7) {
        uint8_t byte = bytes[(*at)++];
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

bool proto_next(const uint8_t *bytes, size_t size, size_t *at, struct proto_field *field)
{
    uint64_t key, length = 0;
    if (!read_varint(bytes, size, at, &key))
        return false;
    *field = (struct proto_field){.number = (int)(key >> 3)};
    switch (key & 7) {
    case 0:
        return read_varint(bytes, size, at, &field->value);
    case 1:
        length = 8;
        break;
    case 2:
        if (!read_varint(bytes, size, at, &length))
            return false;
        break;
    case 5:
        length = 4;
        break;
    default:
        return false;
    }
    if (length > size - *at)
        return false;
    field->bytes = bytes + *at;
    field->size = (size_t)length;
    *at += (size_t)length;
    return true;
}
