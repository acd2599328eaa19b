/* Events with more than scalars: hyperparameters, a run's end, pictures. Messages are built from the inside out. */
#include "formats/report/tensorboard.h"

#include "formats/image/jpeg.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PICTURE_QUALITY = 95 };

/* A message of protobuf that grows. failed: memory ran out on the way. */
struct message {
    uint8_t *bytes; /* [size], owned */
    size_t size, capacity;
    bool failed;
};

static void put_raw(struct message *message, const void *bytes, size_t size)
{
    if (message->size + size > message->capacity) {
        const size_t capacity = 2 * (message->size + size) + 64;
        uint8_t *larger = message->failed ? NULL : realloc(message->bytes, capacity);
        if (!larger) {
            message->failed = true;
            return;
        }
        message->bytes = larger;
        message->capacity = capacity;
    }
    if (size > 0)
        memcpy(message->bytes + message->size, bytes, size);
    message->size += size;
}

static void put_varint(struct message *message, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        put_raw(message, &(uint8_t){(uint8_t)(value | 0x80)}, 1);
    put_raw(message, &(uint8_t){(uint8_t)value}, 1);
}

static void put_number(struct message *message, unsigned field, uint64_t value)
{
    put_varint(message, field << 3);
    put_varint(message, value);
}

static void put_double(struct message *message, unsigned field, double value)
{
    uint64_t bits;
    uint8_t bytes[8];
    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(bits >> 8 * i);
    put_varint(message, field << 3 | 1);
    put_raw(message, bytes, sizeof bytes);
}

static void put_bytes(struct message *message, unsigned field, const void *bytes, size_t size)
{
    put_varint(message, field << 3 | 2);
    put_varint(message, size);
    put_raw(message, bytes, size);
}

static void put_text(struct message *message, unsigned field, const char *text)
{
    put_bytes(message, field, text, strlen(text));
}

/* Puts a message into another one, and frees it. */
static void put_message(struct message *message, unsigned field, struct message *inner)
{
    message->failed = message->failed || inner->failed;
    if (!message->failed)
        put_bytes(message, field, inner->bytes, inner->size);
    free(inner->bytes);
    *inner = (struct message){0};
}

/* Writes an event whose summary has one value, and frees the value. */
static enum status write_value(struct tensorboard_writer *writer, int64_t step, struct message *value,
                               struct error *err)
{
    struct message summary = {0};
    put_message(&summary, 1, value);
    enum status status = summary.failed ? error_no_memory(err, 0, "a TensorBoard event")
                                        : tensorboard_write_summary(writer, step, summary.bytes, summary.size, err);
    free(summary.bytes);
    return status;
}

/* The data of the hparams plugin (tensorboard/plugins/hparams/plugin_data.proto) as a summary value without content:
 * the plugin reads only the metadata. Frees the data. */
static enum status write_hparams_data(struct tensorboard_writer *writer, const char *tag, unsigned field,
                                      struct message *data, struct error *err)
{
    struct message content = {0}, plugin = {0}, metadata = {0}, value = {0}, tensor = {0}, shape = {0}, side = {0};
    put_message(&content, field, data); /* HParamsPluginData: version 0 is not written */
    put_text(&plugin, 1, "hparams");
    put_message(&plugin, 2, &content);
    put_message(&metadata, 1, &plugin);
    put_number(&side, 1, 1);
    put_message(&shape, 2, &side);
    put_number(&tensor, 1, 1); /* DT_FLOAT */
    put_message(&tensor, 2, &shape);
    put_bytes(&tensor, 5, (const uint8_t[4]){0}, 4); /* float_val: 0 */
    put_text(&value, 1, tag);
    put_message(&value, 9, &metadata);
    put_message(&value, 8, &tensor);
    return write_value(writer, 0, &value, err);
}

enum status tensorboard_write_hparams(struct tensorboard_writer *writer, const struct tensorboard_hparam *hparams,
                                      int count, double start, struct error *err)
{
    struct message session = {0};
    for (int i = 0; i < count; i++) {
        struct message entry = {0}, value = {0};
        if (hparams[i].text)
            put_text(&value, 3, hparams[i].text);
        else
            put_double(&value, 2, hparams[i].number);
        put_text(&entry, 1, hparams[i].name);
        put_message(&entry, 2, &value);
        put_message(&session, 1, &entry);
    }
    put_double(&session, 5, start);
    return write_hparams_data(writer, "_hparams_/session_start_info", 3, &session, err);
}

enum status tensorboard_write_success(struct tensorboard_writer *writer, double end, struct error *err)
{
    struct message session = {0};
    put_number(&session, 1, 1); /* STATUS_SUCCESS */
    put_double(&session, 2, end);
    return write_hparams_data(writer, "_hparams_/session_end_info", 4, &session, err);
}

enum status tensorboard_write_picture(struct tensorboard_writer *writer, int64_t step, const char *tag,
                                      const struct image *image, struct error *err)
{
    struct message picture = {0}, value = {0};
    uint8_t *bytes;
    size_t size;
    enum status status = jpeg_encode(image, PICTURE_QUALITY, &bytes, &size, err);
    if (status != STATUS_OK)
        return status;
    put_number(&picture, 1, (uint64_t)image->h);
    put_number(&picture, 2, (uint64_t)image->w);
    put_number(&picture, 3, (uint64_t)image->channels);
    put_bytes(&picture, 4, bytes, size);
    put_text(&value, 1, tag);
    put_message(&value, 4, &picture);
    free(bytes);
    return write_value(writer, step, &value, err);
}
