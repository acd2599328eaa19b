#include "shared/inference/onnxruntime/ort_tensor.h"

#include "shared/tensor/half.h"
#include <string.h>

static const int64_t MAX_SIDE = 1 << 24;

size_t ort_tensor_count(const struct onnxruntime_tensor *tensor)
{
    size_t count = 1;
    for (int i = 0; i < tensor->rank; i++) {
        const size_t dim = tensor->dims[i] > 0 ? (size_t)tensor->dims[i] : 0;
        if (dim == 0 || count > (size_t)INT32_MAX / dim)
            return 0;
        count *= dim;
    }
    return count;
}

size_t ort_tensor_bytes(const struct onnxruntime_tensor *tensor)
{
    return ort_tensor_count(tensor) * (tensor->type == ONNXRUNTIME_HALF ? 2 : 4);
}

/* Side of a square of `count`, or 0. */
static int square_side(int64_t count)
{
    int64_t side = 1;
    while (side * side < count)
        side++;
    return side * side == count ? (int)side : 0;
}

/* [tokens, c] */
static void see_tokens(struct onnxruntime_tensor *tensor, int64_t tokens, int64_t channels)
{
    const int side = square_side(tokens);
    tensor->shape = (struct shape){(int)channels, side ? side : (int)tokens, side ? side : 1};
    tensor->channels_last = true;
}

void ort_tensor_see(struct onnxruntime_tensor *tensor, int batch)
{
    const int64_t *dims = tensor->dims;
    int rank = tensor->rank;
    tensor->shape = (struct shape){0};
    tensor->channels_last = false;
    if ((tensor->type != ONNXRUNTIME_FLOAT && tensor->type != ONNXRUNTIME_HALF) || rank < 1 ||
        rank > ONNXRUNTIME_MAX_RANK || ort_tensor_count(tensor) == 0)
        return;
    for (int i = 0; i < rank; i++)
        if (dims[i] > MAX_SIDE)
            return;
    if (rank > 1 || batch > 1) { /* with a batch of 1 some models drop it */
        if (dims[0] != batch)
            return;
        dims++;
        rank--;
    }
    for (; rank > 3 && dims[0] == 1; rank--)
        dims++;
    if (rank == 0)
        tensor->shape = (struct shape){1, 1, 1};
    else if (rank == 1 || (rank == 2 && dims[1] == 1))
        tensor->shape = (struct shape){(int)dims[0], 1, 1};
    else if (rank == 2)
        see_tokens(tensor, dims[0], dims[1]);
    else if (rank == 3 && dims[0] == dims[1] && dims[1] != dims[2]) {
        tensor->shape = (struct shape){(int)dims[2], (int)dims[0], (int)dims[1]};
        tensor->channels_last = true;
    } else if (rank == 3)
        tensor->shape = (struct shape){(int)dims[0], (int)dims[1], (int)dims[2]};
}

static bool is_transposed(const struct onnxruntime_tensor *tensor)
{
    return tensor->channels_last && tensor->shape.c > 1 && tensor->shape.h * tensor->shape.w > 1;
}

bool ort_tensor_is_plain(const struct onnxruntime_tensor *tensor)
{
    return tensor->type == ONNXRUNTIME_FLOAT && !is_transposed(tensor);
}

/* Three channels: the loop of every photo. */
static void split_colors(const float *from, size_t pixels, float *to)
{
    float *r = to, *g = to + pixels, *b = to + 2 * pixels;
    for (size_t p = 0; p < pixels; p++) {
        r[p] = from[3 * p];
        g[p] = from[3 * p + 1];
        b[p] = from[3 * p + 2];
    }
}

/* to[columns][rows] = from[rows][columns] */
static void transpose(const float *from, size_t rows, size_t columns, float *to)
{
    if (columns == 3) {
        split_colors(from, rows, to);
        return;
    }
    for (size_t c = 0; c < columns; c++)
        for (size_t r = 0; r < rows; r++)
            to[c * rows + r] = from[r * columns + c];
}

static void transpose_halves(const uint16_t *from, size_t rows, size_t columns, float *to)
{
    for (size_t c = 0; c < columns; c++)
        for (size_t r = 0; r < rows; r++)
            to[c * rows + r] = half_to_float(from[r * columns + c]);
}

void ort_tensor_fill(const struct onnxruntime_tensor *tensor, int batch, const float *from, void *to)
{
    const size_t channels = (size_t)tensor->shape.c, pixels = (size_t)tensor->shape.h * (size_t)tensor->shape.w;
    const size_t count = channels * pixels;
    for (int i = 0; i < batch; i++, from += count) {
        if (tensor->type == ONNXRUNTIME_FLOAT && tensor->channels_last)
            memcpy((float *)to + (size_t)i * count, from, count * sizeof *from);
        else if (tensor->type == ONNXRUNTIME_FLOAT)
            transpose(from, pixels, channels, (float *)to + (size_t)i * count);
        else {
            uint16_t *halves = (uint16_t *)to + (size_t)i * count;
            for (size_t c = 0; c < channels; c++)
                for (size_t p = 0; p < pixels; p++)
                    halves[tensor->channels_last ? p * channels + c : c * pixels + p] =
                        half_from_float(from[p * channels + c]);
        }
    }
}

void ort_tensor_fetch(const struct onnxruntime_tensor *tensor, int batch, const void *from, float *to)
{
    const size_t channels = (size_t)tensor->shape.c, pixels = (size_t)tensor->shape.h * (size_t)tensor->shape.w;
    const size_t count = channels * pixels;
    for (size_t i = 0; i < (size_t)batch; i++, to += count) {
        const float *floats = (const float *)from + i * count;
        const uint16_t *halves = (const uint16_t *)from + i * count;
        if (tensor->type == ONNXRUNTIME_HALF && is_transposed(tensor))
            transpose_halves(halves, pixels, channels, to);
        else if (tensor->type == ONNXRUNTIME_HALF)
            half_to_floats(to, halves, count);
        else if (is_transposed(tensor))
            transpose(floats, pixels, channels, to);
        else
            memcpy(to, floats, count * sizeof *to);
    }
}
