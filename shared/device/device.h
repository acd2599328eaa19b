/* A device: its memory, the capture and replay of work, and the base images of a data set with the views that are
 * rendered from them. Training (shared/training) and inference (shared/inference) stand on it; it knows neither.
 *
 * Pointers called `device memory` come from buffer_new; only the device's own code dereferences them. Every call may be
 * asynchronous; the device does them in order. download waits. */
#ifndef SHARED_DEVICE_DEVICE_H
#define SHARED_DEVICE_DEVICE_H

#include "shared/augment/view.h"
#include "shared/base/error.h"
#include "shared/tensor/dtype.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device;
struct scratch_file; /* shared/base/scratch_file.h */

struct device_options {
    int index;           /* of the GPU */
    int threads;         /* CPU: 0 means all processors */
    size_t memory_limit; /* bytes of GPU memory to use; 0: what is free */
    bool deterministic;  /* CPU: compute as every processor with AVX2 and FMA does, also where this one has more;
                            STATUS_CONFIG if it has less. A GPU ignores it */
};

/* ---- capture and replay ---- */
/* Work that was captured, to be done again and again. */
struct graph_capture;

/* Between begin and end work is only recorded. replay then does it, with the pointers and values of that time: whatever
 * changes from step to step must be read from device memory. */
struct capture_ops {
    enum status (*begin)(struct device *device, struct error *err);
    enum status (*end)(struct device *device, struct graph_capture **out, struct error *err);
    enum status (*replay)(struct device *device, struct graph_capture *capture, struct error *err);
    void (*destroy)(struct device *device, struct graph_capture *capture);
};

/* ---- images ---- */
/* Base images (with their pyramids), stored where the device needs them. */
struct device_images;

/* The views that the steps of an epoch render: step s those of slots [s * batch, s * batch + count). Device memory (the
 * part of struct epoch_inputs that rendering reads). */
struct epoch_views {
    int batch;
    const uint32_t *cursor; /* [1] s, the current step */
    const struct view *views;
    const uint32_t *samples; /* indices of images */
    /* mixed pictures (mixup, cutmix); all NULL if the recipe does not mix */
    const struct view_mix *mixes;
    const struct view *partner_views;
    const uint32_t *partners; /* indices of images */
};

struct image_ops {
    /* file: borrowed; a device that has images in host memory keeps them there instead. NULL: in memory. */
    enum status (*create)(struct device *device, uint32_t count, int channels, struct scratch_file *file,
                          struct device_images **out, struct error *err);
    /* Adds image i. base->pixels is taken, and *base zeroed. least_level: no view samples a lower level of its pyramid,
     * so that the device need not keep these. Thread-safe. */
    enum status (*put)(struct device *device, struct device_images *images, uint32_t i, struct image *base,
                       int least_level, struct error *err);
    void (*destroy)(struct device *device, struct device_images *images);
    /* Fetches those images of the next step that did not fit on the device. Called once before each step, in order,
     * outside a capture. samples and partners: `count` of them in host memory; partners is NULL if nothing is mixed;
     * step: the cursor's value in that step. prefetch is NULL if all images always fit. */
    enum status (*prefetch)(struct device *device, struct device_images *images, const uint32_t *samples,
                            const uint32_t *partners, int count, uint32_t step, struct error *err);
    /* out[count, size, size, channels] of dtype = the normalised views of the current step. */
    enum status (*render)(struct device *device, struct device_images *images, const struct epoch_views *views,
                          int count, int size, float table[3][256], enum dtype dtype, void *out, struct error *err);
};

/* ---- the device ---- */
struct device_ops {
    /* Why there is no such device, in words that live as long as the program; NULL: there is one. Cheap. The function
     * pointer is NULL if there always is one. */
    const char *(*missing)(int index);
    /* Opens a device. STATUS_CONFIG: the message says why it is not available. */
    enum status (*open)(struct device **out, const struct device_options *options, struct error *err);
    void (*close)(struct device *device);
    const char *(*describe)(const struct device *device); /* "CPU, 2 threads, AVX-512", "NVIDIA H100, 80 GB" */
    /* What the last bits of results depend on, for values of that type: "AVX-512", "NVIDIA H100, compute 9.0". Equal
     * texts: equal bits. */
    const char *(*arithmetic)(const struct device *device, enum dtype dtype);

    enum status (*buffer_new)(struct device *device, size_t bytes, const char *what, void **out, struct error *err);
    void (*buffer_free)(struct device *device, void *buffer);
    /* Memory that is read once per step: on the device if as much again is left beside it, otherwise host memory that
     * the device reads in place. buffer_free frees it, upload fills it. */
    enum status (*store_new)(struct device *device, size_t bytes, const char *what, void **out, struct error *err);
    /* Zeroed host memory that the device writes to and the host reads. */
    enum status (*mailbox_new)(struct device *device, size_t bytes, void **out, struct error *err);
    void (*mailbox_free)(struct device *device, void *mailbox);
    /* The host may change `from` as soon as upload returns. */
    enum status (*upload)(struct device *device, void *to, const void *from, size_t bytes, struct error *err);
    enum status (*download)(struct device *device, void *to, const void *from, size_t bytes, struct error *err);
    enum status (*zero)(struct device *device, void *to, size_t bytes, struct error *err);
    /* The first `bytes` of each of `rows` rows, `stride` bytes apart, in one operation. */
    enum status (*zero_rows)(struct device *device, void *to, size_t stride, size_t bytes, int rows, struct error *err);
    /* *idle: is all requested work done? Returns the error of work that failed. Never waits. */
    enum status (*idle)(struct device *device, bool *idle, struct error *err);

    const struct capture_ops *capture; /* NULL if the device works at once: then the caller repeats the calls of every
                                        * step */
    const struct image_ops *images;
};

#endif
