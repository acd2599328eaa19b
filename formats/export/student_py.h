/* Writes a graph as Python source: a torch.nn.Module of the same structure, whose state_dict has the names that
 * safetensors_write_weights writes, so that load_state_dict(..., strict=True) works. The module needs torch only.
 *
 * With a card the source also has PREPROCESSING and CLASSES, preprocess(), which gives an image file the pixels that
 * `student_train predict` gives it (it needs Pillow), load_weights() and a main program that classifies photos.
 *
 * A layer whose weights are named "a.b.weight", "a.b.bias" (and running_mean, running_var) becomes the module a.b;
 * tensors with other names become parameters or buffers of that name, and the layer becomes a functional call. */
#ifndef FORMATS_EXPORT_STUDENT_PY_H
#define FORMATS_EXPORT_STUDENT_PY_H

#include "formats/export/model_card.h"
#include "shared/base/error.h"
#include "shared/graph/graph.h"
#include <stddef.h>

/* card NULL: only the module. *text is malloc'ed and ends in a zero byte; the caller frees it. STATUS_CONFIG for weight
 * names that PyTorch does not allow (an empty part between dots). */
enum status student_py_write(const struct graph *graph, const struct model_card *card, char **text, size_t *size,
                             struct error *err);

#endif
