/* A network on a device: plan, memory, and the loop over the plan's steps, for one student or for several of one
 * structure side by side. The trainer and the tests use it. */
#ifndef SHARED_TRAINING_NETWORK_H
#define SHARED_TRAINING_NETWORK_H

#include "shared/training/training.h"

struct network {
    const struct training_ops *training; /* borrowed */
    struct device *device;               /* borrowed */
    struct plan plan;
    struct network_memory memory;
};

/* Compiles the graph, allocates everything, and uploads the graph's weights to every student. students 0 means 1. The
 * graph is borrowed and must outlive the network. */
enum status network_init(struct network *network, const struct training_ops *training, struct device *device,
                         const struct graph *graph, const struct plan_options *options, int students,
                         struct error *err);
void network_release(struct network *network);

void *network_input(const struct network *network);   /* device memory [batch, h, w, c] of plan.dtype, shared */
float *network_logits(const struct network *network); /* device memory [batch, classes] of the first student */
float *network_logits_gradient(const struct network *network); /* the same */
size_t network_logit_stride(const struct network *network);    /* floats from the logits of one student to those of the
                                                                * next */
size_t network_gradient_stride(const struct network *network); /* the same for their gradients */

enum status network_forward(struct network *network, const struct pass *pass, struct error *err);
enum status network_backward(struct network *network, const struct pass *pass, struct error *err);

/* Copies a student's weights from and into a graph of the same structure. */
enum status network_upload(struct network *network, int student, const struct graph *graph, struct error *err);
enum status network_download(struct network *network, int student, struct graph *graph, struct error *err);

#endif
