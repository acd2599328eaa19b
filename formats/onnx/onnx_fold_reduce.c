/* Sums, means, products and extremes of constants over some of their axes (sizes of shapes), norms of constants (weight
 * standardisation), and constants limited to a range. */
#include "formats/onnx/onnx_reader.h"

#include <float.h>
#include <math.h>
#include <string.h>

struct reduction {
    const char *name;
    double first; /* where it begins */
    double (*add)(double sum, double number);
    bool is_mean, has_root; /* the end of it */
};

static double add_number(double sum, double number)
{
    return sum + number;
}

static double add_square(double sum, double number)
{
    return sum + number * number;
}

static double add_absolute(double sum, double number)
{
    return sum + fabs(number);
}

static double multiply(double product, double number)
{
    return product * number;
}

static const struct reduction reductions[] = {
    {"ReduceSum", 0, add_number, false, false},  {"ReduceMean", 0, add_number, true, false},
    {"ReduceProd", 1, multiply, false, false},   {"ReduceMax", -INFINITY, fmax, false, false},
    {"ReduceMin", INFINITY, fmin, false, false}, {"ReduceL1", 0, add_absolute, false, false},
    {"ReduceL2", 0, add_square, false, true},    {"ReduceSumSquare", 0, add_square, false, false},
};

/* The result's shape, and how far apart in it the elements of each axis of the input are (0: they are added up). */
static struct onnx_array reduced_shape(const struct onnx_array *in, const bool *gone, bool keep, size_t *strides)
{
    struct onnx_array like = onnx_without_data(in);
    size_t stride = 1;
    like.rank = 0;
    like.count = 1;
    for (int i = in->rank - 1; i >= 0; i--) {
        strides[i] = gone[i] ? 0 : stride;
        stride *= gone[i] ? 1 : (size_t)in->dims[i];
    }
    for (int i = 0; i < in->rank; i++)
        if (keep || !gone[i])
            like.dims[like.rank++] = gone[i] ? 1 : in->dims[i];
    for (int i = 0; i < like.rank; i++)
        like.count = size_mul(like.count, (size_t)like.dims[i]);
    return like;
}

static size_t place_in_result(const struct onnx_array *in, const size_t *strides, size_t element)
{
    size_t place = 0;
    for (int i = in->rank - 1; i >= 0; i--) {
        place += element % (size_t)in->dims[i] * strides[i];
        element /= (size_t)in->dims[i];
    }
    return place;
}

enum status onnx_fold_reduce(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct reduction *op = reductions;
    const struct onnx_array *in;
    struct onnx_array *out, like;
    const int64_t *axes;
    size_t count, strides[ONNX_MAX_RANK];
    bool gone[ONNX_MAX_RANK];
    while (strcmp(op->name, reader->op->op_type) != 0)
        op++;
    TRY(onnx_constant_input(reader, 0, &in));
    TRY(onnx_attribute_or_input(reader, "axes", 1, &axes, &count));
    if (in->count == 0)
        return onnx_refuse(reader, "its input is empty");
    if (!onnx_mark_axes(axes, count, in->rank, gone))
        return onnx_refuse(reader, "its axes are out of range");
    for (int i = 0; count == 0 && i < in->rank; i++)
        gone[i] = true; /* no axes: all of them */
    if (count == 0 && onnx_attribute_int(reader, "noop_with_empty_axes", 0))
        return onnx_refuse(reader, "without axes it does nothing, which is not supported");
    for (size_t i = 0; !in->is_float && i < in->count; i++)
        if (in->ints[i] == ONNX_BATCH)
            return onnx_refuse(reader, "the batch size is among its numbers");
    like = reduced_shape(in, gone, onnx_attribute_int(reader, "keepdims", 1) != 0, strides);
    double *sum =
        arena_alloc(&reader->arena, like.count ? like.count : 1, sizeof *sum); /* no more than the input has */
    if (!sum)
        return error_no_memory(reader->err, like.count * sizeof *sum, "a constant");
    for (size_t i = 0; i < like.count; i++)
        sum[i] = op->first;
    for (size_t i = 0; i < in->count; i++) {
        double *to = &sum[place_in_result(in, strides, i)];
        *to = op->add(*to, in->is_float ? (double)in->floats[i] : (double)in->ints[i]);
    }
    TRY(onnx_emit_like(reader, &like, &out));
    for (size_t i = 0; i < out->count; i++) {
        double result = sum[i];
        if (op->is_mean)
            result /= (double)(in->count / out->count);
        if (op->has_root)
            result = sqrt(result);
        if (!out->is_float && !(fabs(result) < 0x1p53))
            return onnx_refuse(reader, "a number is out of range");
        if (out->is_float)
            out->floats[i] = (float)result;
        else
            out->ints[i] = (int64_t)result;
    }
cleanup:
    return status;
}

enum status onnx_fold_clip(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *in;
    struct onnx_array *out, like;
    double low = onnx_attribute_float(reader, "min", -FLT_MAX), high = onnx_attribute_float(reader, "max", FLT_MAX);
    TRY(onnx_constant_input(reader, 0, &in));
    TRY(onnx_number_input(reader, 1, &low));
    TRY(onnx_number_input(reader, 2, &high));
    like = onnx_without_data(in);
    TRY(onnx_emit_like(reader, &like, &out));
    for (size_t i = 0; i < out->count; i++) {
        if (out->is_float)
            out->floats[i] = (float)fmin(fmax((double)in->floats[i], low), high);
        else if (in->ints[i] == ONNX_BATCH)
            return onnx_refuse(reader, "the batch size is among its numbers");
        else
            out->ints[i] = (double)in->ints[i] < low    ? (int64_t)low
                           : (double)in->ints[i] > high ? (int64_t)high
                                                        : in->ints[i];
    }
cleanup:
    return status;
}

/* Mean and variance of channel k of [n, channels, inner] numbers. */
static void moments(const struct onnx_array *in, size_t channels, size_t inner, size_t k, double *mean,
                    double *variance)
{
    const size_t outer = in->count / (channels * inner);
    double sum = 0, squares = 0;
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < inner; i++)
            sum += (double)in->floats[(o * channels + k) * inner + i];
    *mean = sum / (double)(outer * inner);
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < inner; i++) {
            const double distance = (double)in->floats[(o * channels + k) * inner + i] - *mean;
            squares += distance * distance;
        }
    *variance = squares / (double)(outer * inner);
}

/* A batch norm of weights: with training_mode it is how PyTorch standardises the weights of a convolution. */
enum status onnx_fold_batch_norm(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *in, *numbers[4];
    struct onnx_array *out, like;
    const bool trains = onnx_attribute_int(reader, "training_mode", 0) != 0;
    const double epsilon = (double)onnx_attribute_float(reader, "epsilon", 1e-5f);
    TRY(onnx_constant_input(reader, 0, &in));
    if (!in->is_float || in->rank < 2 || in->count == 0)
        return onnx_refuse(reader, "its input must be floats of [n, channels, ...]");
    const size_t channels = (size_t)in->dims[1];
    size_t inner = 1;
    for (int d = 2; d < in->rank; d++)
        inner *= (size_t)in->dims[d];
    for (size_t i = 0; i < 4; i++) {
        TRY(onnx_constant_input(reader, 1 + i, &numbers[i]));
        if (!numbers[i]->is_float || numbers[i]->count != channels)
            return onnx_refuse(reader, "input %zu must have one number per channel", 1 + i);
    }
    like = onnx_without_data(in);
    TRY(onnx_emit_like(reader, &like, &out));
    for (size_t k = 0; k < channels; k++) {
        double mean = (double)numbers[2]->floats[k], variance = (double)numbers[3]->floats[k];
        if (trains)
            moments(in, channels, inner, k, &mean, &variance);
        const double scale = (double)numbers[0]->floats[k] / sqrt(variance + epsilon);
        for (size_t o = 0; o < in->count / (channels * inner); o++)
            for (size_t i = 0; i < inner; i++) {
                const size_t at = (o * channels + k) * inner + i;
                out->floats[at] = (float)(((double)in->floats[at] - mean) * scale + (double)numbers[1]->floats[k]);
            }
    }
cleanup:
    return status;
}
