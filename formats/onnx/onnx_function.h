/* Values as functions of earlier nodes, element by element, and the activations among them. Internal to onnx_read. */
#ifndef FORMATS_ONNX_ONNX_FUNCTION_H
#define FORMATS_ONNX_ONNX_FUNCTION_H

#include "formats/onnx/onnx_reader.h"

typedef double onnx_unary(double x, const void *data);

/* Notes the result of the current operator, before it is emitted, as a function of what its inputs are functions of.
 * The layout of the result must be that of its inputs. STATUS_INTERNAL: no memory. */
enum status onnx_trace_unary(struct onnx_reader *reader, const struct onnx_value *input, onnx_unary *apply,
                             const void *data);
enum status onnx_trace_activation(struct onnx_reader *reader, const struct onnx_value *input, const struct node *node);
/* Add, Sub, Mul, Div, Pow, Min, Max of two values, or of a value and a number. */
enum status onnx_trace_binary(struct onnx_reader *reader, const struct onnx_value *a, const struct onnx_value *b);
enum status onnx_trace_number(struct onnx_reader *reader, const struct onnx_value *input, double number,
                              bool number_first);

/* Whether one of the noted functions is an activation: *node is the activation, *input the node it is applied to. */
bool onnx_recognise(struct onnx_reader *reader, const struct onnx_value *traced, struct node *node, int *input);

#endif
