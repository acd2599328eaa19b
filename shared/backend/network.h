/* A network on a device: plan, memory and the loop over its steps. What the trainer and the tests drive. */
#ifndef SHARED_BACKEND_NETWORK_H
#define SHARED_BACKEND_NETWORK_H

#include "shared/backend/backend.h"

struct network {
    const struct backend *backend; /* borrowed */
    struct device *device;         /* borrowed */
    struct plan plan;
    struct network_memory memory;
};

/* Compiles the graph for `batch`, allocates everything, uploads the graph's weights. The graph is borrowed and must
 * outlive the network. */
enum status network_init(struct network *network, const struct backend *backend, struct device *device,
                         const struct graph *graph, int batch, const int *kept, int kept_count, struct error *err);
void network_release(struct network *network);

float *network_input(const struct network *network);           /* device memory [batch, h, w, c] */
float *network_logits(const struct network *network);          /* device memory [batch, classes] */
float *network_logits_gradient(const struct network *network); /* device memory [batch, classes] */

enum status network_forward(struct network *network, const struct pass *pass, struct error *err);
enum status network_backward(struct network *network, const struct pass *pass, struct error *err);

/* Weights of the device back into a graph of the same structure. */
enum status network_download(struct network *network, struct graph *graph, struct error *err);

#endif
