/* cuDNN's backend descriptors in fewer lines. A set owns descriptors and remembers the first failure; later calls do
 * nothing, so that a graph can be written line by line and checked once.
 *
 * The attributes that a descriptor needs, their types and their order are in the chapter "Backend Descriptor Types" of
 * cuDNN's API. */
#ifndef SHARED_INFERENCE_CUDNN_CUDNN_DESCRIPTOR_H
#define SHARED_INFERENCE_CUDNN_CUDNN_DESCRIPTOR_H

#include "shared/base/error.h"
#include <cudnn_graph.h>
#include <stdbool.h>
#include <stdint.h>

typedef cudnnBackendDescriptor_t descriptor;

enum { DESCRIPTOR_SET_CAPACITY = 64 };

struct descriptor_set {
    descriptor items[DESCRIPTOR_SET_CAPACITY];
    int count;
    cudnnStatus_t status; /* the first failure */
    char reason[256];     /* cuDNN's message, or "" */
};

void descriptor_set_release(struct descriptor_set *set);

/* A new descriptor, owned by the set; NULL after a failure. */
descriptor descriptor_new(struct descriptor_set *set, cudnnBackendDescriptorType_t type);
/* Takes the descriptor out of the set: the caller destroys it. */
descriptor descriptor_take(struct descriptor_set *set, descriptor item);

void descriptor_put(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name,
                    cudnnBackendAttributeType_t type, int64_t count, const void *values);
void descriptor_put_int(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name, int64_t value);
void descriptor_put_bool(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name, bool value);
void descriptor_put_double(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name, double value);
void descriptor_put_type(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name,
                         cudnnDataType_t value);
void descriptor_put_descriptor(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name,
                               descriptor value);
void descriptor_put_text(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name,
                         const char *text);
/* A NUL-terminated copy of a text attribute (malloc'ed), or NULL. */
char *descriptor_text(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name);
int64_t descriptor_int(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name);

/* Fills up to `capacity` existing descriptors with those of an attribute; returns how many. */
int64_t descriptor_list(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name, int64_t capacity,
                        descriptor *list);

void descriptor_finish(struct descriptor_set *set, descriptor item);

/* STATUS_OK, or STATUS_INTERNAL: "WHAT: cuDNN failed: REASON". */
enum status descriptor_check(const struct descriptor_set *set, const char *what, struct error *err);
/* The same for a call outside a set. */
enum status cudnn_check(cudnnStatus_t result, const char *what, struct error *err);

#endif
