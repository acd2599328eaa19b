/* WebP by libwebp: lossy and lossless; of an animation the first frame, on its canvas. In a shared object of its
 * own. */
#include "formats/image/exif.h"
#include "formats/image/image_codec.h"
#include "shared/base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

extern const struct image_codec softcache_codec;

static enum status no_webp(size_t size, const char *path, struct error *err)
{
    return error_set(err, STATUS_BAD_DATA, path,
                     "not a readable WebP, or truncated: it has %zu bytes; get the file again, or remove it", size);
}

static enum status webp_inspect(const uint8_t *bytes, size_t size, const char *path, struct image_info *info,
                                struct error *err)
{
    const WebPData data = {bytes, size};
    WebPDemuxState state;
    WebPDemuxer *demuxer = WebPDemuxPartial(&data, &state);
    WebPChunkIterator chunk;
    if (!demuxer)
        return no_webp(size, path, err);
    const uint32_t w = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH), h = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT);
    enum status status = image_check_size(h, w, size, path, err);
    info->h = (int)h;
    info->w = (int)w;
    info->alpha = WebPDemuxGetI(demuxer, WEBP_FF_FORMAT_FLAGS) & ALPHA_FLAG;
    if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) {
        info->orientation = exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    WebPDemuxDelete(demuxer);
    return status;
}

/* The first frame of an animation: libwebp's player puts it on the canvas. */
static enum status decode_animation(const WebPData *data, const char *path, struct image *image, struct error *err)
{
    WebPAnimDecoderOptions options;
    WebPAnimDecoderOptionsInit(&options);
    options.color_mode = MODE_RGBA;
    WebPAnimDecoder *decoder = WebPAnimDecoderNew(data, &options);
    uint8_t *canvas;
    int time;
    enum status status = STATUS_OK;
    if (!decoder || !WebPAnimDecoderGetNext(decoder, &canvas, &time))
        FAIL(no_webp(data->size, path, err));
    for (size_t i = 0; i < (size_t)image->h * (size_t)image->w; i++)
        memcpy(image->pixels + 3 * i, canvas + 4 * i, 3);
cleanup:
    WebPAnimDecoderDelete(decoder);
    return status;
}

static enum status webp_decode(const uint8_t *bytes, size_t size, bool salvage, const char *path, struct image *image,
                               struct error *err)
{
    const WebPData data = {bytes, size};
    struct image_info info = {.orientation = 1};
    enum status status = STATUS_OK;
    (void)salvage;
    TRY(webp_inspect(bytes, size, path, &info, err));
    TRY(image_init_black(image, info.h, info.w, err));
    TRY(decode_animation(&data, path, image, err));
cleanup:
    return status;
}

const struct image_codec softcache_codec = {.inspect = webp_inspect, .decode = webp_decode};
