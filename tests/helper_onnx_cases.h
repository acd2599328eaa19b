/* One small ONNX model for each operator and form that the reader knows, as lines of text, of which tests make variants
 * by replacing words. A line is "x OP WORD..." if the operator's result is the model's output, and "c OP WORD..." if it
 * is a constant, of which the sum is multiplied to the input; "r OP WORD..." is refused. OP/2 has two outputs. Words:
 *   x  the model's input     shape  its shape     _  an input that is left out     p  the output before " | "
 *   second  the second output of OP/2    S  the output of OP>S
 *   f2x3  floats [2,3]       v0.5  this float    v1,2  a vector of floats
 *   i1,-2  an int64 vector   i  an empty one     n3  an int64 number               b1,0  a vector of bools
 *   name=1  an int           name=1,2 or name=1,  ints
 *   name~0.5  a float        name~1,2  floats    name:text  a string
 *   name@WORD  a tensor, which WORD would be as an input */
#ifndef TESTS_HELPER_ONNX_CASES_H
#define TESTS_HELPER_ONNX_CASES_H

#include "tests/helper_protobuf.h"

extern const char *const onnx_cases[];
extern const int onnx_case_count;

/* Operators without their letter that may come between the input and a line: it gets values that are seen in another
 * way (channels last, flattened, repeated, in another order, not computed yet), or the same values. */
extern const char *const onnx_ways[];
extern const int onnx_way_count;
extern const char *const onnx_identities[];
extern const int onnx_identity_count;

/* Shapes of the input; the first is what the lines are written for. */
enum { ONNX_CASE_SHAPES = 8 };
/* The model of a line, behind a way or an identity (NULL: none). */
void onnx_case_model(struct proto *model, const char *way, const char *line, int shape, int opset);
/* The line, and behind it a way or an identity, which gets the line's result. */
void onnx_case_behind(char out[512], const char *line, const char *way);

#endif
