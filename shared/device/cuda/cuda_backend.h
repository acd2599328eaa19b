/* The CUDA backend's functions, one group a file; cuda_backend.c puts them into the table backend_cuda, which
 * softcache_cuda.so exports. Contracts: shared/backend/backend.h. */
#ifndef SHARED_DEVICE_CUDA_CUDA_BACKEND_H
#define SHARED_DEVICE_CUDA_CUDA_BACKEND_H

#include "shared/device/cuda/cuda_device.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const struct backend backend_cuda;
#define BACKEND_CUDA_LIBRARY "softcache_cuda.so"
#define BACKEND_CUDA_SYMBOL "backend_cuda"

/* cuda_device.c */
const char *cuda_missing(int index);
enum status cuda_device_new(struct device **out, const struct device_options *options, struct error *err);
void cuda_device_free(struct device *device);
const char *cuda_describe(const struct device *device);

/* cuda_memory.c */
enum status cuda_upload(struct device *device, void *to, const void *from, size_t bytes, struct error *err);
enum status cuda_download(struct device *device, void *to, const void *from, size_t bytes, struct error *err);
enum status cuda_zero(struct device *device, void *to, size_t bytes, struct error *err);
enum status cuda_idle(struct device *device, bool *idle, struct error *err);
enum status cuda_mailbox_new(struct device *device, struct mailbox **out, struct error *err);
void cuda_mailbox_free(struct device *device, struct mailbox *mailbox);

/* cuda_recording.c */
enum status cuda_record_begin(struct device *device, struct error *err);
enum status cuda_record_end(struct device *device, struct recording **out, struct error *err);
enum status cuda_replay(struct device *device, struct recording *recording, struct error *err);
void cuda_recording_free(struct device *device, struct recording *recording);

/* cuda_run.c: the plan's steps, see cuda_step.h */
enum status cuda_network_prepare(struct device *device, const struct plan *plan, int students, void **workspace,
                                 struct error *err);
void cuda_network_release(struct device *device, void *workspace);
enum status cuda_forward(struct device *device, const struct plan *plan, const struct network_memory *memory,
                         const struct pass *pass, int first, int last, struct error *err);
enum status cuda_backward(struct device *device, const struct plan *plan, const struct network_memory *memory,
                          const struct pass *pass, int first, int last, struct error *err);

/* cuda_loss.c, metrics.cu */
size_t cuda_loss_scratch(const struct loss_term *term, const struct loss_shape *shape);
enum status cuda_loss(struct device *device, const struct loss_term *terms, int index, const struct loss_batch *batch,
                      struct error *err);
enum status cuda_metrics(struct device *device, const struct loss_batch *batch, struct error *err);

/* features.cu */
enum status cuda_feature_teacher(struct device *device, const struct feature_store *store, const struct feed *feed,
                                 int index, int h, int w, float *teacher, struct error *err);
enum status cuda_feature_read(struct device *device, const struct plan *plan, const struct network_memory *memory,
                              const struct pass *pass, int index, const struct feature_tap *tap, float *out,
                              size_t stride, struct error *err);
enum status cuda_feature_gradient(struct device *device, const struct plan *plan, const struct network_memory *memory,
                                  const struct pass *pass, int index, const struct feature_tap *tap,
                                  const float *gradient, size_t stride, bool first, struct error *err);
/* cuda_memory.c */
enum status cuda_store_new(struct device *device, size_t bytes, const char *what, void **out, struct error *err);

/* optimizer.cu, blend.cu, feed_advance.cu */
enum status cuda_optimize(struct device *device, const struct optimizer *optimizer,
                          const struct optimizer_memory *memory, size_t count, const struct feed *feed,
                          struct error *err);
enum status cuda_blend(struct device *device, float *average, const float *values, size_t count, double decay,
                       struct error *err);
enum status cuda_advance(struct device *device, const struct feed *feed, const double *metrics, struct mailbox *mailbox,
                         struct error *err);

/* cuda_images.c */
enum status cuda_images_new(struct device *device, uint32_t count, int channels, struct device_images **out,
                            struct error *err);
enum status cuda_images_put(struct device *device, struct device_images *images, uint32_t i, struct image *base,
                            struct error *err);
void cuda_images_free(struct device *device, struct device_images *images);
enum status cuda_images_prefetch(struct device *device, struct device_images *images, const uint32_t *samples,
                                 const uint32_t *partners, int count, uint32_t step, struct error *err);
enum status cuda_render(struct device *device, struct device_images *images, const struct feed *feed, int count,
                        int size, float table[3][256], enum element element, void *out, struct error *err);

/* inference_cuda.c */
extern const struct inference_ops inference_cuda;

#ifdef __cplusplus
}
#endif
#endif
