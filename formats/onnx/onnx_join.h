/* Values that are added or multiplied. Internal to onnx_read. */
#ifndef FORMATS_ONNX_ONNX_JOIN_H
#define FORMATS_ONNX_ONNX_JOIN_H

#include "formats/onnx/onnx_reader.h"

/* *common becomes the layout of the result of *common and *other; false if they differ in more than dimensions that one
 * of them repeats. */
bool onnx_join_layouts(struct onnx_layout *common, const struct onnx_layout *other);
enum status onnx_join_refused(struct onnx_reader *reader);
/* y = x * factor, as a node on the way to the result. */
enum status onnx_scaled(struct onnx_reader *reader, int from, double factor, int *node);
/* All inputs are values: their sum, product, difference or mean, by the operator's name. */
enum status onnx_join_values(struct onnx_reader *reader);

#endif
