/* The CPU backend's functions, one group a file; cpu_device.c puts them into the table backend_cpu. Device memory is
 * host memory here, 64-byte aligned, and every call has finished when it returns. */
#ifndef SHARED_DEVICE_CPU_CPU_BACKEND_H
#define SHARED_DEVICE_CPU_CPU_BACKEND_H

#include "shared/backend/backend.h"
#include "shared/base/threads.h"

struct cpu_kernels;

struct device {
    struct thread_pool *pool;
    const struct cpu_kernels *kernels; /* compiled for this processor's instruction set, see cpu_kernels.h */
    char description[96];
};

/* cpu_network.c: the plan's steps */
enum status cpu_network_prepare(struct device *device, const struct plan *plan, int students, void **workspace,
                                struct error *err);
void cpu_network_release(struct device *device, void *workspace);
enum status cpu_forward(struct device *device, const struct plan *plan, const struct network_memory *memory,
                        const struct pass *pass, int first, int last, struct error *err);
enum status cpu_backward(struct device *device, const struct plan *plan, const struct network_memory *memory,
                         const struct pass *pass, int first, int last, struct error *err);

/* cpu_loss.c */
size_t cpu_loss_scratch(const struct loss_term *term, const struct loss_shape *shape);
enum status cpu_loss(struct device *device, const struct loss_term *terms, int index, const struct loss_batch *batch,
                     struct error *err);
enum status cpu_metrics(struct device *device, const struct loss_batch *batch, struct error *err);

/* cpu_features.c */
enum status cpu_feature_teacher(struct device *device, const struct feature_store *store, const struct feed *feed,
                                int index, int h, int w, float *teacher, struct error *err);
enum status cpu_feature_read(struct device *device, const struct plan *plan, const struct network_memory *memory,
                             const struct pass *pass, int index, const struct feature_tap *tap, float *out,
                             size_t stride, struct error *err);
enum status cpu_feature_gradient(struct device *device, const struct plan *plan, const struct network_memory *memory,
                                 const struct pass *pass, int index, const struct feature_tap *tap,
                                 const float *gradient, size_t stride, bool first, struct error *err);

/* cpu_optimizer.c */
enum status cpu_optimize(struct device *device, const struct optimizer *optimizer,
                         const struct optimizer_memory *memory, size_t count, const struct feed *feed,
                         struct error *err);
enum status cpu_blend(struct device *device, float *average, const float *values, size_t count, double decay,
                      struct error *err);

/* cpu_images.c */
enum status cpu_images_new(struct device *device, uint32_t count, int channels, struct device_images **out,
                           struct error *err);
enum status cpu_images_put(struct device *device, struct device_images *images, uint32_t i, struct image *base,
                           struct error *err);
void cpu_images_free(struct device *device, struct device_images *images);
enum status cpu_render(struct device *device, struct device_images *images, const struct feed *feed, int count,
                       int size, float table[3][256], enum element element, void *out, struct error *err);

#endif
