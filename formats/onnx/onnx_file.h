/* A model file and the files of weights beside it (ONNX's external data, the default of torch.onnx.export since PyTorch
 * 2.9) as the bytes of one self-contained model. */
#ifndef FORMATS_ONNX_ONNX_FILE_H
#define FORMATS_ONNX_ONNX_FILE_H

#include "shared/base/digest.h"
#include "shared/base/error.h"
#include <stddef.h>

/* *bytes is malloc'ed. digest (may be NULL): the SHA-256 of the file, or, where weights lie in other files, of its
 * bytes followed by the bytes of those files in byte order of their names. Weights must lie in the model's folder or
 * below; a location that leaves it is refused. STATUS_NO_INPUT, STATUS_BAD_DATA, STATUS_CONFIG. */
enum status onnx_file_read(const char *path, unsigned char **bytes, size_t *size, char digest[DIGEST_HEX_SIZE],
                           struct error *err);

/* For models of more than 2 GiB, protobuf's limit: the weights stay in their files. *bytes are those of the model's own
 * file; the digest and the checks are the same. Whoever reads the bytes finds the weights beside the file. */
enum status onnx_file_read_apart(const char *path, unsigned char **bytes, size_t *size, char digest[DIGEST_HEX_SIZE],
                                 struct error *err);

#endif
