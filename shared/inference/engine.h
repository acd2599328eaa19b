/* Stage one's engine: runs a graph (a teacher) on batches of views and returns any of its values. Several batches can
 * be in flight, each in a buffer of its own, so that decoding, the device and compression overlap.
 * On the CPU oneDNN computes (cpu/, onednn/), on a GPU cuDNN and cuBLASLt (cuda/, cudnn/) or our own kernels (plain/).
 * On both, onnxruntime can run a model that was not read as a graph (onnxruntime/). */
#ifndef SHARED_INFERENCE_ENGINE_H
#define SHARED_INFERENCE_ENGINE_H

#include "shared/augment/view.h"
#include "shared/base/error.h"
#include "shared/graph/graph.h"
#include "shared/inference/onnxruntime/onnxruntime_model.h"
#include "shared/tensor/dtype.h"

struct device;
struct engine;

struct engine_options {
    int batch;                /* the largest batch that will be run */
    int in_flight;            /* batches in flight at once; 0 means 1 */
    size_t host_memory;       /* CPU, native: STATUS_CONFIG if the values take more bytes; 0: than are available */
    enum precision precision; /* PRECISION_AUTO: fp16 on CUDA, fp32 on the CPU */
    const int *outputs;       /* [output_count] nodes of the graph whose values are wanted: logits, recorded features */
    int output_count;
    /* NULL: the engine runs the graph. Otherwise onnxruntime runs this model (borrowed during open), and there is no
     * graph; the outputs are the model's, and `outputs` is NULL. */
    const struct onnxruntime_model *model;
};

/* A batch: either input or views of images. All of it is host memory of the caller, borrowed during submit only. */
struct engine_batch {
    int count;          /* <= options.batch */
    const float *input; /* [count, h, w, c] normalised; NULL: the engine renders the views */
    const struct view *views;
    const struct image *const *levels; /* [count] the pyramid of each view's base image; if neighbours share one, it
                                          is uploaded once */
    const int *level_counts;           /* [count] */
    /* How views are mixed with partners, and the partners in the same form as the views; NULL: no view is mixed. The
     * partner of a view that is not mixed is ignored. */
    const struct view_mix *mixes; /* [count] */
    const struct view *partner_views;
    const struct image *const *partner_levels;
    const int *partner_level_counts;
    float (*table)[256]; /* [channels][256] normalisation */
    bool mirrored;       /* the finished pictures of the views, mixed or not, are mirrored left to right; not `input` */
    bool bgr;            /* the pictures of the views, which are RGB, are given as BGR, normalised as they were; not
                            `input`. Images of one channel stay as they are */
};

struct engine_ops {
    int usual_batch; /* a batch that keeps the device busy */
    /* The precision in which an engine on the backend's device `index` would compute if `wanted` is requested: never
     * PRECISION_AUTO. STATUS_CONFIG if it is not available. onnxruntime: whether that will run the model. */
    enum status (*choose_precision)(int index, enum precision wanted, bool onnxruntime, enum precision *chosen,
                                    struct error *err);
    /* device: of the same backend, borrowed until close. The graph (NULL with options->model) is borrowed during the
     * call only; weights are folded and packed here. STATUS_CONFIG names the operator or the precision that is not
     * available. */
    enum status (*open)(struct engine **out, struct device *device, const struct graph *graph,
                        const struct engine_options *options, struct error *err);
    /* Begins a batch in one of the engine's buffers (0 <= buffer < in_flight), whose last batch must have been
     * collected. May return before the batch is done. STATUS_INTERRUPTED if a signal came. */
    enum status (*submit)(struct engine *engine, int buffer, const struct engine_batch *batch, struct error *err);
    /* Waits for the batch in the buffer. outputs[i] gets host memory [count, c, h, w], float in PyTorch's order, valid
     * until the buffer's next submit. The result for a sample does not depend on count or on its neighbours in the
     * batch (but for a model whose file fixes a batch above 1, where only the model knows). */
    enum status (*collect)(struct engine *engine, int buffer, const float **outputs, struct error *err);
    /* "oneDNN 2.6.3 AVX-512, fp32", "cuDNN 9.19, 20 convolutions, ...": for the log; lives as long as the engine. The
     * part before the first comma, and on a GPU the device's arithmetic, are what the bits of its answers depend on. */
    const char *(*describe)(const struct engine *engine);
    void (*close)(struct engine *engine); /* NULL is allowed */
};

#endif
