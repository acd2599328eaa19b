/* GIF (CompuServe's "Graphics Interchange Format", 87a and 89a): the first frame on its canvas. As in Pillow, what the
 * frame leaves free has the transparent index if there is one, otherwise index 0, and indices become colours of the
 * palette, transparent or not. */
#include "formats/image/image_codec.h"
#include "shared/base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { SCREEN_BYTES = 13, FRAME_BYTES = 10, MAX_CODES = 4096, MAX_CODE_BITS = 12 };
enum { BLOCK_EXTENSION = '!', BLOCK_FRAME = ',', BLOCK_END = ';', EXTENSION_CONTROL = 0xF9 };

struct gif {
    const uint8_t *bytes;
    size_t size, at;
    uint8_t palette[256][3];
    int w, h; /* of the canvas */
    int x, y, frame_w, frame_h;
    bool interlaced;
    int transparent; /* an index; -1: none */
};

static int read_u16(const uint8_t *bytes)
{
    return bytes[0] | bytes[1] << 8;
}

static enum status truncated(const struct gif *gif, const char *path, struct error *err)
{
    return error_set(err, STATUS_BAD_DATA, path,
                     "truncated GIF: the data ends after %zu bytes; get the file again, or remove it", gif->size);
}

/* Indices without a colour are black. A palette in which every colour is its own index is none: then they are gray. */
static bool read_palette(struct gif *gif, int flags)
{
    const size_t count = (size_t)2 << (flags & 7);
    const uint8_t *colors = gif->bytes + gif->at;
    bool ramp = true;
    if (gif->size - gif->at < 3 * count)
        return false;
    memset(gif->palette, 0, sizeof gif->palette);
    memcpy(gif->palette, colors, 3 * count);
    gif->at += 3 * count;
    for (size_t i = 0; i < count; i++)
        ramp = ramp && colors[3 * i] == i && colors[3 * i + 1] == i && colors[3 * i + 2] == i;
    for (int i = 0; i < 256 && ramp; i++)
        memset(gif->palette[i], i, 3);
    return true;
}

/* Skips blocks up to the empty one that ends them. */
static bool skip_blocks(struct gif *gif)
{
    while (gif->at < gif->size) {
        const size_t length = gif->bytes[gif->at++];
        if (length == 0)
            return true;
        if (length > gif->size - gif->at)
            return false;
        gif->at += length;
    }
    return false;
}

static bool read_extension(struct gif *gif)
{
    const uint8_t *at = gif->bytes + gif->at;
    if (gif->size - gif->at >= 6 && at[0] == EXTENSION_CONTROL && at[1] >= 4 && (at[2] & 1))
        gif->transparent = at[5];
    gif->at++;
    return skip_blocks(gif);
}

/* Leaves gif->at at the code size in front of the frame's data. */
static enum status read_frame(struct gif *gif, const char *path, struct error *err)
{
    const uint8_t *frame = gif->bytes + gif->at;
    if (gif->size - gif->at < FRAME_BYTES - 1)
        return truncated(gif, path, err);
    gif->x = read_u16(frame);
    gif->y = read_u16(frame + 2);
    gif->frame_w = read_u16(frame + 4);
    gif->frame_h = read_u16(frame + 6);
    gif->interlaced = frame[8] & 0x40;
    gif->at += FRAME_BYTES - 1;
    if ((frame[8] & 0x80) && !read_palette(gif, frame[8]))
        return truncated(gif, path, err);
    if (gif->frame_w == 0 || gif->frame_h == 0)
        return error_set(err, STATUS_BAD_DATA, path, "its first frame has no pixels: %d x %d", gif->frame_w,
                         gif->frame_h);
    if (gif->x + gif->frame_w > gif->w) /* the canvas grows */
        gif->w = gif->x + gif->frame_w;
    if (gif->y + gif->frame_h > gif->h)
        gif->h = gif->y + gif->frame_h;
    return image_check_size(gif->h, gif->w, gif->size, path, err);
}

static enum status read_header(struct gif *gif, const uint8_t *bytes, size_t size, const char *path, struct error *err)
{
    *gif = (struct gif){.bytes = bytes, .size = size, .at = SCREEN_BYTES, .transparent = -1};
    for (int i = 0; i < 256; i++)
        memset(gif->palette[i], i, 3);
    if (size < SCREEN_BYTES)
        return truncated(gif, path, err);
    gif->w = read_u16(bytes + 6);
    gif->h = read_u16(bytes + 8);
    if ((bytes[10] & 0x80) && !read_palette(gif, bytes[10]))
        return truncated(gif, path, err);
    while (gif->at < size) {
        switch (bytes[gif->at++]) {
        case BLOCK_EXTENSION:
            if (!read_extension(gif))
                return truncated(gif, path, err);
            break;
        case BLOCK_FRAME:
            return read_frame(gif, path, err);
        case BLOCK_END:
            return error_set(err, STATUS_BAD_DATA, path, "is a GIF without a frame");
        }
    }
    return truncated(gif, path, err);
}

static enum status gif_inspect(const uint8_t *bytes, size_t size, const char *path, struct image_info *info,
                               struct error *err)
{
    struct gif gif;
    enum status status = read_header(&gif, bytes, size, path, err);
    if (status != STATUS_OK)
        return status;
    info->h = gif.h;
    info->w = gif.w;
    info->alpha = gif.transparent >= 0;
    return STATUS_OK;
}

/* Codes of growing width out of blocks of at most 255 bytes. */
struct codes {
    struct gif *gif;
    size_t block; /* bytes that are left of it */
    uint32_t bits;
    int bit_count;
};

/* -1: the data ends. */
static int next_code(struct codes *codes, int width)
{
    struct gif *gif = codes->gif;
    while (codes->bit_count < width) {
        if (codes->block == 0) {
            codes->block = gif->at < gif->size ? gif->bytes[gif->at++] : 0;
            if (codes->block == 0 || codes->block > gif->size - gif->at) /* Pillow drops an incomplete block */
                return -1;
        }
        codes->bits |= (uint32_t)gif->bytes[gif->at++] << codes->bit_count;
        codes->bit_count += 8;
        codes->block--;
    }
    const int code = (int)(codes->bits & ((1u << width) - 1));
    codes->bits >>= width;
    codes->bit_count -= width;
    return code;
}

/* Every code stands for the string of its prefix, another code, followed by one index. */
struct strings {
    uint16_t prefix[MAX_CODES], length[MAX_CODES];
    uint8_t last[MAX_CODES], first[MAX_CODES];
};

/* Writes the string of a code, cut at `capacity`. */
static size_t put_string(const struct strings *strings, int code, uint8_t *out, size_t capacity)
{
    const size_t length = strings->length[code];
    for (size_t i = length; i-- > 0; code = strings->prefix[code])
        if (i < capacity)
            out[i] = strings->last[code];
    return length < capacity ? length : capacity;
}

/* Fills indices[count]; returns how many the data has. */
static size_t decode_lzw(struct gif *gif, struct strings *strings, int minimum, uint8_t *indices, size_t count)
{
    const int clear = 1 << minimum, end = clear + 1;
    struct codes codes = {.gif = gif};
    size_t used = 0;
    int width = minimum + 1, next = end + 1, previous = -1;
    for (int i = 0; i < clear; i++) {
        strings->length[i] = 1;
        strings->first[i] = strings->last[i] = (uint8_t)i;
    }
    while (used < count) {
        const int code = next_code(&codes, width);
        if (code == clear) {
            width = minimum + 1;
            next = end + 1;
            previous = -1;
            continue;
        }
        if (code < 0 || code == end || code > next || (code >= clear && previous < 0) ||
            (code == next && next == MAX_CODES))
            break;
        if (previous >= 0 && next < MAX_CODES) {
            strings->prefix[next] = (uint16_t)previous;
            strings->length[next] = (uint16_t)(strings->length[previous] + 1);
            strings->first[next] = strings->first[previous];
            strings->last[next] = code == next ? strings->first[previous] : strings->first[code];
            next++;
            if (next == 1 << width && width < MAX_CODE_BITS)
                width++;
        } else if (code == next) {
            break;
        }
        used += put_string(strings, code, indices + used, count - used);
        previous = code;
    }
    return used;
}

/* The row of the frame that is the i-th one of the file. */
static int row_place(const struct gif *gif, int i)
{
    static const int starts[] = {0, 4, 2, 1}, steps[] = {8, 8, 4, 2};
    for (int pass = 0; pass < 4 && gif->interlaced; pass++) {
        const int rows =
            gif->frame_h > starts[pass] ? (gif->frame_h - starts[pass] + steps[pass] - 1) / steps[pass] : 0;
        if (i < rows)
            return starts[pass] + i * steps[pass];
        i -= rows;
    }
    return i;
}

static void paint(const struct gif *gif, const uint8_t *indices, size_t used, struct image *image)
{
    const uint8_t *background = gif->palette[gif->transparent >= 0 ? gif->transparent : 0];
    for (size_t i = 0; i < (size_t)image->h * (size_t)image->w; i++)
        memcpy(image->pixels + 3 * i, background, 3);
    for (size_t i = 0; i < used; i++) {
        const size_t y = (size_t)(gif->y + row_place(gif, (int)(i / (size_t)gif->frame_w)));
        const size_t x = (size_t)gif->x + i % (size_t)gif->frame_w;
        memcpy(image->pixels + 3 * (y * (size_t)image->w + x), gif->palette[indices[i]], 3);
    }
}

static enum status gif_decode(const uint8_t *bytes, size_t size, bool salvage, const char *path, struct image *image,
                              struct error *err)
{
    enum status status = STATUS_OK;
    struct gif gif;
    struct strings *strings = NULL;
    uint8_t *indices = NULL;
    TRY(read_header(&gif, bytes, size, path, err));
    const size_t count = (size_t)gif.frame_w * (size_t)gif.frame_h;
    const int minimum = gif.at < size ? bytes[gif.at++] : 0;
    if (minimum < 1 || minimum > 8)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "damaged GIF: codes of %d bits, which must be 1 to 8", minimum));
    strings = calloc(1, sizeof *strings);
    indices = malloc(count);
    if (!strings || !indices)
        FAIL(error_no_memory(err, count, "a GIF"));
    TRY(image_init_black(image, gif.h, gif.w, err));
    const size_t used = decode_lzw(&gif, strings, minimum, indices, count);
    if (used < count && !salvage)
        FAIL(error_set(
            err, STATUS_BAD_DATA, path,
            "truncated or damaged GIF: its first frame has %zu of %zu pixels; get the file again, or remove it", used,
            count));
    paint(&gif, indices, used, image);
cleanup:
    free(strings);
    free(indices);
    return status;
}

const struct image_codec image_codec_gif = {.inspect = gif_inspect, .decode = gif_decode};
